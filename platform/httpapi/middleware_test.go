package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/telemetry"
)

func TestCorrelation(t *testing.T) {
	h := setup(t, httpapi.Config{}, map[string]echo.HandlerFunc{"/who": func(c echo.Context) error {
		return httpapi.Data(c, http.StatusOK, telemetry.Correlation(c.Request().Context()))
	}})
	for _, c := range []struct {
		name, correlation, request string
		want                       string // "" is a new one
	}{
		{"none given", "", "", ""},
		{"the correlation id", "aZ09._:-", "", "aZ09._:-"},
		{"the request id in its place", "", "req-1", "req-1"},
		{"the correlation id before the request id", "corr-1", "req-1", "corr-1"},
		{"the request id if the correlation id is invalid", "two words", "req-1", "req-1"},
		{"one of 128 characters", strings.Repeat("a", 128), "", strings.Repeat("a", 128)},
		{"one of 129 characters", strings.Repeat("a", 129), "", ""},
		{"one with a slash", "a/b", "", ""},
		{"one with a letter that is not ASCII", "é", "", ""},
		{"one that would forge a log line", "a\"}{", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/api/v1/who", nil)
			r.Header.Set("x-correlation-id", c.correlation)
			r.Header.Set("x-request-id", c.request)
			a := h.do(t, r)
			id := a.header.Get("x-correlation-id")
			require.Equal(t, `"`+id+`"`, string(a.body.Data))
			if c.want == "" {
				require.NoError(t, uuid.Validate(id))
				return
			}
			require.Equal(t, c.want, id)
		})
	}
	t.Run("a request without a route has one too", func(t *testing.T) {
		require.NotEmpty(t, h.do(t, get("/nothing")).header.Get("x-correlation-id"))
	})
}

func TestTheLogLineOfARequest(t *testing.T) {
	h := setup(t, httpapi.Config{}, map[string]echo.HandlerFunc{"/webhooks/:source": func(echo.Context) error {
		return fault.Unauthorized.New("bad_signature", "The signature does not match.")
	}})
	r := httptest.NewRequest(http.MethodPost, "/api/v1/webhooks/acme?token=hunter2", nil)
	r.Header.Set("x-correlation-id", "corr-1")
	h.do(t, r)
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(h.log.String()), &line), h.log.String())
	require.GreaterOrEqual(t, line["duration_ms"], 0.0)
	delete(line, "time")
	delete(line, "duration_ms")
	require.Equal(t, map[string]any{
		"level": "INFO", "msg": "request", "method": "POST", "route": "/api/v1/webhooks/:source", "status": 401.0,
		"client_ip": "192.0.2.1", "reason": "bad_signature", "correlation_id": "corr-1",
	}, line)
}

func TestEveryAnswerHasTheSecurityHeaders(t *testing.T) {
	h := setup(t, httpapi.Config{}, nil)
	for _, path := range []string{"/api/v1/open", "/api/v1/integrations", "/nothing", "//"} {
		header := h.do(t, get("http://gateway"+path)).header
		require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"), path)
		require.Equal(t, "no-store", header.Get("Cache-Control"), path)
		require.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'", path)
		require.Equal(t, "application/json", header.Get("Content-Type"), path)
		require.Empty(t, header.Get("Server"), path)
		require.Empty(t, header.Get("Allow"), path)
	}
}
