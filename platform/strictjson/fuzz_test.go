package strictjson

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzRead: a body is read, or every mistake in it has a message; invalid JSON is never
// read.
func FuzzRead(f *testing.F) {
	for _, text := range []string{`{"name":"a","list":[1,2],"map":{"k":"v"},"inner":{"on":true}}`, `{"nmae":1}`, `null`, `[]`, `{"list":{}}`,
		`{"name":"a","name":"b"}`, `{"inner":null}`, `{"list":[1e999]}`, "{\"name\":\"\\ud800\"}", `{} {}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var dest struct {
			Name  string            `json:"name"`
			List  []int             `json:"list"`
			Map   map[string]string `json:"map"`
			Inner *struct {
				On bool `json:"on"`
			} `json:"inner"`
		}
		mistakes := Read(text, &dest)
		for _, m := range mistakes {
			require.NotEmpty(t, m.Message)
		}
		if !json.Valid(text) {
			require.NotEmpty(t, mistakes)
		}
	})
}
