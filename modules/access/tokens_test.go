package access

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/testkit"
)

// roles maps the role values in the tests' tokens.
var roles = map[string]httpapi.Role{"viewer": httpapi.Viewer, "operator": httpapi.Operator, "sre": httpapi.Admin}

// newTokens returns an issuer, a fixture with a clock, and tokens that accept the issuer.
func newTokens(t *testing.T, change func(*TokensConfig)) (*testkit.Issuer, *fixture, *Tokens) {
	t.Helper()
	issuer := testkit.NewIssuer(t)
	f := &fixture{t: t, now: time.Now()}
	cfg := TokensConfig{Issuer: issuer.URL, Audience: testkit.Audience, RoleClaim: "roles", Roles: roles}
	if change != nil {
		change(&cfg)
	}
	return issuer, f, NewTokens(cfg, TokensDeps{Log: slog.New(slog.DiscardHandler), Now: f.clock, Sources: f})
}

type claims = map[string]any

// refusedAs requires that a token is refused for this reason.
func refusedAs(t *testing.T, tokens *Tokens, reason, token string, about ...any) {
	t.Helper()
	_, err := tokens.Authenticate(t.Context(), token)
	require.Equal(t, httpapi.Refuse(reason), err, about...)
}

func TestATokenAuthenticatesItsSubject(t *testing.T) {
	issuer, _, tokens := newTokens(t, nil)
	caller, err := tokens.Authenticate(t.Context(), issuer.Token(claims{"sub": "billing", "roles": []string{"operator"}}))
	require.NoError(t, err)
	require.Equal(t, httpapi.Caller{Actor: "oidc:billing", Role: httpapi.Operator}, caller)
}

func TestRolesOfATokenComeFromItsClaim(t *testing.T) {
	for _, c := range []struct {
		name   string
		claim  string
		claims claims
		role   httpapi.Role
	}{
		{"a list", "roles", claims{"roles": []any{"viewer"}}, httpapi.Viewer},
		{"the highest of several", "roles", claims{"roles": []any{"viewer", "sre", "operator"}}, httpapi.Admin},
		{"words", "scope", claims{"scope": "openid operator"}, httpapi.Operator},
		{"by a path", "realm_access.roles", claims{"realm_access": claims{"roles": []any{"sre"}}}, httpapi.Admin},
		{"a name with dots", "https://example.com/roles", claims{"https://example.com/roles": []any{"sre"}}, httpapi.Admin},
		{"a name with dots within another", "a.b.c.d", claims{"a.b": claims{"c.d": "sre"}}, httpapi.Admin},
		{"unmapped roles", "roles", claims{"roles": []any{"admin", "SRE", "", "viewer "}}, 0},
		{"another claim", "roles", claims{"scope": "sre"}, 0},
		{"none", "roles", nil, 0},
		{"numbers and objects", "roles", claims{"roles": []any{3, claims{"sre": true}, nil}}, 0},
		{"an object", "roles", claims{"roles": claims{"sre": true}}, 0},
		{"a path through a string", "roles.sre", claims{"roles": "sre"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			issuer, _, tokens := newTokens(t, func(cfg *TokensConfig) { cfg.RoleClaim = c.claim })
			caller, err := tokens.Authenticate(t.Context(), issuer.Token(c.claims))
			require.NoError(t, err)
			require.Equal(t, httpapi.Caller{Actor: "oidc:a-service", Role: c.role}, caller)
		})
	}
}

