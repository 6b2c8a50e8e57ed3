package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/telemetry"
	"integration-gateway/platform/testkit"
)

const (
	key         = "a-management-key-for-tests"
	waitTimeout = 20 * time.Second
	// hidden is in every response of a management route and in no other.
	hidden = "what only a manager sees"
)

// testServer is a server with a few routes, and a record of its calls to its environment.
type testServer struct {
	*httpapi.Server
	log *testkit.Log

	mu     sync.Mutex
	failed []string
}

func (h *testServer) failures() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string{}, h.failed...)
}

// setup makes a server with management routes, and with routes for public handlers.
func setup(t *testing.T, cfg httpapi.Config, public map[string]echo.HandlerFunc) *testServer {
	t.Helper()
	if cfg.ManagementKey.Empty() {
		cfg.ManagementKey = secret.New(key)
	}
	cfg.Addr = "127.0.0.1:0"
	h := &testServer{log: &testkit.Log{}}
	h.Server = httpapi.New(cfg, httpapi.Deps{
		Log: telemetry.NewLogger(h.log, slog.LevelDebug, true), Now: clock.System,
		AuthFailed: func(reason, ip string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.failed = append(h.failed, reason+" "+ip)
		},
	})
	secretData := func(c echo.Context) error {
		return httpapi.Data(c, http.StatusOK, map[string]string{
			"hidden": hidden, "id": c.Param("id"), "actor": httpapi.Actor(c.Request().Context()),
		})
	}
	r := h.Routes()
	r.Viewer.GET("/integrations", secretData, httpapi.Spec{Raw: true})
	r.Viewer.GET("/events", secretData, httpapi.Spec{Raw: true})
	r.Viewer.GET("/events/:id", secretData, httpapi.Spec{Raw: true})
	r.Viewer.GET("/events/:id/status", secretData, httpapi.Spec{Raw: true})
	r.Operator.POST("/events/:id/replay", secretData, httpapi.Spec{Raw: true})
	r.Public.GET("/open", func(c echo.Context) error { return httpapi.Data(c, http.StatusOK, httpapi.ClientIP(c)) }, httpapi.Spec{Raw: true})
	for path, handler := range public {
		r.Public.POST(path, handler, httpapi.Spec{Raw: true})
	}
	return h
}

// start serves h on a free port of the loopback until the test ends.
func (h *testServer) start(t *testing.T) string {
	t.Helper()
	require.NoError(t, h.Listen(context.Background()))
	served := make(chan error, 1)
	go func() { served <- h.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
		defer cancel()
		require.NoError(t, h.Shutdown(ctx))
		require.NoError(t, <-served)
	})
	return h.Addr()
}

type answer struct {
	status int
	header http.Header
	text   string
	body   struct {
		Success *bool           `json:"success"`
		Data    json.RawMessage `json:"data"`
		Meta    json.RawMessage `json:"meta"`
		Error   struct {
			Code    string          `json:"code"`
			Message string          `json:"message"`
			Details json.RawMessage `json:"details"`
		} `json:"error"`
	}
}

func (h *testServer) do(t *testing.T, r *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	h.Handler().ServeHTTP(w, r)
	return read(t, w.Result())
}

func read(t *testing.T, res *http.Response) answer {
	t.Helper()
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	a := answer{status: res.StatusCode, header: res.Header, text: string(text)}
	require.NoError(t, json.Unmarshal(text, &a.body), "%q", text)
	return a
}

// raw sends a raw request over a new connection and returns the response.
func raw(t *testing.T, addr, request string) (status int, text string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(clock.System().Add(waitTimeout)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

func get(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }

func TestServeAnswersUntilShutdown(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	h := setup(t, httpapi.Config{}, map[string]echo.HandlerFunc{"/slow": func(c echo.Context) error {
		close(entered)
		<-leave
		return httpapi.Data(c, http.StatusOK, "done")
	}})
	require.Empty(t, h.Addr())
	require.Error(t, h.Serve(), "Listen was not called")
	require.NoError(t, h.Listen(context.Background()))
	served := make(chan error, 1)
	go func() { served <- h.Serve() }()
	statuses := make(chan int, 1)
	go func() {
		res, err := http.Post("http://"+h.Addr()+"/api/v1/slow", "", nil)
		if err == nil {
			_ = res.Body.Close()
			statuses <- res.StatusCode
		}
		close(statuses)
	}()
	<-entered
	closed := make(chan error, 1)
	go func() { closed <- h.Shutdown(context.Background()) }()
	require.NoError(t, <-served, "Serve returns immediately")
	_, err := net.Dial("tcp", h.Addr())
	require.Error(t, err, "new connections are refused")
	close(leave)
	require.Equal(t, http.StatusOK, <-statuses, "the running request was answered")
	require.NoError(t, <-closed)
}

func TestShutdownAbortsRequestsThatOutlastTheGrace(t *testing.T) {
	entered := make(chan struct{})
	h := setup(t, httpapi.Config{}, map[string]echo.HandlerFunc{"/stuck": func(c echo.Context) error {
		close(entered)
		<-c.Request().Context().Done()
		return nil
	}})
	require.NoError(t, h.Listen(context.Background()))
	go func() { _ = h.Serve() }()
	failed := make(chan error, 1)
	go func() {
		res, err := http.Post("http://"+h.Addr()+"/api/v1/stuck", "", nil)
		if err == nil {
			_ = res.Body.Close()
		}
		failed <- err
	}()
	<-entered
	over, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorContains(t, h.Shutdown(over), "still running")
	require.Error(t, <-failed)
}

func TestListenDetectsAPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	s := httpapi.New(httpapi.Config{Addr: taken.Addr().String()}, httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System})
	require.ErrorContains(t, s.Listen(context.Background()), taken.Addr().String())
	require.NoError(t, s.Shutdown(context.Background()))
}

func TestARouteIsRegisteredOnce(t *testing.T) {
	h := setup(t, httpapi.Config{}, nil)
	require.PanicsWithValue(t, "httpapi: GET /api/v1/integrations is registered twice; give one of them another path", func() {
		h.Routes().Public.GET("/integrations", func(echo.Context) error { return nil }, httpapi.Spec{Raw: true})
	}, "a public route must not replace a protected one")
}

func TestHeaderBomb(t *testing.T) {
	addr := setup(t, httpapi.Config{}, nil).start(t)
	filler := func(n int) string { return "X-Filler: " + strings.Repeat("x", n) + "\r\n" }
	status, _ := raw(t, addr, "GET /api/v1/open HTTP/1.1\r\nHost: x\r\n"+filler(32<<10)+"\r\n")
	require.Equal(t, http.StatusOK, status)
	status, _ = raw(t, addr, "GET /api/v1/open HTTP/1.1\r\nHost: x\r\n"+filler(80<<10)+"\r\n")
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, status)
}
