package console

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const configuredKey = "the-configured-key-of-tests"

// fixture is the console without an API, and with keys in memory.
type fixture struct {
	t    *testing.T
	m    *Module
	http http.Handler

	mu   sync.Mutex
	now  time.Time
	keys map[string]httpapi.Caller // live ones, by their id

	entries []contract.AuditEntry
}

func setup(t *testing.T, db *database.DB) *fixture {
	f := &fixture{t: t, now: clock.System(), keys: map[string]httpapi.Caller{}}
	log := slog.New(slog.DiscardHandler)
	f.m = New(Config{ManagementKey: secret.New(configuredKey)}, Deps{DB: db, Log: log, Now: f.clock, Keys: f, Audit: f})
	server := httpapi.New(httpapi.Config{ManagementKey: secret.New(configuredKey)}, httpapi.Deps{Log: log, Now: f.clock, Keys: f})
	f.m.Routes(server)
	f.http = server.Handler()
	return f
}

func each(t *testing.T, test func(t *testing.T, f *fixture)) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) { test(t, setup(t, db)) })
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fixture) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fixture) Authenticate(ctx context.Context, key string) (httpapi.Caller, error) {
	return f.CallerOf(ctx, idOf(key))
}

func (f *fixture) Record(_ context.Context, _ *database.Tx, entries []contract.AuditEntry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries = append(f.entries, entries...)
	return nil
}

func (f *fixture) KeyID(_ context.Context, key string) (string, error) { return idOf(key), nil }

func (f *fixture) CallerOf(_ context.Context, keyID string) (httpapi.Caller, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if caller, live := f.keys[keyID]; live {
		return caller, nil
	}
	return httpapi.Caller{}, httpapi.Refuse("wrong_key")
}

// idOf gives the keys of these tests, such as "1", an id.
func idOf(key string) string { return "01a20d22-3e3f-7000-9c01-00000000000" + key }

// request is a request of a browser.
func (f *fixture) request(method, path string, form url.Values, cookie *http.Cookie, change ...func(*http.Request)) *http.Response {
	f.t.Helper()
	r := httptest.NewRequest(method, "http://localhost:3000"+path, strings.NewReader(form.Encode()))
	r.RemoteAddr = "127.0.0.1:1"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://localhost:3000")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if cookie != nil {
		r.AddCookie(cookie)
	}
	for _, c := range change {
		c(r)
	}
	answer := httptest.NewRecorder()
	f.http.ServeHTTP(answer, r)
	return answer.Result() //nolint:bodyclose // it is in memory
}

func (f *fixture) signIn(key string) *http.Cookie {
	f.t.Helper()
	res := f.request(http.MethodPost, "/console/sign-in", url.Values{"key": {key}}, nil)
	require.Equal(f.t, http.StatusSeeOther, res.StatusCode)
	require.Equal(f.t, "/console", res.Header.Get("Location"))
	require.Len(f.t, res.Cookies(), 1)
	return res.Cookies()[0]
}

// in reports whether a cookie is that of somebody who is signed in. The page that is asked for is
// there for those alone.
func (f *fixture) in(cookie *http.Cookie) bool {
	f.t.Helper()
	res := f.request(http.MethodGet, "/console/none", nil, cookie)
	switch res.StatusCode {
	case http.StatusNotFound:
		return true
	case http.StatusSeeOther:
		require.Equal(f.t, "/console/sign-in?next=%2Fconsole%2Fnone", res.Header.Get("Location"))
	default:
		require.Fail(f.t, "an unexpected answer", "%d", res.StatusCode)
	}
	return false
}

func TestASessionEndsWithItsKey(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.keys[idOf("1")] = httpapi.Caller{Actor: "api-key:ada", Role: httpapi.Viewer}
		cookie := f.signIn("1")
		require.True(t, f.in(cookie))
		require.False(t, f.in(nil))
		delete(f.keys, idOf("1"))
		require.False(t, f.in(cookie), "the key was revoked")

		cookie = f.signIn(configuredKey)
		require.True(t, f.in(cookie))
		f.m.cfg.ManagementKey = secret.New("another-configured-key")
		require.False(t, f.in(cookie), "the configured key is another")
	})
}

