package testkit

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
)

// Audience is the audience of an Issuer's tokens, unless their claims say otherwise.
const Audience = "gateway"

// Issuer is an OpenID Connect issuer on the loopback, with one key at a time.
type Issuer struct {
	t   *testing.T
	URL string

	mu          sync.Mutex
	server      oidctest.Server
	key         *ecdsa.PrivateKey
	keyID       string
	made        int
	unavailable bool
	fetched     int
	logins      logins
}

// NewIssuer starts one until the test ends.
func NewIssuer(t *testing.T) *Issuer {
	t.Helper()
	i := &Issuer{t: t}
	i.Rotate()
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	i.URL = server.URL
	i.server.SetIssuer(server.URL)
	return i
}

func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	if r.URL.Path == "/keys" {
		i.fetched++
	}
	away := i.unavailable
	i.mu.Unlock()
	if away {
		http.Error(w, "out for lunch", http.StatusBadGateway)
		return
	}
	switch r.URL.Path {
	case "/auth":
		i.authorize(w, r)
	case "/token":
		i.redeem(w, r)
	default:
		i.mu.Lock()
		defer i.mu.Unlock()
		i.server.ServeHTTP(w, r)
	}
}

// Rotate makes it sign with a new key, and publish no other.
func (i *Issuer) Rotate() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.made++
	i.key, i.keyID = newKey(i.t), fmt.Sprintf("key-%d", i.made)
	i.server.PublicKeys = []oidctest.PublicKey{{PublicKey: i.key.Public(), KeyID: i.keyID, Algorithm: oidc.ES256}}
}

// SetUnavailable makes it answer only errors, or ends that.
func (i *Issuer) SetUnavailable(away bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.unavailable = away
}

// Fetched returns how often its keys were fetched.
func (i *Issuer) Fetched() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetched
}

// Token makes a token with these claims. iss, aud, sub and exp are set unless given; nil
// omits one.
func (i *Issuer) Token(claims map[string]any) string { return i.TokenOf("", claims) }

// TokenOf is Token with another key id; "" is the correct one.
func (i *Issuer) TokenOf(keyID string, claims map[string]any) string {
	i.t.Helper()
	all := map[string]any{"iss": i.URL, "aud": Audience, "sub": "a-service", "exp": clock.System().Add(time.Hour).Unix()}
	for name, value := range claims {
		all[name] = value
		if value == nil {
			delete(all, name)
		}
	}
	text, err := json.Marshal(all)
	require.NoError(i.t, err)
	i.mu.Lock()
	defer i.mu.Unlock()
	if keyID == "" {
		keyID = i.keyID
	}
	return oidctest.SignIDToken(i.key, keyID, oidc.ES256, string(text))
}
