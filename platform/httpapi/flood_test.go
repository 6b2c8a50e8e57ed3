package httpapi

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// TestAFloodOfRefusalsIsOneLineASecond sends a thousand requests that are refused for one
// reason, and one for another.
func TestAFloodOfRefusalsIsOneLineASecond(t *testing.T) {
	var out bytes.Buffer
	s := New(Config{}, Deps{Log: slog.New(slog.NewTextHandler(&out, nil)), Now: clock.System})
	var ends []func()
	s.floods.after = func(d time.Duration, f func()) {
		require.Equal(t, time.Second, d)
		ends = append(ends, f)
	}
	s.Routes().Public.GET("/refuses/:reason/:source", func(c echo.Context) error {
		Note(c, "source", c.Param("source"))
		switch c.Param("reason") {
		case "down":
			return fault.Unavailable.New("down", "Down.")
		case "ours":
			return fault.Internal.New("ours", "Ours.")
		}
		return fault.Unauthorized.New(c.Param("reason"), "No.")
	}, Spec{Raw: true})
	send := func(path string) {
		s.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/api/v1/refuses/"+path, http.NoBody))
	}
	flush := func() {
		for _, end := range ends {
			end()
		}
		ends = nil
	}
	for range 1_000 {
		send("no_match/acme")
	}
	send("other_reason/globex")
	require.Equal(t, linesPerSecond, strings.Count(out.String(), "reason=no_match"))
	require.Contains(t, out.String(), "source=acme", "refusals name their source")
	require.Contains(t, out.String(), "reason=other_reason")
	out.Reset()
	flush()
	require.Equal(t, 1, strings.Count(out.String(), "\n"), out.String())
	require.Contains(t, out.String(), "reason=no_match requests=990 source=acme")

	out.Reset()
	for range linesPerSecond {
		send("no_match/acme")
	}
	send("no_match/acme")
	send("no_match/globex")
	require.Equal(t, linesPerSecond, strings.Count(out.String(), "reason=no_match"), "the next second begins anew")
	flush()
	require.Contains(t, out.String(), `requests=2 source=(several)`)

	out.Reset()
	for range 20 {
		send("ours/acme")
	}
	require.Equal(t, 20, strings.Count(out.String(), "reason=ours"), "our own faults are all logged")

	out.Reset()
	for range 1_000 {
		send("down/acme")
	}
	require.Equal(t, linesPerSecond, strings.Count(out.String(), "level=WARN msg=request"), "an outage is summarised too")
	out.Reset()
	require.NoError(t, s.Shutdown(t.Context()))
	flush()
	require.Equal(t, 1, strings.Count(out.String(), "\n"), "what is held back when the process stops is logged, once")
	require.Contains(t, out.String(), `level=WARN msg="more requests could not be answered within a second" reason=down requests=990 source=acme`)
}
