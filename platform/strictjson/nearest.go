package strictjson

import "strings"

// Nearest returns the known name that a mistyped one probably means, or "".
func Nearest(name string, known []string) string {
	const never = 1 << 10
	given, nearest, least := plain(name), "", never
	for _, candidate := range known {
		text := plain(candidate)
		away := distance(given, text)
		if away > (len(given)+1)/3 {
			away = never
			if len(given) >= 4 && (strings.HasPrefix(text, given) || strings.HasPrefix(given, text)) { // after every mistyped name
				away = never/2 + len(text)
			}
		}
		if away < least {
			nearest, least = candidate, away
		}
	}
	return nearest
}

// DidYouMean completes a message about an unknown name with the nearest known one.
func DidYouMean(message, name string, known []string) string {
	if nearest := Nearest(name, known); nearest != "" {
		return message + "; did you mean " + nearest + "?"
	}
	return message
}

// longestName bounds the comparison, in bytes.
const longestName = 64

// plain is a name without the differences between ways of writing names.
func plain(name string) string {
	return strings.NewReplacer("_", "", "-", "", ".", "").Replace(strings.ToLower(name[:min(len(name), longestName)]))
}

// distance counts the letters that are missing, superfluous, wrong or exchanged with the next
// one.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range b {
		rows[0][j+1] = j + 1
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			differs := 1
			if a[i-1] == b[j-1] {
				differs = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+differs)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
