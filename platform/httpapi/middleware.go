package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	ids "integration-gateway/platform/id"
	"integration-gateway/platform/telemetry"
)

// The headers that carry a correlation id; responses use the first.
const (
	HeaderCorrelation = "X-Correlation-Id"
	headerRequestID   = "X-Request-Id"
	maxCorrelation    = 128
)

// correlate gives the request a correlation id: the caller's own if it is fit to be stored
// and logged, or else a new one.
func (s *Server) correlate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		id := r.Header.Get(HeaderCorrelation)
		if !plainID(id) {
			id = r.Header.Get(headerRequestID)
		}
		with := telemetry.WithCorrelation
		if !plainID(id) {
			id, with = ids.NewCorrelation(), telemetry.WithGeneratedCorrelation
		}
		c.SetRequest(r.WithContext(with(r.Context(), id)))
		c.Response().Header().Set(HeaderCorrelation, id)
		return next(c)
	}
}

func plainID(id string) bool {
	if id == "" || len(id) > maxCorrelation {
		return false
	}
	for i := range len(id) {
		b := id[i]
		letter := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
		if !letter && !strings.ContainsRune("._:-", rune(b)) {
			return false
		}
	}
	return true
}

// logRequest answers errors and writes the request's only log line. It logs the route
// instead of the path, since paths and queries may contain anything.
func (s *Server) logRequest(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := s.now()
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		took := s.now.Since(start)
		s.answered(c.Path(), c.Request().Method, c.Response().Status, answeredAfter(c, s.now, start), telemetry.TraceID(c.Request().Context()))
		ctx := c.Request().Context()
		level := lineLevel(ctx, err, c.Path())
		noted, _ := c.Get(notesKey).([]slog.Attr)
		if !s.log.Enabled(ctx, level) || err != nil && level < slog.LevelError && !s.floods.admits(level, classified(err).Reason, valueOf(noted, "source")) {
			return nil
		}
		attrs := []slog.Attr{
			slog.String("method", c.Request().Method),
			slog.String("route", c.Path()),
			slog.Int("status", c.Response().Status),
			slog.Float64("duration_ms", float64(took.Microseconds())/1000),
			slog.String("client_ip", ClientIP(c)),
		}
		s.log.LogAttrs(ctx, level, "request", append(append(attrs, noted...), failureAttrs(err)...)...)
		return nil
	}
}

// notesKey is where Note stores its values.
const notesKey = "httpapi.notes"

// Note adds a field to the request's log line, such as its source. The value must be fit
// for a log: our own ids and names, nothing from the caller.
func Note(c echo.Context, key, value string) {
	noted, _ := c.Get(notesKey).([]slog.Attr)
	c.Set(notesKey, append(noted, slog.String(key, value)))
}

// valueOf returns a noted value, "" if there is none.
func valueOf(noted []slog.Attr, key string) string {
	for _, a := range noted {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}

// lineLevel depends on the error, not on the status, which may already have been sent. What a
// page asks of this process's own API is as quiet as a probe.
func lineLevel(ctx context.Context, err error, route string) slog.Level {
	_, own := ownCaller(ctx)
	switch {
	case err != nil && classified(err).Kind == fault.Internal:
		return slog.LevelError
	case err != nil && isOwnFailure(err):
		return slog.LevelWarn
	case isProbe(route), own && err == nil:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// isOwnFailure reports whether a failure is not the caller's mistake.
func isOwnFailure(err error) bool {
	kind := classified(err).Kind
	return kind == fault.Internal || kind == fault.Unavailable
}

// failureAttrs returns the log fields of an error: why a request was refused, and the whole
// chain for our own errors.
func failureAttrs(err error) []slog.Attr {
	if err == nil {
		return nil
	}
	attrs := []slog.Attr{slog.String("reason", classified(err).Reason)}
	if isOwnFailure(err) {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	var p *panicError
	if errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	return attrs
}

// panicError is a panic in a handler, with its stack.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// recoverPanic turns a panic into an internal error, whose text is only logged.
func (s *Server) recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler: // net/http's way to abort a connection
				panic(p)
			default:
				err = &panicError{value: p, stack: debug.Stack()}
			}
		}()
		return next(c)
	}
}

func securityHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		if c.Request().TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000") // a year; RFC 6797 allows it only over TLS
		}
		return next(c)
	}
}

// decodedPath makes routing use the path that handlers see. With RawPath set, the router
// would compare the encoded spelling, and /api/v1/%69ntegrations would not match its route.
func (s *Server) decodedPath(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		u := c.Request().URL
		u.RawPath = ""
		if !routable(u.Path) {
			return noRoute()
		}
		// The router would answer other OPTIONS itself, with a 204.
		if c.Request().Method == http.MethodOptions && !slices.Contains(s.allowed(u.Path), http.MethodOptions) {
			return s.unrouted(c)
		}
		err := next(c)
		if errors.Is(err, echo.ErrNotFound) || errors.Is(err, echo.ErrMethodNotAllowed) {
			return s.unrouted(c)
		}
		return err
	}
}

// unrouted answers a request without a route. If its path has routes with other methods, it
// says which.
func (s *Server) unrouted(c echo.Context) error {
	allow := s.allowed(c.Request().URL.Path)
	if len(allow) == 0 {
		return noRoute()
	}
	c.Response().Header().Set(echo.HeaderAllow, strings.Join(allow, ", "))
	return fault.MethodNotAllowed.New("wrong_method", "This path allows %s.", strings.Join(allow, ", "))
}

// routable refuses spellings that no route has and that routers and proxies interpret
// differently: an empty segment, path parameters, bytes that are not text.
func routable(path string) bool {
	return strings.HasPrefix(path, "/") &&
		!strings.HasSuffix(path, "/") &&
		!strings.Contains(path, "//") &&
		!strings.Contains(path, ";") &&
		utf8.ValidString(path) &&
		!strings.ContainsFunc(path, unicode.IsControl)
}

func noRoute() *fault.Error { return fault.NotFound.New("no_route", "There is no such route.") }
