package httpapi_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

// spellings are methods and targets with their status without a key. 401 means that it is
// the route; everything else matches no route.
var spellings = []struct {
	name, method, target string
	status               int
}{
	{"the route", "GET", "/api/v1/integrations", 401},
	{"with a query", "GET", "/api/v1/integrations?a=b", 401},
	{"with an empty query", "GET", "/api/v1/integrations?", 401},
	{"an encoded letter", "GET", "/api/v1/%69ntegrations", 401},
	{"an encoded letter of the base", "GET", "/%61pi/v1/integrations", 401},
	{"an encoded slash", "GET", "/api%2Fv1%2Fintegrations", 401},
	{"an encoded first slash", "GET", "/%2Fapi/v1/integrations", 404},
	{"encoded twice", "GET", "/api/v1/%2569ntegrations", 404},
	{"an encoded NUL at the end", "GET", "/api/v1/integrations%00", 404},
	{"an encoded blank at the end", "GET", "/api/v1/integrations%20", 404},
	{"an encoded line break", "GET", "/api/v1/events/%0d%0a", 404},
	{"an overlong slash", "GET", "/api/v1/events/%c0%af", 404},
	{"an encoded question mark", "GET", "/api/v1/integrations%3F", 404},
	{"absolute form", "GET", "http://gateway/api/v1/integrations", 401},
	{"absolute form with an encoded letter", "GET", "http://gateway/api/v1/%69ntegrations", 401},
	{"absolute form of another host", "GET", "http://elsewhere:99/api/v1/integrations", 401},
	{"absolute form with a user", "GET", "http://key:pass@gateway/api/v1/integrations", 401},
	{"absolute form without a path", "GET", "http://gateway", 404},
	{"a scheme without slashes", "GET", "http:api/v1/integrations", 404},
	{"a doubled first slash", "GET", "//api/v1/integrations", 404},
	{"a doubled slash", "GET", "/api/v1//integrations", 404},
	{"a doubled slash in the middle", "GET", "/api//v1/integrations", 404},
	{"an encoded doubled slash", "GET", "/api/v1/%2Fintegrations", 404},
	{"a path parameter", "GET", "/api/v1/integrations;a=b", 404},
	{"a path parameter before", "GET", "/api/v1;/integrations", 404},
	{"an encoded semicolon", "GET", "/api/v1/integrations%3B", 404},
	{"a semicolon in an id", "GET", "/api/v1/events/1;x", 404},
	{"a trailing slash", "GET", "/api/v1/integrations/", 404},
	{"an encoded trailing slash", "GET", "/api/v1/integrations%2F", 404},
	{"an empty id", "GET", "/api/v1/events/", 404},
	{"an empty id in the middle", "GET", "/api/v1/events//status", 404},
	{"a dot segment", "GET", "/api/v1/./integrations", 404},
	{"a dot-dot segment", "GET", "/api/v1/open/../integrations", 404},
	{"an encoded dot-dot segment", "GET", "/api/v1/open/%2e%2e/integrations", 404},
	{"a dot-dot as an id", "GET", "/api/v1/events/..", 401},
	{"a backslash", "GET", "/api/v1\\integrations", 404},
	{"another case", "GET", "/api/v1/Integrations", 404},
	{"another case of the base", "GET", "/API/v1/integrations", 404},
	{"an id", "GET", "/api/v1/events/1", 401},
	{"an id that holds an encoded slash", "GET", "/api/v1/events/1%2Fstatus", 401},
	{"below an id", "GET", "/api/v1/events/1/status", 401},
	{"below nothing", "GET", "/api/v1/events/1/other", 404},
	{"a route that writes", "POST", "/api/v1/events/1/replay", 401},
	{"another method", "POST", "/api/v1/integrations", 405},
	{"HEAD", "HEAD", "/api/v1/integrations", 405},
	{"OPTIONS", "OPTIONS", "/api/v1/integrations", 405},
	{"OPTIONS of everything", "OPTIONS", "*", 404},
	{"TRACE", "TRACE", "/api/v1/integrations", 405},
	{"PROPFIND", "PROPFIND", "/api/v1/integrations", 405},
	{"CONNECT", "CONNECT", "/api/v1/integrations", 405},
	{"CONNECT to an authority", "CONNECT", "gateway:80", 404},
	{"a method in small letters", "get", "/api/v1/integrations", 405},
	{"an unknown method", "GETT", "/api/v1/integrations", 405},
	{"the base", "GET", "/api/v1", 404},
	{"the root", "GET", "/", 404},
	{"nothing like a route", "GET", "/.env", 404},
}

