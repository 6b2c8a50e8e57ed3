package login

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cli/target"
	"integration-gateway/platform/fault"
)

// issuer answers each of its endpoints from a list, whose last answer stays, and records the
// forms. An answer is a status and a body.
type issuer struct {
	URL string

	mu       sync.Mutex
	metadata map[string]any
	answers  map[string][]string
	forms    map[string][]url.Values
}

// fixture is a login at an issuer, with a clock that passes only while the login waits.
type fixture struct {
	*issuer
	t     *testing.T
	now   time.Time
	waits []time.Duration
	path  string
	login target.Login
}

func newFixture(t *testing.T, answers map[string][]string) *fixture {
	t.Helper()
	i := &issuer{answers: answers, forms: map[string][]url.Values{}}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	i.URL = server.URL
	i.metadata = map[string]any{"issuer": i.URL, "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
		"device_authorization_endpoint": i.URL + "/device", "revocation_endpoint": i.URL + "/revoke"}
	if answers["/device"] == nil {
		answers["/device"] = []string{i.code(`"expires_in":600`)}
	}
	return &fixture{issuer: i, t: t, now: time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC), path: filepath.Join(t.TempDir(), "tokens", "prod.json"),
		login: target.Login{Issuer: i.URL, ClientID: "cli", Scopes: []string{"openid", "offline_access"}}}
}

func (i *issuer) code(more string) string {
	return fmt.Sprintf(`200 {"device_code":"d-1","user_code":"WDJB-MJHT","verification_uri":"%s/go",%s}`, i.URL, more)
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.URL.Path == "/.well-known/openid-configuration" && i.metadata != nil {
		_ = json.NewEncoder(w).Encode(i.metadata)
		return
	}
	_ = r.ParseForm()
	i.forms[r.URL.Path] = append(i.forms[r.URL.Path], r.PostForm)
	all := i.answers[r.URL.Path]
	if len(all) == 0 {
		http.Error(w, "out for lunch", http.StatusBadGateway)
		return
	}
	if len(all) > 1 {
		i.answers[r.URL.Path] = all[1:]
	}
	var status int
	_, _ = fmt.Sscanf(all[0], "%d", &status)
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusTemporaryRedirect {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(all[0][4:]))
}

func (i *issuer) sent(path string) []url.Values {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.forms[path]
}

func (i *issuer) answer(path string, answers ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answers[path] = answers
}

// tokens are those of a new process.
func (f *fixture) tokens() *Tokens {
	return New(Options{API: "https://gw.example", Login: f.login, Path: f.path, Now: func() time.Time { return f.now },
		Wait: func(ctx context.Context, d time.Duration) bool {
			f.waits, f.now = append(f.waits, d), f.now.Add(d)
			return ctx.Err() == nil
		}})
}

func (f *fixture) loggedIn() *Tokens {
	f.t.Helper()
	tokens := f.tokens()
	require.NoError(f.t, tokens.Login(f.t.Context(), func(Prompt) {}))
	return tokens
}

func granted(token, more string) string {
	return fmt.Sprintf(`200 {"access_token":%q,"token_type":"Bearer","expires_in":300%s}`, token, more)
}

func failed(code string) string { return fmt.Sprintf(`400 {"error":%q}`, code) }

