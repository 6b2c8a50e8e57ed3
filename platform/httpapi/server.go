// Package httpapi is the HTTP layer: the listener and its limits, the format of answers and
// errors, authorization of management routes, client addresses, and reading bodies and
// queries. It knows no route except health.
package httpapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/secret"
)

// The defaults for zero fields of Config.
const (
	defaultReadTimeout  = 30 * time.Second
	defaultWriteTimeout = 60 * time.Second // counts from the header, so it covers a slow body and the answer
	defaultQueryTimeout = 15 * time.Second
	defaultIdleTimeout  = 120 * time.Second
	defaultBodyGrace    = 5 * time.Second
	defaultBodyBytes    = 256 << 20
	defaultRequests     = 2048
	readHeaderTimeout   = 10 * time.Second
	maxHeaderBytes      = 64 << 10
)

// Config holds the operator's settings of the listener. A zero duration or size means the
// default.
type Config struct {
	Addr              string       // host:port; port 0 for any free one
	TLS               *tls.Config  // nil: plain HTTP; evaluated at each handshake
	ManagementKey     secret.Value // empty: no key is valid, management is closed
	TrustedProxies    []netip.Prefix
	ReadTimeout       time.Duration // a whole request with its body; 30 s
	WriteTimeout      time.Duration // from a request's header to the end of its response; 60 s
	QueryTimeout      time.Duration // of management requests that read; 15 s
	IdleTimeout       time.Duration // between two requests of a connection; 120 s
	BodyBytesInFlight int64         // of all requests together; 256 MiB
	RequestsInFlight  int64         // requests in progress whose bodies have arrived; 2048
	MaxConnections    int           // open at once; 0 for no limit
	NetworkShare      int           // percent of bytes, connections and queue slots that one client network may use when they are scarce; 0 or 100 for all
	MinBodyRate       int64         // bytes a second of a body, after BodyGrace; 0 for any
	BodyGrace         time.Duration // time before a body's rate matters; 5 s
	// Hosts are the host names accepted for management routes, in addition to localhost and
	// IP addresses; nil: any name.
	Hosts             []string
	FailuresPerMinute int // requests without a valid credential per client address; 0 for no limit
}

// Deps is what the server needs from the outside.
type Deps struct {
	Log *slog.Logger
	Now clock.Now
	// Keys checks the keys other than Config.ManagementKey. Nil: there are none.
	Keys Authenticator
	// Tokens checks bearer tokens. Nil: there are none, and their header is ignored.
	Tokens Authenticator
	// Sources resolves the parameter source. Nil: no route has it.
	Sources Sources
	// AuthFailed is called for every management request without a sufficient credential, with
	// the reason, such as missing_key, wrong_token or role_too_low, and the client's address.
	// It must not block. Nil is allowed.
	AuthFailed func(reason string, clientIP string)
	// Answered is called for every answered request, with its route ("" if there is none) and
	// its trace's id ("" if it is not traced). It must not block. Nil is allowed.
	Answered func(route, method string, code int, took time.Duration, traceID string)
}

// Server is one listener and its routes.
type Server struct {
	cfg         Config
	log         *slog.Logger
	now         clock.Now
	failed      func(reason, clientIP string)
	answered    func(route, method string, code int, took time.Duration, traceID string)
	echo        *echo.Echo
	http        *http.Server
	bodies      *budget
	requests    *semaphore.Weighted
	unpacking   *unpackQueue
	connections *connections
	crowding    *shareWarning
	floods      *floods
	listener    net.Listener
	draining    atomic.Bool
	drainCtx    context.Context // ends when draining begins; requests that would not end by themselves watch it
	endStreams  context.CancelFunc

	keys       Authenticator
	tokens     Authenticator
	failures   failures
	registered []Route
	sources    Sources
}

