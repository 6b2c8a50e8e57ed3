package provider

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
)

// pathed is a provider of one's own whose events' id stands at path.
func pathed(t *testing.T, path string) (Spec, error) {
	text, _ := json.Marshal(path)
	return Builtin().Configure(genericName,
		define(t, `{"scheme":"token","signature":{"header":"T"},"event":{"type":"text:x","id":`+string(text)+`}}`))
}

// idAt is the id that path finds in body, "" when there is none.
func idAt(t *testing.T, path, body string) string {
	t.Helper()
	s, err := pathed(t, path)
	require.NoError(t, err)
	events, err := s.Normalize(Request{Body: []byte(body)})
	require.NoError(t, err)
	if events[0].ID == nil {
		return ""
	}
	return *events[0].ID
}

func TestAPathFindsTheFirstTextOrNumber(t *testing.T) {
	for _, c := range []struct{ name, path, body, id string }{
		{"a member", "$.a.id", `{"a":{"id":"1"}}`, "1"},
		{"of members with the same name the last", "$.a.id", `{"a":{"id":"1"},"a":{"id":"2"}}`, "2"},
		{"also where the last has none", "$.a.id", `{"a":{"id":"1"},"a":{}}`, ""},
		{"a name that is written with escapes", "$.abc", `{"\u0061b\u0063":"1"}`, "1"},
		{"a name is held against all of it", "$.ab", `{"abc":"1","a":"2"}`, ""},
		{"an item", "$.a[1]", `{"a":["x","y"]}`, "y"},
		{"an item from the end", "$.a[-1]", `{"a":["x","y"]}`, "y"},
		{"an item beyond the end", "$.a[2]", `{"a":["x","y"]}`, ""},
		{"an item beyond the start", "$.a[-3]", `{"a":["x","y"]}`, ""},
		{"a slice", "$.a[1:3].id", `{"a":[{"id":"1"},{},{"id":"3"},{"id":"4"}]}`, "3"},
		{"a slice backwards", "$.a[::-1].id", `{"a":[{"id":"1"},{"id":"2"}]}`, "2"},
		{"a slice without a step", "$.a[0:2:0]", `{"a":["x","y"]}`, ""},
		{"what is neither text nor number is passed over", "$.a[*].id", `{"a":[{"id":{}},{"id":null},{"id":""},{"id":true},{"id":7.10}]}`, "7.10"},
		{"a number as it was written", "$.*.id", `{"a":{"id":12345678901234567890}}`, "12345678901234567890"},
		{"a filter", "$.a[?@.k == 'x'].id", `{"a":[{"k":"y","id":"1"},{"k":"x","id":"2"}]}`, "2"},
		{"a filter over members", "$.a[?@.k == 'x'].id", `{"a":{"m":{"k":"y","id":"1"},"n":{"k":"x","id":"2"}}}`, "2"},
		{"a filter by a number", "$.a[?@.n > 1].id", `{"a":[{"n":1,"id":"1"},{"n":2,"id":"2"}]}`, "2"},
		{"below anything", "$..id", `{"a":[{"b":{"id":"1"}}],"c":{"id":"2"}}`, "1"},
		{"below anything, but first where it is nearest", "$..id", `{"a":{"id":"1"},"id":"2"}`, "2"},
		{"below anything, and on", "$..a.b[0]", `{"x":[{"a":{"b":[]}},{"a":{"b":["y"]}}]}`, "y"},
		{"below anything, an item", "$..[1]", `{"x":[[1,2]]}`, "2"},
		{"below anything, whatever it is", "$..*", `{"x":[[{"y":"1"}]]}`, "1"},
		{"nothing below a text", "$.a.b", `{"a":"b"}`, ""},
		{"no item of an object, no member of a list", "$.a[0]", `{"a":{"0":"x"}}`, ""},
		{"a text with brackets and quotes", "$..id", `{"a":"}]\"{[","b":[{"id":"1"}]}`, "1"},
		{"space everywhere", "$.a[1].id", " {\n\"a\" : [ 1 ,\t{ \"id\" : \"1\" } ] } ", "1"},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.id, idAt(t, c.path, c.body)) })
	}
}

// The library panics where match() is asked about what is not there, and the sender was
// answered that something had gone wrong here.
func TestAFunctionOfAnAbsentValueMatchesNothing(t *testing.T) {
	for path, id := range map[string]string{
		"$.a[?match(@.k, 'x')].id": "2", "$.a[?search(@.k, 'x')].id": "2", "$.a[?!match(@.k, 'x')].id": "1",
		"$.a[?length(@.k) == 1].id": "2", "$.a[?count(@.k[*]) == 2].id": "4", "$.a[?match(@.k, '(')].id": "",
	} {
		require.Equal(t, id, idAt(t, path, `{"a":[{"id":"1"},{"k":"x","id":"2"},{"k":"y","id":"3"},{"k":[1,2],"id":"4"}]}`), path)
	}
}

// Paths with .. took 40 s and more for a body of 3.9 MB.
func TestNoBodyMakesAPathSlow(t *testing.T) {
	const size = 3_900_000
	deep := strings.Repeat("[", MaxDepth-2) + strings.Repeat("]", MaxDepth-2)
	named := strings.Repeat(`{"a":`, MaxDepth-2) + "1" + strings.Repeat("}", MaxDepth-2)
	items := func(one string) string {
		n := size / (len(one) + 1)
		return `{"a":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}`
	}
	for _, c := range []struct{ name, path, body string }{
		{"lists within lists", "$..id", items(deep)},
		{"objects within objects", "$..id", items(named)},
		{"objects within objects, one of whose names is looked for", "$..a.a.a.a.id", items(named)},
		{"a long list", "$..id", items("1")},
		{"many that are empty", "$..id", items("{}")},
		{"many that match and are no text", "$..id", items(`{"id":{}}`)},
		{"a filter over many", "$.a[?@.k == 'x'].id", items(`{"k":"y"}`)},
		{"a filter over what is deep", "$.a[?@.k == 'x'].id", items(deep)},
		{"a filter with a regular expression", "$.a[?search(@, '(a|aa)+$')].id", items(`"` + strings.Repeat("a", 10_000) + `b"`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			require.Empty(t, idAt(t, c.path, c.body))
			took := time.Since(began)
			t.Logf("%s over %d bytes: %s", c.path, len(c.body), took)
			require.Less(t, took, 10*time.Second)
		})
	}
}

func TestPathsThatMultiplyTheirWorkAreRefused(t *testing.T) {
	for path, fine := range map[string]bool{
		"$.a[?@.k == 'a,b'].id":                                               true,
		"$.a[?match(@.k, 'x')].id":                                            true,
		"$.a[?match(@.k, @.pattern)].id":                                      false, // the sender would bring the expression
		"$.a[?search('x', @.pattern)].id":                                     false,
		"$.a[?@[?@.x,?@.x]].id":                                               false,
		"$.a[?@[?@[?@.x,?@.x],?@.y]].id":                                      false,
		"$.a[?count(@[0,0]) > 1].id":                                          false,
		"$.a[?(@.x && (@.y || @.z))].id":                                      true,
		"$" + strings.Repeat(".a", 63):                                        true,
		"$" + strings.Repeat(".a", 65):                                        false,
		"$.a[?@" + strings.Repeat("[?@", 9) + strings.Repeat("]", 10) + ".id": false,
	} {
		_, err := pathed(t, path)
		require.Equal(t, fine, err == nil, "%s: %v", path, err)
		if !fine {
			require.Equal(t, "options.generic.event.id", fault.As(err).Fields[0].Field)
		}
	}
}
