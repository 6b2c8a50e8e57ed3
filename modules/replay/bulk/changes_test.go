package bulk

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheDifferencesOfTwoCanonicalEvents(t *testing.T) {
	for _, c := range []struct{ name, before, after, want string }{
		{"the same", `{"a":1.10,"b":[1,{"c":null}]}`, `{"a":1.10,"b":[1,{"c":null}]}`, ""},
		{"written in another order, with space", `{"a":1, "b":2}`, "{\"b\":2,\n\"a\":1}", ""},
		{"a number is compared as it is written", `{"a":1.10}`, `{"a":1.1}`, "$.a: 1.10 > 1.1"},
		{"beyond 2^53", `{"a":12345678901234567890}`, `{"a":12345678901234567891}`, "$.a: 12345678901234567890 > 12345678901234567891"},
		{"a member that is new", `{}`, `{"a":null}`, "$.a: - > null"},
		{"a member that is gone", `{"a":"x"}`, `{}`, `$.a: "x" > -`},
		{"within an item", `{"a":[{"b":1},{"b":2}]}`, `{"a":[{"b":1},{"b":3}]}`, "$.a[1].b: 2 > 3"},
		{"items that are new and gone", `[1]`, `[2,3]`, "$[0]: 1 > 2, $[1]: - > 3"},
		{"another kind of value", `{"a":{"b":1}}`, `{"a":[1]}`, `$.a: {"b":1} > [1]`},
		{"a name that is no word", `{"a b":{"":1}}`, `{"a b":{"":2}}`, `$["a b"][""]: 1 > 2`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var list []string
			for _, d := range diff([]byte(c.before), []byte(c.after)) {
				list = append(list, d.Path+": "+orNone(d.Before)+" > "+orNone(d.After))
			}
			require.Equal(t, c.want, strings.Join(list, ", "))
		})
	}
}

func orNone(text *string) string {
	if text == nil {
		return "-"
	}
	return *text
}

func TestDifferencesAreBounded(t *testing.T) {
	many, other := make([]int, 1000), make([]int, 1000)
	for i := range other {
		other[i] = 1
	}
	before, _ := json.Marshal(many)
	after, _ := json.Marshal(other)
	require.Len(t, diff(before, after), mostChanges+1, "one more says that there are more")

	long := diff([]byte(`"`+strings.Repeat("é", 1000)+`"`), []byte(`""`))
	require.Equal(t, `"`+strings.Repeat("é", mostShown-1)+"…", *long[0].Before)

	deep := strings.Repeat("[", 900) + "%" + strings.Repeat("]", 900)
	found := diff([]byte(strings.Replace(deep, "%", "1", 1)), []byte(strings.Replace(deep, "%", "2", 1)))
	require.Len(t, found, 1)
	require.Equal(t, deepest, strings.Count(found[0].Path, "[0]"))
}