func TestASessionEndsByTime(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		idle := f.signIn(configuredKey)
		f.advance(idleFor - time.Second)
		require.True(t, f.in(idle))
		f.advance(idleFor)
		require.False(t, f.in(idle), "it was not used")

		busy := f.signIn(configuredKey)
		for range 4 {
			f.advance(6*time.Hour - time.Minute)
			require.True(t, f.in(busy))
		}
		f.advance(4 * time.Minute)
		require.False(t, f.in(busy), "a day is over")
		var left int
		f.signIn(configuredKey)
		require.NoError(t, f.m.d.DB.Get(t.Context(), &left, `SELECT count(*) FROM console_sessions`))
		require.Equal(t, 1, left, "those that ended are removed")
	})
}

func TestNothingThatSignsInIsStored(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		cookie := f.signIn(configuredKey)
		var found int
		require.NoError(t, f.m.d.DB.Get(t.Context(), &found, `SELECT count(*) FROM console_sessions WHERE hash = $1 OR key_proof IN ($1, $2)`, cookie.Value, hashOf(configuredKey)))
		require.Zero(t, found)
		require.Len(t, cookie.Value, 43, "256 random bits")
		require.True(t, cookie.HttpOnly)
		require.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
		require.False(t, f.in(&http.Cookie{Name: cookie.Name, Value: hashOf(cookie.Value)}), "what is stored signs in nobody")

		res := f.request(http.MethodPost, "/console/sign-out", nil, cookie)
		require.Equal(t, http.StatusSeeOther, res.StatusCode)
		require.False(t, f.in(cookie))
		require.Len(t, f.entries, 2)
		require.Equal(t, []string{"session.began", "session.ended"}, []string{f.entries[0].Action, f.entries[1].Action})
		require.Equal(t, httpapi.ManagementActor, f.entries[1].Actor)
		require.Equal(t, f.entries[0].EntityID, f.entries[1].EntityID)
	})
}

func TestTheCookieIsForHTTPSButOnThisMachine(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	at := func(host, origin string) func(*http.Request) {
		return func(r *http.Request) { r.Host = host; r.Header.Set("Origin", origin) }
	}
	for _, c := range []struct{ host, origin, cookie string }{
		{"localhost:3000", "http://localhost:3000", "console"},
		{"127.0.0.1:3000", "http://127.0.0.1:3000", "console"},
		{"[::1]:3000", "http://[::1]:3000", "console"},
		{"gateway.example", "https://gateway.example", "__Host-console"},
		{"gateway.example", "http://gateway.example", ""},
		{"10.0.0.5:3002", "http://10.0.0.5:3002", ""},
	} {
		res := f.request(http.MethodPost, "/console/sign-in", url.Values{"key": {configuredKey}}, nil, at(c.host, c.origin))
		if c.cookie == "" {
			require.Equal(t, http.StatusBadRequest, res.StatusCode, c.origin)
			require.Empty(t, res.Cookies())
			continue
		}
		require.Equal(t, http.StatusSeeOther, res.StatusCode, c.origin)
		require.Equal(t, c.cookie, res.Cookies()[0].Name)
		require.Equal(t, c.cookie != "console", res.Cookies()[0].Secure)
		require.Equal(t, "/", res.Cookies()[0].Path)
		require.Empty(t, res.Cookies()[0].Domain)
	}
}

