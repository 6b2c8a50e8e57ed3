package ingestion

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/testkit"
)

const hookSecret = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"

func handshakeOf(value string) *http.Request {
	r := request("asana", "{}")
	r.Header.Set("X-Hook-Secret", value)
	return r
}

// greets sends a handshake, whose answer has no body, or is a refusal.
func (g *gateway) greets(value string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	g.handler.ServeHTTP(recorder, handshakeOf(value))
	return recorder
}

func asanaRequest(key, body string) *http.Request {
	r := request("asana", body)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	r.Header.Set("X-Hook-Signature", hex.EncodeToString(mac.Sum(nil)))
	return r
}

const asanaBody = `{"events":[{"action":"changed","resource":{"gid":"1","resource_type":"task"},"created_at":"2026-01-05T09:00:00Z"}]}`

func TestASecretOfAHandshakeVerifiesNothingUntilItIsConfirmed(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.sources.add("asana", "asana")
		a := g.greets(hookSecret)
		require.Equal(t, http.StatusOK, a.Code)
		require.Equal(t, hookSecret, a.Header().Get("X-Hook-Secret"), "Asana wants it back at once")
		require.Len(t, g.sources.arrived, 1)
		require.Equal(t, provider.Signing, g.sources.arrived[0].Purpose)
		require.Equal(t, hookSecret, g.sources.arrived[0].Value.Reveal())
		require.Zero(t, g.stored(), "it is no event")

		require.Equal(t, http.StatusUnauthorized, g.do(asanaRequest(hookSecret, asanaBody)).Status)
		kept := g.kept()
		require.Len(t, kept, 1)
		require.Equal(t, "no_match", kept[0].Reason)
		_, err := g.module.Release(t.Context(), kept[0].ID)
		require.Error(t, err, "nobody has confirmed it")

		g.sources.change("asana", func(s *settings) { s.Secrets = append(s.Secrets, hookSecret) })
		released, err := g.module.Release(t.Context(), kept[0].ID)
		require.NoError(t, err)
		require.NotEmpty(t, released.EventID)
		require.Equal(t, http.StatusAccepted, g.do(asanaRequest(hookSecret, `{"events":[{"action":"deleted","resource":{"gid":"2","resource_type":"task"}}]}`)).Status)
		require.Equal(t, http.StatusOK, g.greets(hookSecret).Code)
		require.Len(t, g.sources.arrived, 1, "it is in use")
	})
}

func TestAHandshakeWhoseSecretIsNotStoredFails(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	g.sources.add("asana", "asana")
	g.sources.full = true
	a := g.greets(hookSecret)
	require.Equal(t, http.StatusConflict, a.Code)
	require.Empty(t, a.Header().Get("X-Hook-Secret"), "an echo would promise that it is kept")
	require.Empty(t, g.kept(), "its secret is not in quarantine either")

	g.sources.full = false
	for _, none := range []string{"", "two\u00e9"} {
		require.Equal(t, http.StatusUnauthorized, g.greets(none).Code)
	}
	require.Empty(t, g.sources.arrived)
}

func TestStrangersStoreFewSecrets(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(_ *Config, d *Deps) { d.Now = newFakeClock().now })
	g.sources.add("asana", "asana")
	var last int
	for i := range arrivalsOfNetwork + 1 {
		last = g.greets(fmt.Sprintf("%s-%d", hookSecret, i)).Code
	}
	require.Equal(t, http.StatusTooManyRequests, last)
	require.Len(t, g.sources.arrived, arrivalsOfNetwork)
}