func TestATokenIsRestrictedToTheSourcesInItsClaim(t *testing.T) {
	issuer, f, tokens := newTokens(t, func(cfg *TokensConfig) { cfg.SourcesClaim = "sources" })
	for _, c := range []struct {
		name    string
		sources any
		role    httpapi.Role
		scope   *httpapi.Scope
	}{
		{"one", []string{"orders"}, httpapi.Viewer, &httpapi.Scope{Sources: []string{"orders"}, Integrations: []string{"id of orders"}}},
		{"all", []string{"orders", "*"}, httpapi.Viewer, nil},
		{"none", []string{}, 0, nil},
		{"no claim", nil, 0, nil},
		{"more than a key may have", strings.Repeat("x ", maxSources+1), 0, nil},
	} {
		caller, err := tokens.Authenticate(t.Context(), issuer.Token(claims{"roles": "viewer", "sources": c.sources}))
		require.NoError(t, err, c.name)
		require.Equal(t, httpapi.Caller{Actor: "oidc:a-service", Role: c.role, Scope: c.scope}, caller, c.name)
	}
	f.sourcesErr = errors.New("the database is down")
	_, err := tokens.Authenticate(t.Context(), issuer.Token(claims{"roles": "viewer", "sources": "orders"}))
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
}

func TestInvalidTokens(t *testing.T) {
	issuer, f, tokens := newTokens(t, nil)
	good := issuer.Token(claims{"roles": "sre"})
	parts := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	at := func(d time.Duration) int64 { return f.now.Add(d).Unix() }
	flipped := "A"
	if strings.HasPrefix(parts[2], "A") {
		flipped = "B"
	}
	for _, c := range []struct{ name, reason, token string }{
		{"nothing", "wrong_token", ""},
		{"no token", "wrong_token", "hunter2"},
		{"no algorithm", "wrong_token", encode([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."},
		{"a shared secret", "wrong_token", oidctest.SignIDToken([]byte(strings.Repeat("k", 32)), "key-1", "HS256", `{}`)},
		{"an algorithm that does not match the key", "wrong_token", oidctest.SignIDToken(rsaKey(t), "key-1", "RS256", `{}`)},
		{"another key with the same id", "wrong_token", testkit.NewIssuer(t).Token(claims{"iss": issuer.URL})},
		{"another signature", "wrong_token", parts[0] + "." + parts[1] + "." + flipped + parts[2][1:]},
		{"other claims", "wrong_token", parts[0] + "." + encode([]byte(`{"sub":"root"}`)) + "." + parts[2]},
		{"without its signature", "wrong_token", parts[0] + "." + parts[1] + "."},
		{"in JSON", "wrong_token", fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2])},
		{"an unknown key", "wrong_token", issuer.TokenOf("key-9", nil)},
		{"expired", "expired_token", issuer.Token(claims{"exp": at(-time.Second)})},
		{"without an expiry", "expired_token", issuer.Token(claims{"exp": nil})},
		{"not begun", "unfit_token", issuer.Token(claims{"nbf": at(6 * time.Minute)})},
		{"of another issuer", "unfit_token", issuer.Token(claims{"iss": issuer.URL + "/"})},
		{"for another audience", "unfit_token", issuer.Token(claims{"aud": "somebody-else"})},
		{"for nobody", "unfit_token", issuer.Token(claims{"aud": nil})},
		{"without a subject", "unfit_token", issuer.Token(claims{"sub": nil})},
		{"with a subject that would forge a log line", "unfit_token", issuer.Token(claims{"sub": "a\nb"})},
		{"with an overlong subject", "unfit_token", issuer.Token(claims{"sub": strings.Repeat("x", maxSubject+1)})},
		{"with an expiry that is not a time", "unfit_token", issuer.Token(claims{"exp": "soon"})},
	} {
		t.Run(c.name, func(t *testing.T) { refusedAs(t, tokens, c.reason, c.token) })
	}
	for name, right := range map[string]string{
		"as it came":             good,
		"for several":            issuer.Token(claims{"aud": []string{"x", testkit.Audience}}),
		"a clock that is behind": issuer.Token(claims{"nbf": at(4 * time.Minute)}),
		"about to expire":        issuer.Token(claims{"exp": at(2 * time.Second)}),
	} {
		_, err := tokens.Authenticate(t.Context(), right)
		require.NoError(t, err, name)
	}
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return key
}

func TestTheIssuersKeysAreRotated(t *testing.T) {
	issuer, f, tokens := newTokens(t, nil)
	before := issuer.Token(nil)
	_, err := tokens.Authenticate(t.Context(), before)
	require.NoError(t, err)
	issuer.Rotate()
	after := issuer.Token(nil)
	refusedAs(t, tokens, "wrong_token", after, "the keys were fetched a moment ago")
	f.advance(minRefetch)
	_, err = tokens.Authenticate(t.Context(), after)
	require.NoError(t, err)
	refusedAs(t, tokens, "wrong_token", before, "the issuer has withdrawn its key")
}

func TestAWithdrawnKeyIsDropped(t *testing.T) {
	issuer, f, tokens := newTokens(t, nil)
	stolen := issuer.Token(nil)
	_, err := tokens.Authenticate(t.Context(), stolen)
	require.NoError(t, err)
	issuer.Rotate()
	f.advance(keysFreshFor - time.Second)
	_, err = tokens.Authenticate(t.Context(), stolen)
	require.NoError(t, err)
	f.advance(time.Second)
	refusedAs(t, tokens, "wrong_token", stolen, "no token with another key was needed")
}

func TestAFloodOfUnknownKeysCausesFewFetches(t *testing.T) {
	issuer, f, tokens := newTokens(t, nil)
	good := issuer.Token(nil)
	flood := func() {
		var all sync.WaitGroup
		for n := range 50 {
			forged := issuer.TokenOf(fmt.Sprintf("made-up-%d", n), nil)
			all.Go(func() { _, _ = tokens.Authenticate(context.Background(), forged) })
		}
		all.Wait()
		_, err := tokens.Authenticate(t.Context(), good)
		require.NoError(t, err)
	}
	flood()
	require.Equal(t, 1, issuer.Fetched())
	f.advance(minRefetch)
	flood()
	require.Equal(t, 2, issuer.Fetched())
	for range 50 {
		refusedAs(t, tokens, "wrong_token", good+"x", "an invalid signature causes no fetch")
		f.advance(time.Second)
	}
	require.Equal(t, 2, issuer.Fetched())
}

func TestWhileTheIssuerIsUnavailable(t *testing.T) {
	issuer, f, tokens := newTokens(t, nil)
	issuer.SetUnavailable(true)
	good := issuer.Token(claims{"exp": f.now.Add(24 * time.Hour).Unix()})
	unavailable := func(token, why string) {
		t.Helper()
		_, err := tokens.Authenticate(t.Context(), token)
		require.True(t, fault.Is(err, fault.Unavailable), "%s: %v", why, err)
		require.Equal(t, "issuer_away", fault.As(err).Reason)
		require.NotContains(t, err.Error(), token)
	}
	for range 10 {
		unavailable(good, "no key is known")
	}
	require.Zero(t, issuer.Fetched(), "discovery failed")
	issuer.SetUnavailable(false)
	unavailable(good, "it was tried a moment ago")
	f.advance(minRefetch)
	_, err := tokens.Authenticate(t.Context(), good)
	require.NoError(t, err)

	issuer.SetUnavailable(true)
	f.advance(keysUsableFor - time.Second)
	_, err = tokens.Authenticate(t.Context(), good)
	require.NoError(t, err, "its keys are known")
	refusedAs(t, tokens, "wrong_token", issuer.TokenOf("key-9", nil), "or a flood of these would not count as failures")
	f.advance(minRefetch)
	unavailable(good, "the keys are too old")
}

func TestAHangingIssuerTimesOut(t *testing.T) {
	hang, release := make(chan struct{}, 1), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hang <- struct{}{}; <-release }))
	defer server.Close()
	defer close(release)
	_, _, tokens := newTokens(t, func(cfg *TokensConfig) { cfg.Issuer = server.URL })
	tokens.issuer.timeout = 50 * time.Millisecond
	_, err := tokens.Authenticate(t.Context(), testkit.NewIssuer(t).Token(nil))
	<-hang
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
}

