package ingestion

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/provider/keysets"
	"integration-gateway/platform/testkit"
)

// pushed is the recorded request of Google Pub/Sub, and when it was made.
func pushed(t *testing.T) (push func() *http.Request, at time.Time) {
	folder := filepath.Join("..", "..", "platform", "provider", "testdata")
	text, err := os.ReadFile(filepath.Join(folder, "google-pubsub", "push.json"))
	require.NoError(t, err)
	body, err := os.ReadFile(filepath.Join(folder, "google-pubsub", "push.body"))
	require.NoError(t, err)
	var recorded struct {
		ReceivedAt time.Time
		Headers    map[string]string
	}
	require.NoError(t, json.Unmarshal(text, &recorded))
	return func() *http.Request {
		r := request("google-pubsub", string(body))
		for name, value := range recorded.Headers {
			r.Header.Set(name, value)
		}
		return r
	}, recorded.ReceivedAt
}

func TestTokensOfAnIssuerAreVerifiedWithItsKeys(t *testing.T) {
	keys, err := os.ReadFile(filepath.Join("..", "..", "platform", "provider", "testdata", "keys.json"))
	require.NoError(t, err)
	push, at := pushed(t)
	now := at
	var asked []string
	var down error
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(c *Config, d *Deps) {
		c.PublicBaseURL = "https://hooks.example.com"
		d.Now = func() time.Time { return now }
		d.KeySets = keysets.New(func(_ context.Context, url string) (int, []byte, error) {
			asked = append(asked, url)
			return http.StatusOK, keys, down
		}, d.Now)
	})
	g.sources.add("google-pubsub", "google-pubsub", "push@initech.iam.gserviceaccount.com")

	forged := push()
	forged.Header.Set("Authorization", "Bearer nothing")
	require.Equal(t, http.StatusUnauthorized, g.do(forged).Status)
	require.Empty(t, asked, "a header that cannot be read causes no download")

	down = errors.New("the issuer is down")
	require.Equal(t, http.StatusServiceUnavailable, g.do(push()).Status, "the provider tries again")
	down, now = nil, now.Add(keysets.MinRefetch)
	require.Equal(t, http.StatusAccepted, g.do(push()).Status)
	require.Equal(t, http.StatusOK, g.do(push()).Status, "a duplicate")
	require.Equal(t, []string{"https://www.googleapis.com/oauth2/v3/certs", "https://www.googleapis.com/oauth2/v3/certs"}, asked)
}
