package ingestion

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzStableJSON: the one spelling of a body is its own, and is JSON where the body is.
func FuzzStableJSON(f *testing.F) {
	for _, text := range []string{`{"b":1,"a":[{"d":2,"c":3}]}`, `{"a":1,"a":2}`, `"\""`, `[]`, `{`, ` {"a" : 12345678901234567890} `, `{"":{}}`, `{"\\":1,"\"":2}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		once := stableJSON(body)
		require.Equal(t, json.Valid(body), json.Valid(once))
		if json.Valid(body) {
			require.True(t, bytes.Equal(once, stableJSON(once)), "%s", once)
		}
	})
}
