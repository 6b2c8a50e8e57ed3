package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// signingIn is a gateway with a console, an issuer, and a browser that keeps cookies.
type signingIn struct {
	t       *testing.T
	db      *database.DB
	issuer  *testkit.Issuer
	http    http.Handler
	cookies map[string]*http.Cookie
}

func newSigningIn(t *testing.T, db *database.DB, flags ...string) *signingIn {
	t.Helper()
	s := &signingIn{t: t, issuer: testkit.NewIssuer(t), db: db}
	s.restart(flags...)
	return s
}

// restart wires the gateway anew, as with other settings.
func (s *signingIn) restart(flags ...string) {
	s.t.Helper()
	flags = append([]string{"OIDC_ISSUER", s.issuer.URL, "OIDC_AUDIENCE", testkit.Audience, "OIDC_SOURCES_CLAIM", "sources",
		"OIDC_CLIENT_ID", testkit.ClientID, "OIDC_CLIENT_SECRET", testkit.ClientSecret, "OIDC_SCOPES", "openid profile"}, flags...)
	g, err := wire(devConfig(s.t, flags...), &stores{db: s.db, broker: broker.NewMemory(clock.System, nil), cache: cache.NewMemory(0, clock.System)}, quiet)
	require.NoError(s.t, err)
	s.http, s.cookies = g.manager.Handler(), map[string]*http.Cookie{}
}

// request is a request of the browser; site is its Sec-Fetch-Site. As browsers do, it sends no
// SameSite=Strict cookie with what another site begins.
func (s *signingIn) request(method, path, site string, form url.Values) *http.Response {
	s.t.Helper()
	r := httptest.NewRequest(method, "http://localhost:3000"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Sec-Fetch-Site", site)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://localhost:3000")
	}
	for _, cookie := range s.cookies {
		if site != "cross-site" || cookie.SameSite != http.SameSiteStrictMode {
			r.AddCookie(cookie)
		}
	}
	w := httptest.NewRecorder()
	s.http.ServeHTTP(w, r)
	res := w.Result() //nolint:bodyclose // it is in memory
	for _, cookie := range res.Cookies() {
		s.cookies[cookie.Name] = cookie
		if cookie.MaxAge < 0 {
			delete(s.cookies, cookie.Name)
		}
	}
	return res
}

// begin goes to the issuer and returns the address to which it sends the browser back.
func (s *signingIn) begin(next string) *url.URL {
	s.t.Helper()
	res := s.request(http.MethodGet, "/console/sign-in/issuer?next="+url.QueryEscape(next), "same-origin", nil)
	require.Equal(s.t, http.StatusSeeOther, res.StatusCode)
	to, err := url.Parse(res.Header.Get("Location"))
	require.NoError(s.t, err)
	require.Equal(s.t, s.issuer.URL+"/auth", to.Scheme+"://"+to.Host+to.Path)
	require.Equal(s.t, "openid profile", to.Query().Get("scope"))
	require.Equal(s.t, "http://localhost:3000/console/sign-in/callback", to.Query().Get("redirect_uri"))
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	at, err := client.Get(to.String())
	require.NoError(s.t, err)
	defer func() { _ = at.Body.Close() }()
	require.Equal(s.t, http.StatusFound, at.StatusCode)
	back, err := at.Location()
	require.NoError(s.t, err)
	return back
}

// back is the browser's way back, and what the page says.
func (s *signingIn) back(to *url.URL) (int, string) {
	s.t.Helper()
	res := s.request(http.MethodGet, to.RequestURI(), "cross-site", nil)
	text, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return res.StatusCode, string(text)
}

// in reports whether the browser is signed in, and what the page says of who that is.
func (s *signingIn) in() (bool, string) {
	s.t.Helper()
	res := s.request(http.MethodGet, "/console/none", "same-origin", nil)
	text, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return res.StatusCode == http.StatusNotFound, string(text)
}

func (s *signingIn) refused(to *url.URL, status int, says string) {
	s.t.Helper()
	got, text := s.back(to)
	require.Equal(s.t, status, got, text)
	require.Contains(s.t, text, says)
	require.Contains(s.t, text, `name="key"`, "a key still signs in")
	require.NotContains(s.t, s.cookies, "console")
}