func TestADeviceLoginWaitsForThePerson(t *testing.T) {
	f := newFixture(t, map[string][]string{"/token": {failed("authorization_pending"), failed("slow_down"), `503 {}`, "200 no JSON", failed("authorization_pending"),
		granted("a-1", `,"refresh_token":"r-1"`)}})
	f.login.Audience = "gateway"
	var shown []Prompt
	tokens := f.tokens()
	_, err := tokens.Token(t.Context())
	require.True(t, fault.Is(err, fault.Unauthorized), "%v", err)
	require.NoError(t, tokens.Login(t.Context(), func(p Prompt) { shown = append(shown, p) }))
	require.Equal(t, []Prompt{{Code: "WDJB-MJHT", URI: f.URL + "/go", For: 10 * time.Minute}}, shown)
	require.Equal(t, []time.Duration{5 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 40 * time.Second}, f.waits,
		"slow_down adds five seconds for good, no answer doubles")
	require.Equal(t, []url.Values{{"client_id": {"cli"}, "scope": {"openid offline_access"}, "audience": {"gateway"}}}, f.sent("/device"))
	require.Equal(t, url.Values{"client_id": {"cli"}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {"d-1"}}, f.sent("/token")[0])
	for _, process := range []*Tokens{tokens, f.tokens()} {
		token, err := process.Token(t.Context())
		require.NoError(t, err)
		require.Equal(t, "a-1", token)
	}
	for path, mode := range map[string]os.FileMode{f.path: 0o600, filepath.Dir(f.path): 0o700} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), path)
	}
}

func TestDeviceLoginsThatFail(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers map[string][]string
		change  func(*fixture)
		kind    fault.Kind
		says    string
	}{
		{"denied by the person", map[string][]string{"/token": {failed("authorization_pending"), failed("access_denied")}}, nil, fault.Forbidden, "denied"},
		{"expired at the issuer", map[string][]string{"/token": {failed("expired_token")}}, nil, fault.Unavailable, "expired"},
		{"never answered", map[string][]string{"/token": {failed("authorization_pending")}}, nil, fault.Unavailable, "expired"},
		{"the issuer goes away", map[string][]string{"/token": {`502 {}`}}, nil, fault.Unavailable, "expired"},
		{"a client that may not", map[string][]string{"/device": {`401 {"error":"unauthorized_client","error_description":"no device flow"}`}}, nil, fault.Forbidden,
			"refused the client cli: unauthorized_client, no device flow"},
		{"an error that is unknown", map[string][]string{"/token": {failed("invalid_client")}}, nil, fault.Forbidden, "invalid_client"},
		{"no token in the answer", map[string][]string{"/token": {`200 {"token_type":"Bearer"}`}}, nil, fault.Unavailable, "without a usable token"},
		{"an ID token that is missing", map[string][]string{"/token": {granted("a-1", "")}}, func(f *fixture) { f.login.IDToken = true }, fault.Unavailable, "without a usable token"},
		{"a header in the token", map[string][]string{"/token": {granted("a\r\nX: y", "")}}, nil, fault.Unavailable, "without a usable token"},
		{"no code", map[string][]string{"/device": {`200 {"device_code":"d"}`}}, nil, fault.Unavailable, "no usable code"},
		{"an address that is none", map[string][]string{"/device": {`200 {"device_code":"d","user_code":"c","verification_uri":"javascript:alert(1)"}`}}, nil, fault.Unavailable,
			"no usable code or address"},
		{"an issuer without device login", nil, func(f *fixture) { delete(f.metadata, "device_authorization_endpoint") }, fault.Forbidden, "has no device login"},
		{"an issuer of another name", nil, func(f *fixture) { f.metadata["issuer"] = "https://other.example" }, fault.Unavailable, "cannot be used"},
		{"an endpoint in the clear", nil, func(f *fixture) { f.metadata["token_endpoint"] = "http://login.example/token" }, fault.Forbidden, "not https"},
		{"no issuer", nil, func(f *fixture) { f.metadata = nil }, fault.Unavailable, "cannot be used"},
		{"a redirect, which would send the code on", map[string][]string{"/device": {`307 {}`}, "/elsewhere": {`200 {}`}}, nil, fault.Unavailable, "status 307"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.answers == nil {
				c.answers = map[string][]string{}
			}
			f := newFixture(t, c.answers)
			if c.change != nil {
				c.change(f)
			}
			err := f.tokens().Login(t.Context(), func(Prompt) {})
			require.Equal(t, c.kind, fault.KindOf(err), "%v", err)
			require.ErrorContains(t, err, c.says)
			require.NoFileExists(t, f.path)
			require.LessOrEqual(t, f.now.Sub(time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)), 10*time.Minute)
			require.Empty(t, f.sent("/elsewhere"))
		})
	}
}

