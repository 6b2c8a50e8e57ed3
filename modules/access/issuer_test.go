package access

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/testkit"
)

// roundTripFunc is an http.RoundTripper made of a function.
type roundTripFunc func(*http.Request) (*http.Response, error)

func (r roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

func TestAForgedTokenDoesNotDelayTokensWithKnownKeys(t *testing.T) {
	issuer, f, tokens := newTokens(t, nil)
	good := issuer.Token(nil)
	_, err := tokens.Authenticate(t.Context(), good)
	require.NoError(t, err)
	f.advance(minRefetch)

	asked, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	tokens.issuer.client.Transport = roundTripFunc(func(*http.Request) (*http.Response, error) {
		close(asked)
		<-release
		return nil, http.ErrServerClosed
	})
	results := make(chan error, 2)
	authenticate := func(ctx context.Context, token string) {
		_, err := tokens.Authenticate(ctx, token)
		results <- err
	}
	result := func(why string) error {
		select {
		case err := <-results:
			return err
		case <-time.After(20 * time.Second):
			require.Fail(t, why)
			return nil
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	go authenticate(ctx, issuer.TokenOf("made-up", nil))
	<-asked
	go authenticate(t.Context(), good)
	require.NoError(t, result("a token whose key is fresh waits for the issuer"))
	leave()
	require.True(t, fault.Is(result("a caller who left waits for the issuer"), fault.Unavailable))
}

func TestATokenWithoutAKeyIDIsAcceptedWhileKeysAreUsable(t *testing.T) {
	var away atomic.Bool
	own := rsaKey(t)
	published := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: own.Public(), KeyID: "rsa"}}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(w, "out for lunch", http.StatusBadGateway)
			return
		}
		published.ServeHTTP(w, r)
	}))
	defer server.Close()
	published.SetIssuer(server.URL)
	_, f, tokens := newTokens(t, func(cfg *TokensConfig) { cfg.Issuer = server.URL })
	text := fmt.Sprintf(`{"iss":%q,"aud":%q,"sub":"a","exp":%d}`, server.URL, testkit.Audience, f.now.Add(24*time.Hour).Unix())
	good, forged := oidctest.SignIDToken(own, "", "RS256", text), oidctest.SignIDToken(rsaKey(t), "", "RS256", text)
	_, err := tokens.Authenticate(t.Context(), good)
	require.NoError(t, err)
	refusedAs(t, tokens, "wrong_token", forged)

	away.Store(true)
	for _, passed := range []time.Duration{minRefetch, keysFreshFor, keysUsableFor - keysFreshFor - minRefetch - time.Second} {
		f.advance(passed)
		_, err = tokens.Authenticate(t.Context(), good)
		require.NoError(t, err, "its key is known")
		_, err = tokens.Authenticate(t.Context(), forged)
		require.True(t, fault.Is(err, fault.Unavailable), "its key may be a new one: %v", err)
	}
	f.advance(minRefetch)
	_, err = tokens.Authenticate(t.Context(), good)
	require.True(t, fault.Is(err, fault.Unavailable), "the keys are too old: %v", err)
}

func TestAnUnavailableIssuerIsLoggedOnceAMinute(t *testing.T) {
	issuer, f, tokens := newTokens(t, nil)
	issuer.SetUnavailable(true)
	f.now = f.now.Truncate(time.Minute)
	var log bytes.Buffer
	tokens.d.Log = slog.New(slog.NewTextHandler(&log, nil))
	for minute := range 2 {
		for range 5 {
			_, err := tokens.Authenticate(t.Context(), issuer.Token(nil))
			require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
			require.NotContains(t, err.Error(), "502", "the access log would repeat it for each request")
			f.advance(minRefetch)
		}
		f.advance(minRefetch)
		require.Equal(t, minute+1, strings.Count(log.String(), "502 Bad Gateway"), log.String())
	}
}

func TestAPanicInAFetchCountsAsUnavailable(t *testing.T) {
	issuer, _, tokens := newTokens(t, nil)
	tokens.issuer.client.Transport = roundTripFunc(func(*http.Request) (*http.Response, error) { panic("a bug") })
	_, err := tokens.Authenticate(t.Context(), issuer.Token(nil))
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
}
