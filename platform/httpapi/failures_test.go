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
	server.Routes().Viewer.GET("/integrations", func(c echo.Context) error { return httpapi.Data(c, http.StatusOK, hidden) }, httpapi.Spec{Raw: true})
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
		{"a valid key still passes", "192.0.2.1:4", key, 200},
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

// Two thousand guesses took 0.4 s before the delay.
func TestGuessingAKeyIsSlow(t *testing.T) {
	now := clock.System().Truncate(time.Minute)
	looked := make(chan struct{}, 1000)
	server := httpapi.New(httpapi.Config{FailuresPerMinute: 10, ManagementKey: secret.New(key)}, httpapi.Deps{
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		AuthFailed: func(string, string) { looked <- struct{}{} },
	})
	server.Routes().Viewer.GET("/integrations", func(c echo.Context) error { return httpapi.Data(c, http.StatusOK, hidden) }, httpapi.Spec{Raw: true})
	try := func(address, given string) int {
		r := get("/api/v1/integrations")
		r.RemoteAddr = address
		r.Header.Set("X-Internal-Api-Key", given)
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, r)
		return w.Code
	}
	for range 11 {
		try("192.0.2.1:1", "wrong")
	}
	const guesses = 100
	for len(looked) > 0 {
		<-looked
	}
	began := time.Now()
	statuses := make(chan int, guesses)
	for range guesses {
		go func() { statuses <- try("192.0.2.1:1", "wrong") }()
	}
	require.Equal(t, http.StatusOK, try("192.0.2.2:1", key), "another address is not delayed")
	for range guesses {
		require.Equal(t, http.StatusTooManyRequests, <-statuses)
	}
	require.GreaterOrEqual(t, time.Since(began), 250*time.Millisecond, "checked guesses are delayed")
	require.LessOrEqual(t, len(looked), 4*int(time.Since(began)/(250*time.Millisecond)+1), "and the others are not checked")
	require.Equal(t, http.StatusOK, try("192.0.2.1:1", key), "a valid key passes once nobody guesses")
}

// Behind a shared address, such as a proxy's, four clients with wrong credentials blocked
// all others.
func TestGuessesDoNotBlockRecentlyValidCredentials(t *testing.T) {
	now := clock.System().Truncate(time.Minute)
	delayed := make(chan struct{}, 100)
	server := httpapi.New(httpapi.Config{FailuresPerMinute: 1, ManagementKey: secret.New(key)}, httpapi.Deps{
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		AuthFailed: func(string, string) { delayed <- struct{}{} },
	})
	server.Routes().Viewer.GET("/integrations", func(c echo.Context) error { return httpapi.Data(c, http.StatusOK, hidden) }, httpapi.Spec{Raw: true})
	try := func(given string) int {
		r := get("/api/v1/integrations")
		r.RemoteAddr = "192.0.2.1:1"
		r.Header.Set("X-Internal-Api-Key", given)
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, r)
		return w.Code
	}
	require.Equal(t, http.StatusOK, try(key))
	for range 2 {
		try("wrong")
		<-delayed
	}
	ended := make(chan int, 4)
	for range 4 {
		go func() { ended <- try("wrong") }()
	}
	for range 4 {
		<-delayed // each is checked, and its answer delayed
	}
	require.Equal(t, http.StatusTooManyRequests, try("another wrong one"), "all slots are taken")
	require.Equal(t, http.StatusOK, try(key))
	for range 4 {
		require.Equal(t, http.StatusTooManyRequests, <-ended)
	}
}
