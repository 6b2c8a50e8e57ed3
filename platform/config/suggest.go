package config

import (
	"fmt"
	"sort"
	"strings"
)

// suggestion is the fix for an unknown key: the nearest one, when one is near.
func suggestion(key string) string {
	flat := strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToLower(key))
	var names []string
	for name := range known() {
		names = append(names, name)
	}
	sort.Strings(names)
	best, bestDistance := "", len(flat)/3+2
	for _, name := range names {
		if d := distance(flat, name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	if best == "" {
		return "delete it; configs/gateway.yaml lists the keys there are"
	}
	return fmt.Sprintf("did you mean %s?", best)
}

// Misspelt finds variables of the environment, given as NAME=value, whose names are almost
// those of settings, and which have no effect.
func Misspelt(environ []string) []Mistake {
	var all []Mistake
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if len(name) < 8 || !strings.Contains(name, "_") || known()[strings.ToLower(name)] {
			continue
		}
		for _, s := range settings(new(Config)) {
			if distance(name, s.name) <= 2 {
				all = append(all, Mistake{Name: name, Problem: "there is no such setting, though the environment has it", Fix: "did you mean " + s.name + "?"})
				break
			}
		}
	}
	return all
}

// distance is the least number of letters to insert, delete or change that turns
// a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(cost, above+1, row[j]+1)
			diagonal = above
		}
	}
	return row[len(b)]
}
