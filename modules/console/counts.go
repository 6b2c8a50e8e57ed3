package console

import (
	"cmp"
	"slices"
)

// countsOf sorts counts, the largest first.
func countsOf(counts map[string]int) []sourceCount {
	var list []sourceCount
	for source, n := range counts {
		list = append(list, sourceCount{source, n})
	}
	slices.SortFunc(list, func(a, b sourceCount) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Source, b.Source))
	})
	return list
}