func TestNoSpellingOfAPathIsServedWithoutTheKey(t *testing.T) {
	h := setup(t, httpapi.Config{}, nil)
	addr := h.start(t)
	for _, s := range spellings {
		t.Run(s.name, func(t *testing.T) {
			status, text := raw(t, addr, s.method+" "+s.target+" HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
			require.Equal(t, s.status, status, text)
			require.NotContains(t, text, hidden)
			if s.method != "HEAD" {
				code := map[int]string{401: "UNAUTHORIZED", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}[s.status]
				require.Contains(t, text, `{"success":false,"error":{"code":"`+code+`"`)
			}
		})
	}
}

func TestNoSpellingOfAPathIsServedWithoutTheKeyByAnyServer(t *testing.T) {
	h := setup(t, httpapi.Config{}, nil)
	for _, s := range spellings {
		u, err := url.ParseRequestURI(s.target)
		if err != nil {
			continue // only a raw connection can send this
		}
		t.Run(s.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Method, r.URL, r.RequestURI = s.method, u, s.target
			a := h.do(t, r)
			require.Contains(t, []int{401, 404, 405}, a.status)
			require.NotContains(t, a.text, hidden)
		})
	}
}

func TestMethodOverridesAreIgnored(t *testing.T) {
	h := setup(t, httpapi.Config{}, nil)
	for _, name := range []string{"X-HTTP-Method-Override", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL"} {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/nothing", nil)
		r.Header.Set(name, "/api/v1/integrations")
		require.Equal(t, http.StatusNotFound, h.do(t, r).status)
	}
}

func TestManagementKey(t *testing.T) {
	for _, c := range []struct {
		name   string
		given  []string
		status int
		failed []string
	}{
		{"the key", []string{key}, 200, []string{}},
		{"none", nil, 401, []string{"missing_key 192.0.2.1"}},
		{"an empty key", []string{""}, 401, []string{"wrong_key 192.0.2.1"}},
		{"another", []string{"another-management-key"}, 401, []string{"wrong_key 192.0.2.1"}},
		{"a prefix of it", []string{key[:len(key)-1]}, 401, []string{"wrong_key 192.0.2.1"}},
		{"a longer one", []string{key + "x"}, 401, []string{"wrong_key 192.0.2.1"}},
		{"another case", []string{strings.ToUpper(key)}, 401, []string{"wrong_key 192.0.2.1"}},
		{"it twice", []string{key, key}, 401, []string{"repeated_key 192.0.2.1"}},
		{"it and another", []string{key, "x"}, 401, []string{"repeated_key 192.0.2.1"}},
		{"another and it", []string{"x", key}, 401, []string{"repeated_key 192.0.2.1"}},
		{"both in one header", []string{key + ", " + key}, 401, []string{"wrong_key 192.0.2.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := setup(t, httpapi.Config{}, nil)
			r := get("/api/v1/integrations")
			for _, v := range c.given {
				r.Header.Add("x-internal-api-key", v)
			}
			a := h.do(t, r)
			require.Equal(t, c.status, a.status)
			require.Equal(t, c.failed, h.failures())
			require.NotContains(t, h.log.String(), key)
			if c.status == 200 {
				require.JSONEq(t, `{"hidden":"`+hidden+`","id":"","actor":"management-key"}`, string(a.body.Data))
				return
			}
			require.JSONEq(t, `{"success":false,"error":{"code":"UNAUTHORIZED",
				"message":"This route needs a valid x-internal-api-key header.","details":null}}`, a.text, "every failure looks alike")
		})
	}
}

func TestWithoutAConfiguredKeyManagementIsClosed(t *testing.T) {
	s := httpapi.New(httpapi.Config{ManagementKey: secret.New("")}, httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System})
	s.Routes().Viewer.GET("/integrations", func(c echo.Context) error { return httpapi.Data(c, 200, hidden) }, httpapi.Spec{Raw: true})
	for _, given := range []string{"", "x"} {
		r := get("/api/v1/integrations")
		r.Header.Set("X-Internal-Api-Key", given)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		require.Equal(t, http.StatusUnauthorized, w.Code)
	}
}
