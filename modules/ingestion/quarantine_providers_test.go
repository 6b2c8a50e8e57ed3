package ingestion

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
)

// What each provider's verification needs is kept, also where it is a token that is not.
func TestEveryProvidersRequestCanBeReleased(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, atThen)
		for _, s := range provider.Builtin().Specs() {
			if !s.Signable() || len(s.Samples) == 0 || s.Name == "generic" {
				continue
			}
			if s.Name == "monday" { // its token proves no body, so that it is not stored
				continue
			}
			t.Run(s.Name, func(t *testing.T) {
				key := sampleKey(s.Name)
				held, err := s.SecretFor(key)
				require.NoError(t, err)
				other, err := s.SecretFor(otherKey(s.Name))
				require.NoError(t, err)
				releaseOnceFixed(t, g, s, `{"source":"q-`+s.Name+`","provider":"`+s.Name+`"`, key, held, other)
			})
		}
	})
}

func TestTokensOfGenericProvidersCanBeReleased(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, atThen)
		for i, c := range []struct{ name, definition string }{
			{"a token behind a word", `{"scheme":"token","signature":{"header":"Authorization","prefix":"Bearer "},"event":{"type":"$.type","id":"$.id"}}`},
			{"a user and a password", `{"scheme":"basic","event":{"type":"$.type","id":"$.id"}}`},
			{"a token in the URL", `{"scheme":"token","signature":{"at":["query:token"]},"event":{"type":"$.type","id":"$.id"}}`},
			{"a signature in a header for credentials", `{"scheme":"hmac","signature":{"header":"Authorization","prefix":"HMAC "},"event":{"type":"$.type","id":"$.id"}}`},
			{"a signature in the URL", `{"scheme":"hmac","signature":{"at":["query:sig"]},"event":{"type":"$.type","id":"$.id"}}`},
			{"with a time in the same header", `{"scheme":"hmac","signature":{"header":"Authorization","separator":",","prefix":"v1=","over":"{timestamp}.{body}"},"timestamp":{"item":"t="},"event":{"type":"$.type","id":"$.id"}}`},
		} {
			t.Run(c.name, func(t *testing.T) {
				options := `{"generic":` + c.definition + `}`
				var o provider.Options
				require.NoError(t, json.Unmarshal([]byte(options), &o))
				s, err := provider.Builtin().Configure("generic", o)
				require.NoError(t, err)
				s.Samples = []provider.Sample{{Type: "t", Body: `{"id":"$ID","type":"t"}`}}
				key := secret.New("user:a-good-password")
				releaseOnceFixed(t, g, s, fmt.Sprintf(`{"source":"own-%d","provider":"generic","options":%s`, i, options), key, key, secret.New("user:another-password"))
			})
		}
	})
}

// releaseOnceFixed refuses a request while the integration that start begins to describe
// has other alone, and releases it once it has held.
func releaseOnceFixed(t *testing.T, g *gateway, s provider.Spec, start string, key, held, other secret.Value) {
	text, _ := json.Marshal(other.Reveal())
	a := g.manage(http.MethodPost, "/integrations", start+`,"secrets":[`+string(text)+`]}`)
	require.Equal(t, http.StatusCreated, a.Status, "%+v", a.Error)
	var made settings
	require.NoError(t, json.Unmarshal(a.Data, &made))
	req, err := s.SampleRequest(s.Samples[0], key, then, "http://example.com/api/v1/webhooks/"+made.Source, "quarantined")
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, g.plain(incoming(req)).Code)
	require.NoError(t, g.module.flushQuarantine(t.Context()))
	ids, _ := g.get("/quarantine?source=" + made.Source).list(t)
	require.Len(t, ids, 1)
	require.Equal(t, http.StatusConflict, g.manage(http.MethodPost, "/quarantine/"+ids[0]+"/release", "").Status)
	var stored string
	require.NoError(t, g.db.Get(t.Context(), &stored, `SELECT request_headers FROM quarantine WHERE id = $1`, ids[0]))
	require.NotContains(t, stored, key.Reveal())

	text, _ = json.Marshal(held.Reveal())
	require.Equal(t, http.StatusCreated, g.manage(http.MethodPost, "/integrations/"+made.ID+"/secrets", `{"value":`+string(text)+`}`).Status)
	a = g.manage(http.MethodPost, "/quarantine/"+ids[0]+"/release", "")
	require.Equal(t, http.StatusAccepted, a.Status, "%+v", a.Error)
}
