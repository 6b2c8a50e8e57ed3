package console

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/testkit"
)

// actions are the paths of all actions that need a session, as the routes have them.
func actions(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("module.go")
	require.NoError(t, err)
	var paths []string
	for _, found := range regexp.MustCompile(`\bpost\("([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
		paths = append(paths, Root+regexp.MustCompile(`:\w+`).ReplaceAllString(found[1], "x"))
	}
	require.Greater(t, len(paths), 10)
	return paths
}

func TestNoActionIsDoneForAnotherSiteOrWithoutASession(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	cookie := f.signIn(configuredKey)
	for _, path := range actions(t) {
		for name, change := range map[string]func(*http.Request){
			"another origin": func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
			"no origin":      func(r *http.Request) { r.Header.Del("Origin") },
			"another site":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
			"another host": func(r *http.Request) {
				r.Header.Set("Origin", "http://localhost:3000")
				r.Host = "gateway.example"
			},
		} {
			require.Equal(t, http.StatusForbidden, f.request(http.MethodPost, path, nil, cookie, change).StatusCode, "%s from %s", path, name)
		}
		for _, cookie := range []*http.Cookie{nil, {Name: "console", Value: newToken()}, {Name: "__Host-console", Value: cookie.Value}} {
			require.Equal(t, http.StatusUnauthorized, f.request(http.MethodPost, path, nil, cookie).StatusCode, path)
		}
		require.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, f.request(http.MethodPut, path, nil, cookie).StatusCode, path)
	}
	require.True(t, f.in(cookie), "it was not signed out")
	large := f.request(http.MethodPost, "/console/alerts/test", url.Values{"x": {strings.Repeat("x", maxForm)}}, cookie)
	require.Equal(t, http.StatusRequestEntityTooLarge, large.StatusCode)
}

func TestSigningInGivesTheBrowserANewSession(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	planted := &http.Cookie{Name: "console", Value: newToken()}
	res := f.request(http.MethodPost, "/console/sign-in", url.Values{"key": {configuredKey}}, planted)
	require.NotEqual(t, planted.Value, res.Cookies()[0].Value)
	require.False(t, f.in(planted), "what somebody else put there signs in nobody")

	before := res.Cookies()[0]
	after := f.request(http.MethodPost, "/console/sign-in", url.Values{"key": {configuredKey}}, before).Cookies()[0]
	require.True(t, f.in(after))
	require.False(t, f.in(before), "the session before it has ended")
	f.keys[idOf("1")] = httpapi.Caller{Actor: "api-key:ada", Role: httpapi.Viewer}
	once := f.request(http.MethodGet, f.m.Link(), nil, after)
	require.False(t, f.in(after), "also by a link")
	require.True(t, f.in(once.Cookies()[0]))
}

func TestNoPageIsShownInAFrameOrRead(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	cookie := f.signIn(configuredKey)
	for _, path := range []string{"/console/sign-in", "/console", "/console/none", "/console/events", "/console/stream", "/console/sign-in?once=x", "/console/sign-in/callback?code=x", "/console/e/x"} {
		h := f.request(http.MethodGet, path, nil, cookie).Header
		require.Equal(t, policy, h.Get("Content-Security-Policy"), path)
		require.Equal(t, "DENY", h.Get("X-Frame-Options"), path)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		require.Equal(t, "same-origin", h.Get("Cross-Origin-Resource-Policy"), path)
		require.Equal(t, "same-origin", h.Get("Cross-Origin-Opener-Policy"), path)
		require.Equal(t, "no-store", h.Get("Cache-Control"), path)
		require.Empty(t, h.Get("Access-Control-Allow-Origin"), path)
	}
}

// Another host of the same domain can set cookies for all of it, but none with the prefix.
func TestNoCookieOfAnotherHostIsBelieved(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	https := func(r *http.Request) { r.Host = "gateway.example"; r.Header.Set("Origin", "https://gateway.example") }
	res := f.request(http.MethodPost, "/console/sign-in", url.Values{"key": {configuredKey}}, nil, https)
	own := res.Cookies()[0]
	require.Equal(t, "__Host-console", own.Name)
	planted := &http.Cookie{Name: "console", Value: own.Value}
	require.Equal(t, http.StatusSeeOther, f.request(http.MethodGet, "/console/none", nil, planted, https).StatusCode)
	notice := &http.Cookie{Name: noticeCookie, Value: "Q2FsbCAwODAw"}
	page := f.request(http.MethodGet, "/console/none", nil, own, https, func(r *http.Request) { r.AddCookie(notice) })
	text := make([]byte, 1<<16)
	n, _ := page.Body.Read(text)
	require.Equal(t, http.StatusNotFound, page.StatusCode)
	require.NotContains(t, string(text[:n]), "Call 0800")
}
