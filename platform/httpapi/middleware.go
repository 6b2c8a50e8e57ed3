package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/telemetry"
)

// The headers that carry a correlation id; answers use the first.
const (
	HeaderCorrelation = "X-Correlation-Id"
	headerRequestID   = "X-Request-Id"
	maxCorrelation    = 128
)

// correlate names the request: by the caller's own id where that is fit to be
// stored and logged, else by a new one.
func (s *Server) correlate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		id := r.Header.Get(HeaderCorrelation)
		if !plainID(id) {
			id = r.Header.Get(headerRequestID)
		}
		if !plainID(id) {
			id = uuid.NewString()
		}
		c.SetRequest(r.WithContext(telemetry.WithCorrelation(r.Context(), id)))
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

// logRequest answers errors and writes the one line that there is about a request.
// It names the route and not the path: paths and queries may hold anything.
func (s *Server) logRequest(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := s.now()
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		level := lineLevel(err, c.Path())
		ctx := c.Request().Context()
		if !s.log.Enabled(ctx, level) {
			return nil
		}
		attrs := []slog.Attr{
			slog.String("method", c.Request().Method),
			slog.String("route", c.Path()),
			slog.Int("status", c.Response().Status),
			slog.Float64("duration_ms", float64(s.now.Since(start).Microseconds())/1000),
			slog.String("client_ip", ClientIP(c)),
		}
		s.log.LogAttrs(ctx, level, "request", append(attrs, failureAttrs(err)...)...)
		return nil
	}
}

// lineLevel goes by the error and not by the status, which an answer that was on its
// way already keeps.
func lineLevel(err error, route string) slog.Level {
	switch {
	case err != nil && classified(err).Kind == fault.Internal:
		return slog.LevelError
	case err != nil && ours(err):
		return slog.LevelWarn
	case isProbe(route):
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// ours reports whether a failure is not the caller's doing.
func ours(err error) bool {
	kind := classified(err).Kind
	return kind == fault.Internal || kind == fault.Unavailable
}

// failureAttrs is what the log learns of an error: why a request was refused, and
// the whole chain where the fault is ours.
func failureAttrs(err error) []slog.Attr {
	if err == nil {
		return nil
	}
	attrs := []slog.Attr{slog.String("reason", classified(err).Reason)}
	if ours(err) {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	var p *panicError
	if errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	return attrs
}

// panicError is a panic in a handler, with where it happened.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// recoverPanic turns a panic into an internal error, which stays between us and the log.
func (s *Server) recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler: // net/http's own way to cut a connection
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
			h.Set("Strict-Transport-Security", "max-age=31536000") // a year; RFC 6797 has it over TLS alone
		}
		return next(c)
	}
}

// decodedPath makes routing see what handlers see. With RawPath left in place the
// router would compare the encoded spelling, and /api/v1/%69ntegrations would be
// another path than the route that it names.
func decodedPath(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		u := c.Request().URL
		u.RawPath = ""
		// The router would answer OPTIONS itself, with a 204 and the methods of the route.
		if !routable(u.Path) || c.Request().Method == http.MethodOptions {
			return noRoute()
		}
		return next(c)
	}
}

// routable refuses the spellings that no route has, and that routers and proxies
// disagree about: an empty segment, path parameters, bytes that are not text.
func routable(path string) bool {
	return strings.HasPrefix(path, "/") &&
		!strings.HasSuffix(path, "/") &&
		!strings.Contains(path, "//") &&
		!strings.Contains(path, ";") &&
		utf8.ValidString(path) &&
		!strings.ContainsFunc(path, unicode.IsControl)
}

func noRoute() *fault.Error { return fault.NotFound.New("no_route", "There is no such route.") }
