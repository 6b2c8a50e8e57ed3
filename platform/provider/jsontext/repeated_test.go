package jsontext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRepeatedMembersAreFound(t *testing.T) {
	many := func(n int, last string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"m%d":%d,`, i, i)
		}
		return "{" + b.String() + last + "}"
	}
	for _, c := range []struct{ text, path string }{
		{`{}`, ""},
		{`[]`, ""},
		{`{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}`, ""},
		{`{"a":1,"a":1}`, "$.a"},
		{` { "a" : 1 , "b" : 2 , "a" : null } `, "$.a"},
		{`{"a":{"b":1},"c":{"b":{"d":[0,{"e":1,"e":2}]}}}`, "$.c.b.d[1].e"},
		{`[{"a":1},{"a":1,"b":[],"a":{}}]`, "$[1].a"},
		{`{"amount":1,"am\u006funt":2}`, "$.amount"},
		{`{"a\"":1,"a\"":2}`, `$["a\""]`},
		{`{"a\\":1,"b":"\\","a\\":2}`, `$["a\\"]`},
		{`{"":1,"":2}`, `$[""]`},
		{`{"1a":1,"1a":2}`, `$["1a"]`},
		{`{"ä":1,"\u00e4":2}`, `$["ä"]`},
		{"{\"\xff\":1,\"\xfe\":2}", `$["` + "\uFFFD" + `"]`}, // parsers replace both by one character
		{`{"a":1,"A":2}`, ""},
		{`{"a":"a","b":"a"}`, ""},                // values are no names
		{`{"a":"\"a\":1,\"a\":2"}`, ""},          // nor is what a text holds
		{`{"a":["b","b"],"c":["a","a"]}`, ""},    // nor are items
		{`{"a":{"x":1},"b":{"x":1},"x":{}}`, ""}, // nor the names of others
		{`{"a":{"x":{"y":1}},"a":1}`, "$.a"},     // after others
		{many(100, `"x":1`), ""},
		{many(100, `"m0":1`), "$.m0"},
		{many(16, `"m15":1`), "$.m15"},
		{many(17, `"m16":1`), "$.m16"},
		{many(17, `"m0":1`), "$.m0"},
		// What is no JSON has none, and breaks nothing.
		{`{"a":1,"a`, ""}, {`}`, ""}, {`]]`, ""}, {`{"a"`, ""}, {`"`, ""}, {`"\`, ""}, {`,`, ""}, {``, ""}, {`{"a":1}},"a":`, ""},
	} {
		path, found := Repeated([]byte(c.text))
		require.Equal(t, c.path, path, c.text)
		require.Equal(t, c.path != "", found, c.text)
	}
}

func TestThePathOfARepeatedMemberIsBounded(t *testing.T) {
	deep := strings.Repeat(`{"`+strings.Repeat("ä", 30)+`":`, 500) + `{"a":1,"a":2}` + strings.Repeat("}", 500)
	path, found := Repeated([]byte(deep))
	require.True(t, found)
	require.LessOrEqual(t, len(path), maxShownPath+len("…"))
	require.True(t, strings.HasSuffix(path, "…"))
}

// An object of very many members must not take the square of their number: from a few on, names
// are looked up, and no longer compared with each other.
func TestManyMembersAreLookedUp(t *testing.T) {
	var names [][]byte
	l := &level{object: true}
	for i := range manyMembers + 1 {
		require.Nil(t, l.met)
		name := fmt.Appendf(nil, "m%d", i)
		require.False(t, l.repeats(names, name))
		names = append(names, name)
	}
	for i, name := range names {
		require.True(t, l.repeats(nil, name), i)
	}
	require.False(t, l.repeats(nil, []byte("another")))
	require.True(t, l.repeats(nil, []byte("another")))
}

// repeatedSlowly decodes.
func repeatedSlowly(d *json.Decoder) bool {
	token, err := d.Token()
	if err != nil {
		return false
	}
	met, found := map[string]bool{}, false
	switch token {
	case json.Delim('{'):
		for d.More() {
			name, _ := d.Token()
			text, _ := name.(string)
			found = met[text] || repeatedSlowly(d) || found
			if met[text] {
				return true
			}
			met[text] = true
		}
		_, _ = d.Token()
	case json.Delim('['):
		for d.More() {
			found = repeatedSlowly(d) || found
		}
		_, _ = d.Token()
	}
	return found
}

func FuzzRepeated(f *testing.F) {
	for _, text := range []string{`{"a":1,"a":2}`, `[{"a":{"b":[1,"\\"]}},{"a\u0061":"\"","aa":1}]`, `{"":{"":{}},"":0}`, "{\"\xff\":1,\"\xfe\":2}", `{"a":[{"b":1}],"c":{"a":1}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path, found := Repeated(text)
		require.Equal(t, found, path != "")
		if json.Valid(text) {
			require.Equal(t, repeatedSlowly(json.NewDecoder(bytes.NewReader(text))), found)
		}
	})
}

func BenchmarkRepeated(b *testing.B) {
	text := []byte(`{"eventId":"evt_01J","eventType":"order.created","occurredAt":"2026-01-31T12:00:00Z","data":{"id":"d1","note":"` + strings.Repeat("x", 220) + `"}}`)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, found := Repeated(text); found {
			b.Fatal("it has none")
		}
	}
}