// New builds a server without routes; it opens nothing.
func New(cfg Config, d Deps) *Server {
	cfg.ReadTimeout = cmp.Or(cfg.ReadTimeout, defaultReadTimeout)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, defaultWriteTimeout)
	cfg.QueryTimeout = cmp.Or(cfg.QueryTimeout, defaultQueryTimeout)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, defaultIdleTimeout)
	cfg.BodyGrace = cmp.Or(cfg.BodyGrace, defaultBodyGrace)
	cfg.BodyBytesInFlight = cmp.Or(cfg.BodyBytesInFlight, defaultBodyBytes)
	cfg.RequestsInFlight = cmp.Or(cfg.RequestsInFlight, defaultRequests)
	if d.AuthFailed == nil {
		d.AuthFailed = func(string, string) {}
	}
	if d.Answered == nil {
		d.Answered = func(string, string, int, time.Duration, string) {}
	}
	w := &shareWarning{log: d.Log, now: d.Now, trusted: len(cfg.TrustedProxies) > 0}
	s := &Server{
		cfg: cfg, log: d.Log, now: d.Now, failed: d.AuthFailed, answered: d.Answered,
		echo: echo.New(), bodies: newBudget(cfg.BodyBytesInFlight, cfg.NetworkShare),
		requests:    semaphore.NewWeighted(cfg.RequestsInFlight),
		unpacking:   newUnpackQueue(unpacksAtOnce(runtime.GOMAXPROCS(0)), cfg.NetworkShare),
		connections: newConnections(cfg.MaxConnections, cfg.NetworkShare, cfg.TrustedProxies, func(n netip.Prefix) { w.reached(n, "connections") }),
		crowding:    w,
		floods:      newFloods(d.Log),
		keys:        d.Keys, tokens: d.Tokens, failures: failures{limit: cfg.FailuresPerMinute}, sources: d.Sources,
	}
	s.drainCtx, s.endStreams = context.WithCancel(context.Background())
	s.echo.HideBanner = true
	s.echo.HidePort = true
	s.echo.HTTPErrorHandler = errorHandler(d.Log)
	s.echo.IPExtractor = s.clientIP
	// Before routing, so that they also apply to requests without a route.
	s.echo.Pre(s.endConnection, s.correlate, s.drain, s.logRequest, s.recoverPanic, securityHeaders, s.withLease, s.decodedPath)
	// Without HTTP/2 also over TLS: one of its connections may hold a megabyte that no limit counts.
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
		ConnState:         s.connections.onStateChange,
		ErrorLog:          slog.NewLogLogger(d.Log.Handler(), slog.LevelWarn),
		// "OPTIONS *" would be answered by net/http itself, with a 200.
		DisableGeneralOptionsHandler: true,
	}
	return s
}

// Routes is where modules register their routes, before Serve.
func (s *Server) Routes() Routes {
	return Routes{
		Public: Group{server: s}, Viewer: Group{server: s, role: Viewer},
		Operator: Group{server: s, role: Operator}, Admin: Group{server: s, role: Admin},
	}
}

// BodyBytes returns the bytes of request bodies in memory.
func (s *Server) BodyBytes() int64 {
	s.bodies.mu.Lock()
	defer s.bodies.mu.Unlock()
	return s.bodies.used
}

// Handler answers requests without a listener: those of tests, and of this process itself.
func (s *Server) Handler() http.Handler { return s.echo }

// Listen opens the address, so that a port in use is detected before anything else starts.
// Requests wait until Serve.
func (s *Server) Listen(ctx context.Context) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.cfg.Addr, err)
	}
	s.listener = listener
	return nil
}

// Addr returns the address that Listen opened, with its real port; "" before.
func (s *Server) Addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Serve answers requests until Shutdown, and then returns nil immediately, while Shutdown
// waits for the running requests.
func (s *Server) Serve() error {
	if s.listener == nil {
		return errors.New("serve: call Listen first")
	}
	if err := s.serve(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", s.Addr(), err)
	}
	return nil
}

func (s *Server) serve() error {
	listener := s.connections.limitListener(s.listener)
	if s.cfg.TLS == nil {
		return s.http.Serve(listener)
	}
	return s.http.ServeTLS(listener, "", "") // the certificate is in cfg.TLS
}

// Drain makes /readyz answer 503 from now on, so that load balancers stop sending requests
// before Shutdown closes the listener. It ends streams, and each further response ends its
// connection: a proxy that keeps connections open would otherwise send a request on one just as
// Shutdown closes it.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.endStreams()
}

// Shutdown accepts no more connections and waits for the running requests. If ctx ends
// first, it closes them and returns an error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	err := s.http.Shutdown(ctx)
	s.floods.endAll()
	if s.listener != nil {
		_ = s.listener.Close() // if Serve never ran, nothing else closes it
	}
	if err != nil {
		_ = s.http.Close()
		return fmt.Errorf("requests were still running when the grace time ended: %w", err)
	}
	return nil
}