func TestPeopleSignInAtTheIssuerWithTheRoleOfTheirToken(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		s := newSigningIn(t, db)
		for name, c := range map[string]struct {
			access, id map[string]any
			role, says string
		}{
			"of the access token":                {claims("sub", "ada", "roles", "operator", "sources", "*"), claims("sub", "ada"), "oidc:ada, operator", ""},
			"confined to sources":                {claims("sub", "ada", "roles", "viewer", "sources", "acme"), nil, "oidc:ada, viewer", "sees acme alone"},
			"of the ID token beside one without": {nil, claims("sub", "grace", "aud", []string{testkit.ClientID, testkit.Audience}, "roles", "admin", "sources", "*"), "oidc:grace, admin", ""},
			"of the ID token that has a role":    {claims("sub", "grace"), claims("sub", "grace", "aud", []string{testkit.ClientID, testkit.Audience}, "roles", "viewer", "sources", "*"), "oidc:grace, viewer", ""},
		} {
			s.issuer.SetClaims(c.access, c.id)
			status, text := s.back(s.begin("/console/events?source=acme"))
			require.Equal(t, http.StatusOK, status, "%s: %s", name, text)
			require.Contains(t, text, `content="0;url=/console/events?source=acme"`, name)
			require.NotContains(t, s.cookies, "console-flow", "it is good for one answer")
			require.Equal(t, http.SameSiteStrictMode, s.cookies["console"].SameSite)
			is, page := s.in()
			require.True(t, is, name)
			require.Contains(t, page, c.role, name)
			require.Contains(t, page, c.says, name)
		}
		var stored int
		require.NoError(t, db.Get(t.Context(), &stored, `SELECT count(*) FROM console_sessions WHERE hash LIKE '%ey%' OR key_proof LIKE '%ey%' OR actor LIKE '%ey%'`))
		require.Zero(t, stored, "no token is stored")
		res := s.request(http.MethodPost, "/console/sign-out", "same-origin", nil)
		require.Equal(t, http.StatusSeeOther, res.StatusCode)
		is, _ := s.in()
		require.False(t, is)
	})
}

func claims(pairs ...any) map[string]any {
	all := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i].(string)] = pairs[i+1] //nolint:errcheck // of this file
	}
	return all
}

