package httpapi_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
)

// Behind a proxy that was not configured, all clients had one share, and nothing was
// logged.
func TestAnUnconfiguredProxyIsWarnedAbout(t *testing.T) {
	const share = "has reached its share of "
	for name, c := range map[string]struct {
		trusted []netip.Prefix
		first   int // warnings after the first time
		later   int // after an hour
	}{
		"if no proxy is trusted": {nil, 1, 2},
		"not if one is trusted":  {[]netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}, 0, 0},
	} {
		t.Run(name+", of connections", func(t *testing.T) {
			w := newWarningServer(httpapi.Config{MaxConnections: 4, NetworkShare: 50, TrustedProxies: c.trusted, Addr: "127.0.0.1:0"})
			addr := w.start(t)
			for range 2 {
				require.True(t, isAnswered(t, dialFrom(t, "127.0.1.1", addr)))
			}
			crowd := func() {
				for range 3 {
					require.True(t, closed(t, dialFrom(t, "127.0.1.1", addr)))
				}
			}
			require.Zero(t, w.count(share))
			crowd()
			require.Equal(t, c.first, w.count(share+"connections"))
			w.advance(time.Hour - time.Second)
			crowd()
			require.Equal(t, c.first, w.count(share), "once an hour")
			w.advance(time.Second)
			crowd()
			require.Equal(t, c.later, w.count(share+"connections"))
			require.Equal(t, c.later, w.count("set TRUSTED_PROXIES to the proxy's addresses"))
		})
		t.Run(name+", of bodies", func(t *testing.T) {
			w := newWarningServer(httpapi.Config{BodyBytesInFlight: 4000, NetworkShare: 25, TrustedProxies: c.trusted})
			holding, leave := make(chan struct{}), make(chan struct{})
			w.server.Routes().Public.POST("/hold", holdBody(holding, leave), httpapi.Spec{Raw: true})
			var held sync.WaitGroup
			post := func() int {
				r := httptest.NewRequest(http.MethodPost, httpapi.Base+"/hold", strings.NewReader(strings.Repeat("x", 900)))
				r.RemoteAddr = "192.0.2.1:1"
				recorder := httptest.NewRecorder()
				w.server.Handler().ServeHTTP(recorder, r)
				return recorder.Code
			}
			for range 2 {
				held.Go(func() { post() })
				<-holding
			}
			require.Zero(t, w.count(share))
			for range 3 {
				require.Equal(t, http.StatusServiceUnavailable, post())
			}
			require.Equal(t, c.first, w.count(share+"body bytes"))
			close(leave)
			held.Wait()
		})
	}
}

// warningServer is a server whose log and clock belong to a test.
type warningServer struct {
	server *httpapi.Server

	mu  sync.Mutex
	now time.Time
	log bytes.Buffer
}

func newWarningServer(cfg httpapi.Config) *warningServer {
	w := &warningServer{now: clock.System()}
	w.server = httpapi.New(cfg, httpapi.Deps{Log: slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn})), Now: func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.now
	}})
	w.server.Routes().Public.GET("/open", func(c echo.Context) error { return httpapi.Data(c, http.StatusOK, nil) }, httpapi.Spec{Raw: true})
	return w
}

func (w *warningServer) start(t *testing.T) string {
	require.NoError(t, w.server.Listen(t.Context()))
	go func() { _ = w.server.Serve() }()
	t.Cleanup(func() { _ = w.server.Shutdown(t.Context()) })
	return w.server.Addr()
}

// Write implements io.Writer for the log.
func (w *warningServer) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(line)
}

func (w *warningServer) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *warningServer) count(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Count(w.log.String(), text)
}