func TestAnHTTPSIssuerIsNeverDowngradedToPlainHTTP(t *testing.T) {
	asked := make(chan string, 10)
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	defer plain.Close()
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"keys over plain http": func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, `{"issuer":"https://%s","jwks_uri":%q}`, r.Host, plain.URL+"/keys")
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewTLSServer(http.HandlerFunc(answer))
			defer server.Close()
			i := newIssuer(server.URL, time.Now)
			i.client.Transport = guardedTransport{next: server.Client().Transport, secure: true}
			_, _, err := i.fetch(t.Context())
			require.ErrorContains(t, err, "is not https")
			require.Empty(t, asked)
		})
	}
	i := newIssuer("https://issuer.example.com", time.Now)
	require.True(t, i.client.Transport.(guardedTransport).secure)
}

func TestAnIssuersAnswerIsLimited(t *testing.T) {
	for size, good := range map[int]bool{maxDocumentBytes / 2: true, 2 * maxDocumentBytes: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Path == "/keys" {
				_, _ = w.Write([]byte(`{"keys":[` + edKey + `]}`))
				return
			}
			_, _ = fmt.Fprintf(w, `{"padding":%q,"issuer":"http://%s","jwks_uri":"http://%s/keys"}`, strings.Repeat("x", size), r.Host, r.Host)
		}))
		_, _, err := newIssuer(server.URL, time.Now).fetch(t.Context())
		server.Close()
		if good {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "discover the issuer")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("x", 10*maxErrorBytes), http.StatusBadGateway)
	}))
	defer server.Close()
	_, _, err := newIssuer(server.URL, time.Now).fetch(t.Context())
	require.ErrorContains(t, err, "502")
	require.Less(t, len(err.Error()), 2*maxErrorBytes, "a whole page does not belong in the log")
}