func TestTheIssuersIntervalAndLifetimeAreHeldAndBounded(t *testing.T) {
	for more, want := range map[string]time.Duration{`"interval":7,"expires_in":20`: 7 * time.Second, `"interval":0,"expires_in":20`: 5 * time.Second,
		`"interval":-1,"expires_in":0`: 5 * time.Second, `"interval":9223372036854775807,"expires_in":9223372036854775807`: time.Minute} {
		f := newFixture(t, map[string][]string{"/token": {failed("authorization_pending")}})
		f.answer("/device", f.code(more))
		began := f.now
		require.Error(t, f.tokens().Login(t.Context(), func(Prompt) {}), more)
		require.Equal(t, want, f.waits[0], more)
		require.LessOrEqual(t, f.now.Sub(began), 30*time.Minute, more)
	}
}

func TestALoginEndsWithItsContext(t *testing.T) {
	f := newFixture(t, map[string][]string{"/token": {failed("authorization_pending")}})
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, f.tokens().Login(ctx, func(Prompt) { cancel() }), context.Canceled)
}

func TestATokenIsRefreshedBeforeItExpires(t *testing.T) {
	f := newFixture(t, map[string][]string{"/token": {granted("a-1", `,"refresh_token":"r-1"`), granted("a-2", `,"refresh_token":"r-2"`), granted("a-3", "")}})
	tokens := f.loggedIn()
	token := func(want string, process *Tokens) {
		t.Helper()
		got, err := process.Token(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	other := f.tokens()
	token("a-1", other)
	f.now = f.now.Add(269 * time.Second)
	token("a-1", tokens)
	f.now = f.now.Add(time.Second)
	token("a-2", tokens)
	token("a-2", other) // the other process's refresh token would be refused by now
	require.Len(t, f.sent("/token"), 2)
	require.Equal(t, url.Values{"client_id": {"cli"}, "grant_type": {"refresh_token"}, "refresh_token": {"r-1"}}, f.sent("/token")[1])
	f.now = f.now.Add(300 * time.Second)
	token("a-3", tokens)
	f.now = f.now.Add(300 * time.Second)
	f.answer("/token", granted("a-4", ""))
	token("a-4", f.tokens())
	require.Equal(t, "r-2", f.sent("/token")[3].Get("refresh_token"), "without a new one, the one before stays")
}

func TestManyProcessesRefreshOnce(t *testing.T) {
	f := newFixture(t, map[string][]string{"/token": {granted("a-1", `,"refresh_token":"r-1"`), granted("a-2", `,"refresh_token":"r-2"`), failed("invalid_grant")}})
	f.loggedIn()
	f.now = f.now.Add(300 * time.Second)
	var all sync.WaitGroup
	for range 8 {
		process := f.tokens()
		all.Go(func() {
			got, err := process.Token(t.Context())
			if err != nil || got != "a-2" {
				t.Errorf("%s %v", got, err)
			}
		})
	}
	all.Wait()
	require.Len(t, f.sent("/token"), 2)
}

func TestRefreshesThatFail(t *testing.T) {
	f := newFixture(t, map[string][]string{"/token": {granted("a-1", `,"refresh_token":"r-1"`)}})
	f.loggedIn()
	f.now = f.now.Add(280 * time.Second)
	f.answer("/token", `503 {}`)
	got, err := f.tokens().Token(t.Context())
	require.NoError(t, err, "it is valid for 20 seconds more")
	require.Equal(t, "a-1", got)
	f.now = f.now.Add(20 * time.Second)
	_, err = f.tokens().Token(t.Context())
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
	require.FileExists(t, f.path, "the issuer may come back")
	in, err := f.tokens().LoggedIn()
	require.NoError(t, err)
	require.True(t, in)

	f.answer("/token", failed("invalid_grant"))
	tokens := f.tokens()
	for range 2 {
		_, err = tokens.Token(t.Context())
		require.True(t, fault.Is(err, fault.Unauthorized), "%v", err)
	}
	require.NoFileExists(t, f.path)

	f.answer("/token", granted("a-9", ""))
	f.loggedIn()
	f.now = f.now.Add(299 * time.Second)
	got, err = f.tokens().Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, "a-9", got, "there is nothing to refresh it with")
	f.now = f.now.Add(time.Second)
	_, err = f.tokens().Token(t.Context())
	require.True(t, fault.Is(err, fault.Unauthorized), "%v", err)
	require.NotContains(t, err.Error(), "a-9")
}

func TestAnIDTokenEndsAsItSays(t *testing.T) {
	f := newFixture(t, map[string][]string{})
	f.login.IDToken = true
	id := "h." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, f.now.Add(time.Hour).Unix())) + ".s"
	f.answer("/token", granted("opaque", fmt.Sprintf(`,"id_token":%q`, id)))
	f.loggedIn()
	f.now = f.now.Add(50 * time.Minute)
	got, err := f.tokens().Token(t.Context())
	require.NoError(t, err, "expires_in is the access token's")
	require.Equal(t, id, got)
	f.now = f.now.Add(10 * time.Minute)
	_, err = f.tokens().Token(t.Context())
	require.True(t, fault.Is(err, fault.Unauthorized), "%v", err)
}

