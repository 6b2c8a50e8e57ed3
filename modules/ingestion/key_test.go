package ingestion

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/database"
)

// After a restore the gateway does not know what it has delivered, and the provider's
// webhook makes a new event: what receivers deduplicate by must be the old one's.
func TestAnEventReceivedAgainAfterARestoreKeepsItsIdempotencyKey(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, func(_ *Config, d *Deps) { d.Cache = cache.None{} })
		seen := map[string]string{}
		for sentence, id := range map[string]string{
			"a plain id":              `"e1"`,
			"a longer one":            `"` + strings.Repeat("e", maxPlainID+1) + `"`,
			"one that differs late":   `"` + strings.Repeat("e", 600) + `1"`,
			"and later still":         `"` + strings.Repeat("e", 600) + `2"`,
			"an id that is no text":   `"\ud800"`,
			"another that is none":    `"\ud801"`,
			"an id that ends in room": `"e1 "`,
			"an id that looks hashed": `"sha256:e1"`,
			"an id with an escape":    `"e\u0031"`,
		} {
			t.Run(sentence, func(t *testing.T) {
				key := func() (eventID, key string) {
					body := strings.Replace(acmeBody("ID"), `"ID"`, id, 1)
					a := g.do(acmeRequest(body))
					require.Equal(t, http.StatusAccepted, a.Status, a.Error.Message)
					eventID = a.receipt(t).EventID
					found, err := g.module.Deliverables(t.Context(), []string{eventID})
					require.NoError(t, err)
					return eventID, found[0].IdempotencyKey
				}
				before, first := key()
				g.exec(`DELETE FROM idempotency_keys`)
				after, second := key()
				require.NotEqual(t, before, after)
				require.Equal(t, first, second)
				require.Regexp(t, "^[0-9a-f]{64}$", first)
				require.NotContains(t, seen, first, "another event has it")
				seen[first] = sentence
			})
		}
	})
}

func TestTheIdempotencyKeyOfAnEventWithoutAnIDIsItsBody(t *testing.T) {
	for i, key := range []string{"s:payload:abc", "s:payload:abc:0", "s:payload:abc:1"} {
		own := ownDigest("s", nil, key)
		require.Equal(t, hash([]byte(key)), keyDigest("s", nil, own), i)
	}
	id := "e1"
	require.Nil(t, ownDigest("s", &id, "s:e1"), "what is stored anyway takes no room")
	require.Equal(t, hash([]byte("s:e1")), keyDigest("s", &id, nil))
	require.Empty(t, keyDigest("s", nil, nil))
}
