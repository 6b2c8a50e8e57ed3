// Package httpapi is how the gateway speaks HTTP: the listener and its bounds, the
// envelope of answers and errors, who may call management routes, whose address a
// request came from, how bodies and queries are read. It knows no route but health.
package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/secret"
)

// The bounds that hold where Config leaves a zero.
const (
	defaultReadTimeout  = 30 * time.Second
	defaultWriteTimeout = 60 * time.Second // counts from the header, so it covers a slow body and the answer
	defaultIdleTimeout  = 120 * time.Second
	defaultBodyBytes    = 256 << 20
	defaultRequests     = 2048
	readHeaderTimeout   = 10 * time.Second
	maxHeaderBytes      = 64 << 10
)

// Config is what an operator decides about the listener. A zero duration or size
// takes the default.
type Config struct {
	Addr              string       // host:port; port 0 takes a free one
	TLS               *tls.Config  // nil: plain HTTP; it is asked at each handshake for what holds then
	ManagementKey     secret.Value // empty: no key is right, management is closed
	TrustedProxies    []netip.Prefix
	ReadTimeout       time.Duration // a whole request with its body; 30 s
	WriteTimeout      time.Duration // from a request's header to the end of its answer; 60 s
	IdleTimeout       time.Duration // between two requests of a connection; 120 s
	BodyBytesInFlight int64         // of all requests together; 256 MiB
	RequestsInFlight  int64         // whose bodies have come and that are worked on; 2048
	FailuresPerMinute int           // requests without a valid credential of one client address; 0 for no limit
}

// Deps is what the server needs from the outside.
type Deps struct {
	Log *slog.Logger
	Now clock.Now
	// Keys knows the credentials beside Config.ManagementKey. Nil: there are none.
	Keys Authenticator
	// Tokens knows bearer tokens. Nil: there are none, and the header that they come in
	// means nothing.
	Tokens Authenticator
	// AuthFailed hears of every management request without the right credential: the
	// reason, such as missing_key, wrong_token or role_too_low, and the client's address.
	// It must not block. Nil is allowed.
	AuthFailed func(reason string, clientIP string)
}

// Server is one listener and its routes.
type Server struct {
	cfg      Config
	log      *slog.Logger
	now      clock.Now
	failed   func(reason, clientIP string)
	echo     *echo.Echo
	http     *http.Server
	bodies   *semaphore.Weighted
	requests *semaphore.Weighted
	listener net.Listener
	draining atomic.Bool

	keys       Authenticator
	tokens     Authenticator
	failures   failures
	registered []Route
}

// New builds a server without routes; it opens nothing.
func New(cfg Config, d Deps) *Server {
	cfg.ReadTimeout = or(cfg.ReadTimeout, defaultReadTimeout)
	cfg.WriteTimeout = or(cfg.WriteTimeout, defaultWriteTimeout)
	cfg.IdleTimeout = or(cfg.IdleTimeout, defaultIdleTimeout)
	cfg.BodyBytesInFlight = or(cfg.BodyBytesInFlight, defaultBodyBytes)
	cfg.RequestsInFlight = or(cfg.RequestsInFlight, defaultRequests)
	if d.AuthFailed == nil {
		d.AuthFailed = func(string, string) {}
	}
	s := &Server{
		cfg: cfg, log: d.Log, now: d.Now, failed: d.AuthFailed,
		echo: echo.New(), bodies: semaphore.NewWeighted(cfg.BodyBytesInFlight),
		requests: semaphore.NewWeighted(cfg.RequestsInFlight),
		keys:     d.Keys, tokens: d.Tokens, failures: failures{limit: cfg.FailuresPerMinute},
	}
	s.echo.HideBanner = true
	s.echo.HidePort = true
	s.echo.HTTPErrorHandler = errorHandler(d.Log)
	s.echo.IPExtractor = s.clientIP
	// Before routing, so that a request without a route passes them all the same.
	s.echo.Pre(s.correlate, s.drain, s.logRequest, s.recoverPanic, securityHeaders, s.lendBodies, decodedPath)
	// Over TLS as without: of HTTP/2, one connection may hold a megabyte that no bound counts.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s.http = &http.Server{
		Handler:           s.echo,
		TLSConfig:         cfg.TLS,
		Protocols:         protocols,
		ReadHeaderTimeout: min(readHeaderTimeout, cfg.ReadTimeout),
		ReadTimeout:       cfg.ReadTimeout,
		WriteTimeout:      cfg.WriteTimeout,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(d.Log.Handler(), slog.LevelWarn),
		// "OPTIONS *" would be answered by net/http itself, with a 200.
		DisableGeneralOptionsHandler: true,
	}
	return s
}

func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// Routes is where modules register theirs, before Serve.
func (s *Server) Routes() Routes {
	return Routes{
		Public: Group{server: s}, Viewer: Group{server: s, role: Viewer},
		Operator: Group{server: s, role: Operator}, Admin: Group{server: s, role: Admin},
	}
}

// Handler answers requests without a listener, for tests.
func (s *Server) Handler() http.Handler { return s.echo }

// Listen opens the address, so that a port that is taken is known before anything
// else starts. Requests wait until Serve.
func (s *Server) Listen(ctx context.Context) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.cfg.Addr, err)
	}
	s.listener = listener
	return nil
}

// Addr is the address that Listen opened, with its real port; "" before.
func (s *Server) Addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Serve answers requests until Shutdown, and then returns nil at once, while
// Shutdown still waits for those that run.
func (s *Server) Serve() error {
	if s.listener == nil {
		return errors.New("serve: Listen comes first")
	}
	if err := s.serve(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", s.Addr(), err)
	}
	return nil
}

func (s *Server) serve() error {
	if s.cfg.TLS == nil {
		return s.http.Serve(s.listener)
	}
	return s.http.ServeTLS(s.listener, "", "") // the certificate is in cfg.TLS
}

// Drain makes /readyz answer 503 from now on, so that a load balancer turns away
// before Shutdown closes the door.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown takes no more connections and waits for the requests that run. When ctx
// ends first, it cuts them off and says so.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	err := s.http.Shutdown(ctx)
	if s.listener != nil {
		_ = s.listener.Close() // when Serve never ran, nobody else closes it
	}
	if err != nil {
		_ = s.http.Close()
		return fmt.Errorf("requests were still running when the grace time ended: %w", err)
	}
	return nil
}
