package httpapi_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

func TestFailuresOfOneAddressAreLimitedAndAValidKeyIsNot(t *testing.T) {
	now := clock.System().Truncate(time.Minute)
	server := httpapi.New(httpapi.Config{FailuresPerMinute: 2, ManagementKey: secret.New(key)},
		httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	server.Routes().Viewer.GET("/integrations", func(c echo.Context) error { return httpapi.Data(c, http.StatusOK, hidden) })
	try := func(address, given string) int {
		r := get("/api/v1/integrations")
		r.RemoteAddr = address
		if given != "" {
			r.Header.Set("X-Internal-Api-Key", given)
		}
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, r)
		if w.Code == http.StatusTooManyRequests {
			require.Equal(t, "60", w.Header().Get("Retry-After"), "until the minute is over")
			require.Contains(t, w.Body.String(), "RATE_LIMITED")
		}
		return w.Code
	}
	for _, c := range []struct {
		name, address, key string
		status             int
	}{
		{"the first", "192.0.2.1:1", "wrong", 401},
		{"the second, of another kind", "192.0.2.1:2", "", 401},
		{"the third", "192.0.2.1:3", "wrong", 429},
		{"the right key all the same", "192.0.2.1:4", key, 200},
		{"it does not reset the count", "192.0.2.1:5", "wrong", 429},
		{"another address", "192.0.2.2:1", "wrong", 401},
		{"an IPv6 network", "[2001:db8::1]:1", "wrong", 401},
		{"its neighbour", "[2001:db8::2]:1", "wrong", 401},
		{"and another of the 64 bits", "[2001:db8::ffff:0:0:1]:1", "wrong", 429},
		{"the next network", "[2001:db8:0:1::1]:1", "wrong", 401},
	} {
		require.Equal(t, c.status, try(c.address, c.key), c.name)
	}
	now = now.Add(time.Minute)
	require.Equal(t, 401, try("192.0.2.1:7", "wrong"), "a new minute")
}