func TestATokenIsForItsGatewayAndLoginAlone(t *testing.T) {
	f := newFixture(t, map[string][]string{"/token": {granted("a-1", `,"refresh_token":"r-1"`)}})
	f.loggedIn()
	for name, change := range map[string]func(*Options){
		"another gateway": func(o *Options) { o.API = "https://other.example" },
		"another client":  func(o *Options) { o.Login.ClientID = "other" },
		"another issuer":  func(o *Options) { o.Login.Issuer = "https://other.example" },
		"other scopes":    func(o *Options) { o.Login.Scopes = []string{"openid"} },
	} {
		tokens := f.tokens()
		change(&tokens.o)
		_, err := tokens.Token(t.Context())
		require.True(t, fault.Is(err, fault.Unauthorized), "%s: %v", name, err)
	}
	require.NoError(t, os.WriteFile(f.path, []byte("{"), 0o600))
	_, err := f.tokens().Token(t.Context())
	require.True(t, fault.Is(err, fault.Unauthorized), "%v", err)
}

func TestALogoutForgetsAndRevokes(t *testing.T) {
	f := newFixture(t, map[string][]string{"/token": {granted("a-1", `,"refresh_token":"r-1"`)}, "/revoke": {`200 `}})
	f.loggedIn()
	was, revoking, err := f.tokens().Logout(t.Context())
	require.NoError(t, err)
	require.NoError(t, revoking)
	require.True(t, was)
	require.NoFileExists(t, f.path)
	require.Equal(t, []url.Values{{"client_id": {"cli"}, "token": {"r-1"}, "token_type_hint": {"refresh_token"}}}, f.sent("/revoke"))
	was, _, err = f.tokens().Logout(t.Context())
	require.NoError(t, err)
	require.False(t, was)

	f.loggedIn()
	f.answer("/revoke", `503 {}`)
	was, revoking, err = f.tokens().Logout(t.Context())
	require.NoError(t, err)
	require.True(t, was)
	require.Error(t, revoking)
	require.NotContains(t, revoking.Error(), "r-1")
	require.NoFileExists(t, f.path)
	delete(f.metadata, "revocation_endpoint")
	f.loggedIn()
	_, revoking, _ = f.tokens().Logout(t.Context())
	require.ErrorContains(t, revoking, "revokes no tokens")
}
