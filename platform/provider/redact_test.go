package provider

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/provider/redaction"
)

// pathsOf reads paths, or fails the test.
func pathsOf(t testing.TB, paths ...string) (all redaction.Paths) {
	t.Helper()
	for _, path := range paths {
		one, err := redaction.ParsePath(path)
		require.NoError(t, err, path)
		all = all.And(one)
	}
	return all
}

func TestRedactedValues(t *testing.T) {
	for _, c := range []struct {
		sentence, paths, body, want string
	}{
		{"a member", "$.a", `{"a":"x","b":"y"}`, `{"a":"[redacted]","b":"y"}`},
		{"a member deeper down", "$.a.b", `{"a":{"b":1,"c":2},"b":3}`, `{"a":{"b":"[redacted]","c":2},"b":3}`},
		{"an object as a whole", "$.a", `{"a":{"b":[1,{"c":"}"}]},"d":1}`, `{"a":"[redacted]","d":1}`},
		{"null stays", "$.a", `{"a":null}`, `{"a":null}`},
		{"what is not there", "$.z", `{"a":1}`, `{"a":1}`},
		{"a name is told apart by its case", "$.a", `{"A":1}`, `{"A":1}`},
		{"a name with escapes", "$.email", `{"\u0065mail":"x"}`, `{"\u0065mail":"[redacted]"}`},
		{"a name in brackets", "$['a b']", `{"a b":true}`, `{"a b":"[redacted]"}`},
		{"all of several members of one name", "$.a.b", `{"a":{"b":1,"b":2},"a":{"b":[3]},"a":4}`, `{"a":{"b":"[redacted]","b":"[redacted]"},"a":{"b":"[redacted]"},"a":4}`},
		{"a wildcard", "$.a[*].b", `{"a":[{"b":1},2,{"b":3,"c":4}]}`, `{"a":[{"b":"[redacted]"},2,{"b":"[redacted]","c":4}]}`},
		{"an index", "$.a[1]", `{"a":[1,2,3]}`, `{"a":[1,"[redacted]",3]}`},
		{"an index is no name", "$.a[0]", `{"a":{"0":1}}`, `{"a":{"0":1}}`},
		{"any depth", "$..b", `{"b":1,"a":[{"b":2},[[{"c":{"b":3}}]]]}`, `{"b":"[redacted]","a":[{"b":"[redacted]"},[[{"c":{"b":"[redacted]"}}]]]}`},
		{"any depth, and on from there", "$..a..b", `{"b":1,"a":{"x":{"b":2}}}`, `{"b":1,"a":{"x":{"b":"[redacted]"}}}`},
		{"several selectors", "$['a','b']", `{"a":1,"b":2,"c":3}`, `{"a":"[redacted]","b":"[redacted]","c":3}`},
		{"several paths", "$.a|$.b.c", `{"a":1,"b":{"c":2}}`, `{"a":"[redacted]","b":{"c":"[redacted]"}}`},
		{"a path within another", "$.a|$.a.b", `{"a":{"b":1}}`, `{"a":"[redacted]"}`},
		{"an array at the top", "$[*].a", `[{"a":1},{"a":2}]`, `[{"a":"[redacted]"},{"a":"[redacted]"}]`},
		{"all other bytes stay", "$.a", "\xEF\xBB\xBF { \"a\" : \"x\" , \"n\":1.10,\"n\":12345678901234567891,\t\"s\":\"\\ud800 \\u0000\" }\n",
			"\xEF\xBB\xBF { \"a\" : \"[redacted]\" , \"n\":1.10,\"n\":12345678901234567891,\t\"s\":\"\\ud800 \\u0000\" }\n"},
		{"brackets and quotes in texts", "$.b", `{"a":"\\\"]}","b":"{\"","c":[]}`, `{"a":"\\\"]}","b":"[redacted]","c":[]}`},
		{"empty containers", "$.a.*", `{"a":{},"b":[],"c":{"a":[ ]}}`, `{"a":{},"b":[],"c":{"a":[ ]}}`},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			got, ok := Redact(Request{Body: []byte(c.body)}, pathsOf(t, strings.Split(c.paths, "|")...))
			require.True(t, ok)
			require.Equal(t, c.want, string(got.Body))
			require.Equal(t, c.want != c.body, got.Changed)
		})
	}
}

func TestARedactionReportsWhatItHides(t *testing.T) {
	got, ok := Redact(Request{Body: []byte(`{"a":{"b":"one","c":["two",3]},"n":1.10,"d":"shown"}`)}, pathsOf(t, "$.a", "$.n"))
	require.True(t, ok)
	require.ElementsMatch(t, []string{"b", "one", "c", "two", "3", "1.10"}, got.Hidden)
	got, _ = Redact(Request{Body: []byte(`{"a":[` + strings.Repeat("1,", 5000) + `1]}`)}, pathsOf(t, "$.a"))
	require.Len(t, got.Hidden, 1000)
	require.True(t, got.Overflow)
	got, _ = Redact(Request{Body: []byte(`{"a":[` + strings.Repeat("1,", 999) + `1]}`)}, pathsOf(t, "$.a"))
	require.Len(t, got.Hidden, 1000)
	require.False(t, got.Overflow, "these are all")
}

