package httpapi_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/telemetry"
	"integration-gateway/platform/testkit"
)

const token = "eyJ.a-token.for-tests"

// fakeTokens accepts only token, and nothing while unavailable.
type fakeTokens struct{ unavailable bool }

func (k fakeTokens) Authenticate(_ context.Context, given string) (httpapi.Caller, error) {
	switch {
	case k.unavailable:
		return httpapi.Caller{}, httpapi.Unchecked(10 * time.Second)
	case given != token:
		return httpapi.Caller{}, httpapi.Refuse("wrong_token")
	}
	return httpapi.Caller{Actor: "oidc:billing", Role: httpapi.Viewer}, nil
}

// newTokenServer returns a server that accepts token for a viewer, and a record of its
// calls to its environment.
func newTokenServer(tokens httpapi.Authenticator) (*httpapi.Server, *[]string, *testkit.Log) {
	failed, log := &[]string{}, &testkit.Log{}
	s := httpapi.New(httpapi.Config{ManagementKey: secret.New(key)}, httpapi.Deps{
		Log: telemetry.NewLogger(log, slog.LevelDebug, true), Now: clock.System, Tokens: tokens,
		AuthFailed: func(reason, _ string) { *failed = append(*failed, reason) },
	})
	s.Routes().Viewer.GET("/integrations", func(c echo.Context) error {
		return httpapi.Data(c, http.StatusOK, hidden+" "+httpapi.Actor(c.Request().Context()))
	}, httpapi.Spec{Raw: true})
	s.Routes().Operator.GET("/operate", func(c echo.Context) error { return httpapi.Data(c, http.StatusOK, hidden) }, httpapi.Spec{Raw: true})
	return s, failed, log
}

func TestBearerTokens(t *testing.T) {
	for _, c := range []struct {
		name          string
		keys          []string
		authorization []string
		path          string
		status        int
		reason        string // "" when it passes
	}{
		{"a token", nil, []string{"Bearer " + token}, "/integrations", 200, ""},
		{"the scheme in small letters", nil, []string{"bearer " + token}, "/integrations", 200, ""},
		{"blanks around it", nil, []string{"Bearer   " + token + " "}, "/integrations", 200, ""},
		{"a key", []string{key}, nil, "/integrations", 200, ""},
		{"a key behind a proxy that has a password of its own", []string{key}, []string{"Basic dTpw"}, "/integrations", 200, ""},
		{"a token beside one", nil, []string{"Basic dTpw", "Bearer " + token}, "/integrations", 200, ""},
		{"another token", nil, []string{"Bearer hunter2"}, "/integrations", 401, "wrong_token"},
		{"an empty one", nil, []string{"Bearer "}, "/integrations", 401, "wrong_token"},
		{"the scheme alone", nil, []string{"Bearer"}, "/integrations", 401, "wrong_token"},
		{"it twice", nil, []string{"Bearer " + token, "Bearer " + token}, "/integrations", 401, "repeated_token"},
		{"it and the key", []string{key}, []string{"Bearer " + token}, "/integrations", 401, "key_and_token"},
		{"the key and a wrong one", []string{key}, []string{"Bearer x"}, "/integrations", 401, "key_and_token"},
		{"it in the key's header", []string{token}, nil, "/integrations", 401, "wrong_key"},
		{"the key in its header", nil, []string{"Bearer " + key}, "/integrations", 401, "wrong_token"},
		{"without a scheme", nil, []string{token}, "/integrations", 401, "missing_key"},
		{"of another scheme", nil, []string{"DPoP " + token}, "/integrations", 401, "missing_key"},
		{"nothing", nil, nil, "/integrations", 401, "missing_key"},
		{"beyond its role", nil, []string{"Bearer " + token}, "/operate", 403, "role_too_low"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, failed, log := newTokenServer(fakeTokens{})
			r := get("/api/v1" + c.path)
			r.Header["X-Internal-Api-Key"], r.Header["Authorization"] = c.keys, c.authorization
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			a := read(t, w.Result())
			require.Equal(t, c.status, a.status)
			require.NotContains(t, log.String(), token)
			require.NotContains(t, log.String(), "hunter2")
			if c.reason == "" {
				require.Empty(t, *failed)
				actor := "management-key"
				if c.keys == nil {
					actor = "oidc:billing"
				}
				require.Equal(t, `"`+hidden+" "+actor+`"`, string(a.body.Data))
				return
			}
			require.Equal(t, []string{c.reason}, *failed)
			require.NotContains(t, a.text, hidden)
			if c.status == 401 {
				require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"))
				require.JSONEq(t, `{"success":false,"error":{"code":"UNAUTHORIZED",
					"message":"This route needs a valid x-internal-api-key header or bearer token.","details":null}}`, a.text, "every failure looks alike")
			}
		})
	}
}

func TestWithoutAnIssuerBearerTokensAreIgnored(t *testing.T) {
	s, failed, _ := newTokenServer(nil)
	ask := func(keys ...string) answer {
		r := get("/api/v1/integrations")
		r.Header["X-Internal-Api-Key"] = keys
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return read(t, w.Result())
	}
	require.Equal(t, http.StatusOK, ask(key).status)
	a := ask()
	require.Equal(t, http.StatusUnauthorized, a.status)
	require.Empty(t, a.header.Get("WWW-Authenticate"))
	require.Equal(t, []string{"missing_key"}, *failed)
}

func TestTokensThatCannotBeCheckedAreNotAClientError(t *testing.T) {
	s, failed, _ := newTokenServer(fakeTokens{unavailable: true})
	r := get("/api/v1/integrations")
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "10", w.Header().Get("Retry-After"))
	require.Empty(t, *failed)
}

// outage is the error of Authenticate for every token.
type outage struct{ err error }

func (o outage) Authenticate(context.Context, string) (httpapi.Caller, error) {
	return httpapi.Caller{}, o.err
}

func TestTokensThatCannotBeCheckedCountAsFailuresOfTheirAddress(t *testing.T) {
	for _, c := range []struct {
		name     string
		err      error
		statuses []int
	}{
		{"the issuer is away", httpapi.Unchecked(time.Second), []int{503, 503, 429, 429}},
		{"the token is valid, but the database is down", fault.Unavailable.New("sources_unknown", "Not now."), []int{503, 503, 503, 503}},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := clock.System()
			s := httpapi.New(httpapi.Config{ManagementKey: secret.New(key), FailuresPerMinute: 2}, httpapi.Deps{
				Log: telemetry.NewLogger(&testkit.Log{}, slog.LevelInfo, true), Now: func() time.Time { return now }, Tokens: outage{c.err},
			})
			s.Routes().Viewer.GET("/integrations", func(c echo.Context) error { return httpapi.Data(c, http.StatusOK, hidden) }, httpapi.Spec{Raw: true})
			ask := func(header, value string) int {
				r := get("/api/v1/integrations")
				r.Header.Set(header, value)
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, r)
				return w.Code
			}
			for n, status := range c.statuses {
				require.Equal(t, status, ask("Authorization", "Bearer "+token), n)
			}
			require.Equal(t, http.StatusOK, ask(httpapi.HeaderManagementKey, key), "a valid key still passes")
		})
	}
}