// edKey is the key of RFC 8037, appendix A.2.
const edKey = `{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`

func TestEveryKindOfPublicKey(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	own := rsaKey(t)
	server := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: own.Public(), KeyID: "rsa"}, {PublicKey: ed.Public(), KeyID: "ed"}}}
	listener := httptest.NewServer(server)
	defer listener.Close()
	server.SetIssuer(listener.URL)
	_, f, tokens := newTokens(t, func(cfg *TokensConfig) { cfg.Issuer = listener.URL })
	text := fmt.Sprintf(`{"iss":%q,"aud":%q,"sub":"a","exp":%d}`, listener.URL, testkit.Audience, f.now.Add(time.Hour).Unix())
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		_, err := tokens.Authenticate(t.Context(), oidctest.SignIDToken(own, "rsa", alg, text))
		require.NoError(t, err, alg)
	}
	_, err = tokens.Authenticate(t.Context(), oidctest.SignIDToken(ed, "ed", "EdDSA", text))
	require.NoError(t, err)
	refusedAs(t, tokens, "wrong_token", oidctest.SignIDToken(ed, "rsa", "EdDSA", text), "another key's name")
}

func TestKeysOfOtherKindsAreSkipped(t *testing.T) {
	for _, other := range []string{`{"kty":"oct","k":"c2VjcmV0","kid":"s"}`, `{"kty":"OKP","crv":"Ed448","x":"AA"}`, `{"kty":"new"}`, `3`,
		strings.Replace(edKey, `"kid"`, `"use":"enc","kid"`, 1)} {
		keys, err := readKeys(strings.NewReader(`{"keys":[` + other + `,` + edKey + `]}`))
		require.NoError(t, err, other)
		require.Len(t, keys, 1, other)
		require.Equal(t, "ed", keys[0].KeyID)
		_, err = readKeys(strings.NewReader(`{"keys":[` + other + `]}`))
		require.ErrorContains(t, err, "no usable key", other)
	}
}