func TestAFormIsRedactedAsJSON(t *testing.T) {
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	got, ok := Redact(Request{Header: form, Body: []byte("From=%2B4912345&Body=hi")}, pathsOf(t, "$.From"))
	require.True(t, ok)
	require.JSONEq(t, `{"From":"[redacted]","Body":"hi"}`, string(got.Body))
	require.Equal(t, "application/json", got.Header.Get("Content-Type"))
	require.Equal(t, "application/x-www-form-urlencoded", form.Get("Content-Type"), "the request itself stays")
	got, ok = Redact(Request{Header: form, Body: []byte("From=1&Body=hi")}, pathsOf(t, "$.To"))
	require.True(t, ok)
	require.Equal(t, "From=1&Body=hi", string(got.Body), "nothing was replaced")
}

func TestBodiesThatCannotBeRedacted(t *testing.T) {
	for _, body := range []string{"", "{", `{"a":1} x`, strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)} {
		_, ok := Redact(Request{Body: []byte(body)}, pathsOf(t, "$..a"))
		require.False(t, ok, body)
	}
	deep := strings.Repeat(`{"b":`, MaxDepth-1) + `{"a":1}` + strings.Repeat("}", MaxDepth-1)
	got, ok := Redact(Request{Body: []byte(deep)}, pathsOf(t, "$..a"))
	require.True(t, ok)
	require.Contains(t, string(got.Body), `{"a":"[redacted]"}`)
}

func TestARedactionMustNotReachAnEventsIdentity(t *testing.T) {
	generic := EventDefinition{ID: At("$.meta.id"), Type: At("$.meta.kind"), Subject: At("$.who"), Time: At("$.at")}
	for _, c := range []struct {
		provider, path, want string // "" for a path that may be
	}{
		{"acme", "$.data.email", ""},
		{"acme", "$.data.id", ""},
		{"acme", "$.subject", ""},
		{"acme", "$.data.*", ""},
		{"acme", "$.data", "leaves no valid event"},
		{"acme", "$.eventId", "reaches the event's id"},
		{"acme", "$.*", "leaves no valid event"},
		{"acme", "$.eventType", "reaches the event's type"},
		{"acme", "$.occurredAt", "leaves no valid event"},
		{"globex", "$..id", "reaches the event's id"},
		{"stripe", "$.data.object.customer_email", ""},
		{"stripe", "$.id", "reaches the event's id"},
		{"generic", "$.who", ""},
		{"generic", "$.at", ""},
		{"generic", "$.meta.other", ""},
		{"generic", "$.meta", "reaches the event's id"},
		{"generic", "$.meta.kind", "reaches the event's type"},
		{"generic", "$..kind", "reaches the event's type"},
		{"generic", "$.*.id", "reaches the event's id"},
		{"hubspot", "$[*].eventId", "reaches the event's id"},
		{"hubspot", "$[0]", "reaches the event's type"},
	} {
		t.Run(c.provider+" "+c.path, func(t *testing.T) {
			options := Options{}
			if c.provider == "generic" {
				options.Generic = &Definition{Proof: Proof{Scheme: "hmac", Signature: SignatureDefinition{Header: "X-S"}}, Event: generic}
			}
			s, err := Builtin().Configure(c.provider, options)
			require.NoError(t, err)
			err = s.CheckRedaction(pathsOf(t, c.path))
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

// FuzzRedaction holds the walk over the bytes against decoding: what is at a path is gone,
// and all else is there as it was.
func FuzzRedaction(f *testing.F) {
	f.Add(`{"a":{"b":1},"c":[{"b":"x"}]}`)
	f.Add(` [ {"b" : {"b":[1.10,null]} , "d":"\ud800"}, "b" ] `)
	paths := pathsOf(f, "$..b")
	f.Fuzz(func(t *testing.T, body string) {
		got, ok := Redact(Request{Body: []byte(body)}, paths)
		if !ok {
			return
		}
		require.True(t, json.Valid(bytes.TrimLeft(WithoutBOM(got.Body), " \t\r\n")), "%q became %q", body, got.Body)
		again, ok := Redact(got.Request, paths)
		require.True(t, ok)
		require.Equal(t, string(got.Body), string(again.Body))
		for _, hidden := range again.Hidden {
			require.Equal(t, "[redacted]", hidden)
		}
	})
}

func BenchmarkRedaction(b *testing.B) {
	req, paths := benchRequest(), pathsOf(b, "$.data.note", "$..email")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Redact(req, paths); !ok {
			b.Fatal("not read")
		}
	}
}
