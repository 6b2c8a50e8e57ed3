package provider

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
)

func TestDuplicateKeysAreLookedForWhereJSONIs(t *testing.T) {
	for _, c := range []struct{ kind, body, path string }{
		{"application/json", "\xEF\xBB\xBF {\"a\":1,\"a\":2}", "$.a"},
		{"application/json", `[{"a":1},{"a":1,"a":2}]`, "$[1].a"},
		{"text/plain", `{"a":1,"a":2}`, "$.a"},
		{formType, `payload=%7B%22a%22%3A1%2C%22a%22%3A2%7D`, "$.a"},
		{formType, `payload=+%7B%22a%22%3A1%2C%22a%22%3A2%7D`, "$.a"},
		{formType, `a=1&a=2`, ""}, // fields of a form may be lists
		{"text/xml", `<a><b>1</b><b>2</b></a>`, ""},
		{"application/json", `"a"`, ""},
		{"application/json", ``, ""},
	} {
		path, found := DuplicateKey(Request{Header: http.Header{"Content-Type": {c.kind}}, Body: []byte(c.body)})
		require.Equal(t, c.path, path, c.body)
		require.Equal(t, c.path != "", found)
	}
}

func TestTheOptionForDuplicateKeys(t *testing.T) {
	for _, name := range []string{"acme", "github", "twilio"} {
		s, err := Builtin().Configure(name, Options{})
		require.NoError(t, err)
		require.Equal(t, MarkKeys, s.DuplicateKeys())
		s, err = Builtin().Configure(name, Options{DuplicateKeys: QuarantineKeys})
		require.NoError(t, err)
		require.Equal(t, QuarantineKeys, s.DuplicateKeys())
		for _, wrong := range []string{"refuse", "Mark", " mark"} {
			_, err = Builtin().Configure(name, Options{DuplicateKeys: wrong})
			require.Equal(t, "options.duplicateKeys", fault.As(err).Fields[0].Field)
		}
	}
}