func TestNobodySignsInWithWhatTheIssuerDidNotConfirm(t *testing.T) {
	s := newSigningIn(t, testkit.Open(t, testkit.SQLite(t)), "MANAGEMENT_FAILURE_LIMIT_PER_MINUTE", "0")
	good := claims("sub", "ada", "roles", "admin", "sources", "*")
	s.issuer.SetClaims(good, nil)
	with := func(to *url.URL, name, value string) *url.URL {
		changed, q := *to, to.Query()
		q.Set(name, value)
		changed.RawQuery = q.Encode()
		return &changed
	}
	const notBegun, notConfirmed, notOurs = "not begun in this browser", "did not confirm this sign-in", "OIDC_AUDIENCE must be in the aud"

	s.refused(with(s.begin("/console"), "state", "another"), http.StatusBadRequest, notBegun)
	to := s.begin("/console")
	clear(s.cookies)
	s.refused(to, http.StatusBadRequest, notBegun) // of somebody else's browser
	to = s.begin("/console")
	s.begin("/console")
	s.refused(to, http.StatusBadRequest, notBegun) // of a flow before
	s.refused(with(s.begin("/console"), "code", "made-up"), http.StatusUnauthorized, notConfirmed)
	s.issuer.SetRefusal("<script>")
	s.refused(s.begin("/console"), http.StatusForbidden, "did not sign you in: access_denied, &lt;script&gt;")
	s.issuer.SetRefusal("")

	// A code that was stolen from another flow has another nonce and verifier.
	stolen := s.begin("/console").Query().Get("code")
	s.refused(with(s.begin("/console"), "code", stolen), http.StatusUnauthorized, notConfirmed)

	to = s.begin("/console")
	flow := s.cookies["console-flow"]
	status, _ := s.back(to)
	require.Equal(t, http.StatusOK, status)
	delete(s.cookies, "console")
	s.refused(to, http.StatusBadRequest, notBegun) // the same answer again
	s.cookies["console-flow"] = flow
	s.refused(to, http.StatusUnauthorized, notConfirmed) // and with the cookie of before

	for name, c := range map[string]struct {
		access, id map[string]any
		status     int
		says       string
	}{
		"another nonce":                 {good, claims("nonce", "another"), http.StatusUnauthorized, notConfirmed},
		"no nonce":                      {good, claims("nonce", ""), http.StatusUnauthorized, notConfirmed},
		"an ID token of another client": {good, claims("aud", "another"), http.StatusUnauthorized, notOurs},
		"authorised for another party":  {good, claims("azp", "another"), http.StatusUnauthorized, notOurs},
		"another access token":          {good, claims("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), http.StatusUnauthorized, notOurs},
		"another issuer":                {good, claims("iss", "https://evil.example"), http.StatusUnauthorized, notOurs},
		"an expired ID token":           {good, claims("exp", 1), http.StatusUnauthorized, notOurs},
		"tokens for another gateway":    {claims("aud", "another", "roles", "admin"), nil, http.StatusUnauthorized, notOurs},
		"an opaque access token":        {nil, nil, http.StatusUnauthorized, notOurs},
		"no role":                       {claims("sources", "*"), nil, http.StatusForbidden, "no role for this gateway"},
		"an unknown role":               {claims("sources", "*", "roles", "root"), nil, http.StatusForbidden, "no role for this gateway"},
		"no sources":                    {claims("roles", "admin"), nil, http.StatusForbidden, "no role for this gateway"},
	} {
		s.issuer.SetClaims(c.access, c.id)
		t.Log(name)
		s.refused(s.begin("/console"), c.status, c.says)
	}
	for _, next := range []string{"https://evil.example/", "//evil.example", "/console/sign-in?once=x", strings.Repeat("/console/x", 300)} {
		s.issuer.SetClaims(good, nil)
		_, text := s.back(s.begin(next))
		require.Contains(t, text, `content="0;url=/console"`, next)
	}
}

func TestAnIssuerThatIsAwayLeavesTheKeySignIn(t *testing.T) {
	s := newSigningIn(t, testkit.Open(t, testkit.SQLite(t)))
	s.issuer.SetClaims(claims("roles", "viewer", "sources", "*"), nil)
	to := s.begin("/console")
	s.issuer.SetUnavailable(true)
	s.refused(to, http.StatusServiceUnavailable, "cannot be reached right now")
	s.restart()
	res := s.request(http.MethodGet, "/console/sign-in/issuer", "same-origin", nil)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Contains(t, string(text), "cannot be reached right now. Try again in ten seconds, or sign in with a management key.")
	require.Equal(t, http.StatusSeeOther, s.request(http.MethodPost, "/console/sign-in", "same-origin", url.Values{"key": {config.DemoKey}}).StatusCode)
	is, _ := s.in()
	require.True(t, is)

	s.issuer.SetUnavailable(false)
	s.restart("OIDC_CLIENT_SECRET", "another-secret")
	s.refused(s.begin("/console"), http.StatusServiceUnavailable, "refuses this gateway&#39;s client (invalid_client)")
	s.restart("OIDC_CLIENT_ID", "", "OIDC_CLIENT_SECRET", "")
	require.Equal(t, http.StatusNotFound, s.request(http.MethodGet, "/console/sign-in/issuer", "same-origin", nil).StatusCode)
	require.Equal(t, http.StatusNotFound, s.request(http.MethodGet, "/console/sign-in/callback?code=x&state=y", "cross-site", nil).StatusCode)
}

func TestASessionOfAnIssuerEndsWithItsToken(t *testing.T) {
	s := newSigningIn(t, testkit.Open(t, testkit.SQLite(t)))
	expiry := clock.System().Add(time.Hour).Unix()
	s.issuer.SetClaims(claims("sub", "ada", "roles", "viewer", "sources", "*", "exp", expiry), nil)
	status, _ := s.back(s.begin("/console"))
	require.Equal(t, http.StatusOK, status)
	var ends clock.Time
	require.NoError(t, s.db.Get(t.Context(), &ends, `SELECT expires_at FROM console_sessions`))
	require.Equal(t, expiry, ends.Unix())

	end := func(at time.Time) {
		require.NoError(t, s.db.InTx(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE console_sessions SET expires_at = $1`, at)
			return err
		}))
	}
	end(clock.System().Add(-time.Second))
	res := s.request(http.MethodGet, "/console/events?status=failed", "same-origin", nil)
	require.Equal(t, http.StatusSeeOther, res.StatusCode)
	require.Equal(t, "/console/sign-in/issuer?next=%2Fconsole%2Fevents%3Fstatus%3Dfailed", res.Header.Get("Location"), "the issuer knows whether the person may go on")
	require.Equal(t, http.StatusUnauthorized, s.request(http.MethodPost, "/console/alerts/test", "same-origin", nil).StatusCode)

	end(clock.System().Add(time.Hour))
	is, _ := s.in()
	require.True(t, is)
	cookies := s.cookies
	s.restart("OIDC_ROLES", "other=viewer")
	s.cookies = cookies
	is, _ = s.in()
	require.False(t, is, "what its token allows is configured otherwise")

	s.issuer.SetClaims(claims("roles", "other", "sources", "*", "exp", clock.System().Add(100*time.Hour).Unix()), nil)
	status, _ = s.back(s.begin("/console"))
	require.Equal(t, http.StatusOK, status)
	require.NoError(t, s.db.Get(t.Context(), &ends, `SELECT expires_at FROM console_sessions ORDER BY expires_at DESC LIMIT 1`))
	require.Less(t, ends.Sub(clock.System()), 25*time.Hour, "a day is the most")
}

func TestWrongCodesCountAsWrongKeysDo(t *testing.T) {
	s := newSigningIn(t, testkit.Open(t, testkit.SQLite(t)), "MANAGEMENT_FAILURE_LIMIT_PER_MINUTE", "2")
	s.issuer.SetClaims(claims("roles", "viewer", "sources", "*"), nil)
	var statuses []int
	for range 4 {
		to := s.begin("/console")
		q := to.Query()
		q.Set("code", "made-up")
		to.RawQuery = q.Encode()
		status, _ := s.back(to)
		statuses = append(statuses, status)
	}
	require.Contains(t, statuses[2:], http.StatusTooManyRequests)
}

// TestAViewerDoesNothing: what a page hides, a request does not get either. Each action is tried
// with forms that are complete.
func TestAViewerDoesNothing(t *testing.T) {
	s := newSigningIn(t, testkit.Open(t, testkit.SQLite(t)))
	s.issuer.SetClaims(claims("sub", "ada", "roles", "viewer", "sources", "*"), nil)
	status, _ := s.back(s.begin("/console"))
	require.Equal(t, http.StatusOK, status)
	text, err := os.ReadFile(filepath.Join("..", "..", "modules", "console", "module.go"))
	require.NoError(t, err)
	x := id.New()
	form := url.Values{"event": {x}, "id": {x}, "reason": {"because of a test"}, "rate": {"10"}, "source": {"acme"}, "provider": {"acme"}, "name": {"x"}, "role": {"admin"},
		"secret": {"a-long-secret-of-tests"}, "url": {"https://example.com"}, "condition": {"books"}, "length": {"1h"}, "destination": {x}, "confirm": {"yes"}, "step": {"start"}}
	tried := 0
	for _, found := range regexp.MustCompile(`\bpost\("([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
		for _, action := range []string{"replay", "retry", "cancel", "release", "drop", "delete", "pause", "resume", "test", "start", "begin", "acknowledge", "mute", "unmute", "secrets", "retire", "remove", "deactivate", "activate", "rotate", "erase"} {
			path := "/console" + strings.NewReplacer(":action", action, ":id", x, ":secret", x).Replace(found[1])
			if path == "/console/sign-out" {
				continue
			}
			res := s.request(http.MethodPost, path, "same-origin", form)
			require.Contains(t, []int{http.StatusForbidden, http.StatusNotFound, http.StatusBadRequest}, res.StatusCode, path)
			tried++
			if !strings.Contains(found[1], ":action") {
				break
			}
		}
	}
	require.Greater(t, tried, 100)
	var done int
	require.NoError(t, s.db.Get(t.Context(), &done, `SELECT (SELECT count(*) FROM integrations) + (SELECT count(*) FROM api_keys) + (SELECT count(*) FROM replays) + (SELECT count(*) FROM replay_requests)`))
	require.Zero(t, done)
}