func TestAnotherSiteCanPostNothing(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	cookie := f.signIn(configuredKey)
	for name, change := range map[string]func(*http.Request){
		"cross-site":                  func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"a sibling":                   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"no page at all":              func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") },
		"another origin":              func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
		"another port":                func(r *http.Request) { r.Header.Set("Origin", "http://localhost:3001") },
		"an origin that says nothing": func(r *http.Request) { r.Header.Set("Origin", "null") },
		"no origin":                   func(r *http.Request) { r.Header.Del("Origin") },
	} {
		for _, path := range []string{"/console/sign-out", "/console/sign-in", "/console/preferences", "/console/events/x/replay"} {
			res := f.request(http.MethodPost, path, url.Values{"key": {configuredKey}}, cookie, change)
			require.Equal(t, http.StatusForbidden, res.StatusCode, "%s: %s", name, path)
			require.Empty(t, res.Cookies(), name)
		}
	}
	require.True(t, f.in(cookie), "it was not signed out")
	res := f.request(http.MethodPost, "/console/sign-out", nil, cookie, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
}

func TestALinkSignsInOnce(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	once := f.m.Link()
	res := f.request(http.MethodGet, once, nil, nil)
	require.Equal(t, http.StatusSeeOther, res.StatusCode)
	require.True(t, f.in(res.Cookies()[0]))
	require.Equal(t, http.StatusUnauthorized, f.request(http.MethodGet, once, nil, nil).StatusCode, "a second time")
	late := f.m.Link()
	f.advance(linkFor)
	require.Equal(t, http.StatusUnauthorized, f.request(http.MethodGet, late, nil, nil).StatusCode)
	require.Equal(t, http.StatusUnauthorized, f.request(http.MethodGet, Root+"/sign-in?once=x", nil, nil).StatusCode)
}

func TestWrongKeysAreRefusedAlike(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	for _, key := range []string{"wrong", "9", configuredKey + "x", strings.ToUpper(configuredKey)} {
		res := f.request(http.MethodPost, "/console/sign-in", url.Values{"key": {key}}, nil)
		require.Equal(t, http.StatusUnauthorized, res.StatusCode)
		require.Empty(t, res.Cookies())
	}
	for _, key := range []string{"", "  ", strings.Repeat("x", maxKey+1)} {
		require.Equal(t, http.StatusBadRequest, f.request(http.MethodPost, "/console/sign-in", url.Values{"key": {key}}, nil).StatusCode)
	}
}

func TestSigningInLeadsNowhereElse(t *testing.T) {
	for next, want := range map[string]string{
		"/console/events?status=failed": "/console/events?status=failed", "/console": "/console", "": "/console",
		"https://evil.example/console": "/console", "//evil.example/console": "/console", "/\\evil.example": "/console", "/console/../x": "/console", "/console//x": "/console", "/console/%2e%2e/x": "/console",
		"/api/v1/events": "/console", "/consoles": "/console", "/console\r\nSet-Cookie: a=b": "/console", "javascript:alert(1)": "/console", "/console/sign-out": "/console",
	} {
		require.Equal(t, want, localPath(next), next)
	}
}

func TestALinkOnAnotherSiteLeadsToThePage(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	res := f.request(http.MethodGet, "/console/events?q=%22%3E%3Cscript%3E", nil, nil, func(r *http.Request) {
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
	})
	require.Equal(t, http.StatusOK, res.StatusCode)
	text := make([]byte, 4096)
	n, _ := res.Body.Read(text)
	require.Contains(t, string(text[:n]), `content="0;url=/console/events?q=%22%3E%3Cscript%3E"`)
	require.NotContains(t, string(text[:n]), "<script>")
}

func TestEveryPageHasThePolicy(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	cookie := f.signIn(configuredKey)
	for _, path := range []string{"/console/sign-in", "/console/none", "/console/events", "/console/assets/none"} {
		res := f.request(http.MethodGet, path, nil, cookie)
		require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'", path)
		require.NotContains(t, res.Header.Get("Content-Security-Policy"), "unsafe", path)
		require.Equal(t, "no-store", res.Header.Get("Cache-Control"), path)
	}
	for name := range f.m.assets.served {
		res := f.request(http.MethodGet, Root+"/assets/"+name, nil, nil)
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Contains(t, res.Header.Get("Cache-Control"), "immutable")
	}
}

// Scripts and styles stay small: they are the console's own, and read by whoever mends it.
func TestAssetsStaySmall(t *testing.T) {
	scripts, lines, bytes := 0, 0, 0
	for name, a := range readAssets().served {
		bytes += len(a.text)
		if strings.HasSuffix(name, ".js") {
			scripts++
			lines += strings.Count(string(a.text), "\n")
		}
	}
	require.Positive(t, scripts)
	require.Less(t, lines, 1200)
	require.Less(t, bytes, 60_000)
}
