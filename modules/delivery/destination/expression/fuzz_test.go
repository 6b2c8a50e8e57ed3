package expression

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
)

// FuzzPayload hands expressions whatever a sender may have put into an event: they answer
// or refuse, and what a transformation makes is JSON.
func FuzzPayload(f *testing.F) {
	for _, text := range []string{`{"data":{"n":1}}`, `{"data":12345678901234567891}`, `{"data":1e400}`, `{"data":[null,{"a":[]}]}`, `{"data":"\u0000\ud800"}`,
		`{"data":-0.0}`, `[]`, `{`, `{"data":{"a":1,"a":2}}`} {
		f.Add([]byte(text))
	}
	language := New()
	transform, err := language.Transform(`{"all": data}`)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		body, err := transform.Body(t.Context(), NewFacts(contract.NewEvent{Source: "acme", Provider: "acme", EventType: "a", Payload: payload, Headers: []byte(`{}`)}))
		if err == nil {
			require.True(t, json.Valid(body), "%s", body)
		}
	})
}

// FuzzFilter compiles whatever an operator may write, and asks what compiles.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{`eventType == "a"`, `data.n > 1`, `true`, `1`, `[1].exists(x, x == 1)`, `((((`, `"a".matches("(a+)+$")`, `headers["x"] == ""`} {
		f.Add(text)
	}
	language := New()
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := language.Filter(text)
		if err != nil {
			return
		}
		_, _ = filter.Matches(t.Context(), NewFacts(contract.NewEvent{Source: "acme", EventType: "a", Payload: []byte(`{"data":{"n":1}}`), Headers: []byte(`{}`)}))
	})
}
