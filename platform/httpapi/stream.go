package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
)

// EventStream is the content type of server-sent events.
const EventStream = "text/event-stream"

const (
	streamKey = "httpapi.stream"
	openedKey = "httpapi.opened"
)

// ErrCredentialEnded means that a stream's credential was revoked or changed meanwhile.
var ErrCredentialEnded = errors.New("the credential is not valid any more")

// Stream is an answer of server-sent events. Each write has the server's write timeout, so
// that a client that stops reading is dropped. Its methods are for one goroutine.
type Stream struct {
	c      echo.Context
	server *Server
	out    *http.ResponseController
	caller Caller
	buffer bytes.Buffer
}

// streaming gives a route's handler its Stream.
func (s *Server) streaming(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		caller, err := s.caller(c.Request()) // admit has just accepted it
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(c.Request().Context())
		defer cancel()
		defer context.AfterFunc(s.drainCtx, cancel)()
		c.SetRequest(c.Request().WithContext(ctx))
		c.Set(streamKey, &Stream{c: c, server: s, out: http.NewResponseController(c.Response()), caller: caller})
		return h(c)
	}
}

// StreamOf returns the stream of a route whose Spec has Stream. Its request's context ends
// when the client disconnects or the server drains.
func StreamOf(c echo.Context) *Stream { return c.Get(streamKey).(*Stream) }

// Draining reports whether the stream must end because the server stops.
func (s *Stream) Draining() bool { return s.server.draining.Load() }

// Open sends the headers, and restarts the connection's read deadline, which is meant for a
// request. What fails afterwards cannot be answered as an error.
func (s *Stream) Open() error {
	_ = s.out.SetReadDeadline(time.Time{}) // unsupported in tests without a connection
	s.c.Set(openedKey, s.server.now())
	h := s.c.Response().Header()
	h.Set(echo.HeaderContentType, EventStream)
	h.Set("X-Accel-Buffering", "no") // for proxies such as nginx
	s.c.Response().WriteHeader(http.StatusOK)
	return s.Flush()
}

// Event adds an event. data is one line; id and name may be "".
func (s *Stream) Event(name, id string, data []byte) {
	if name != "" {
		fmt.Fprintf(&s.buffer, "event: %s\n", name)
	}
	if id != "" {
		fmt.Fprintf(&s.buffer, "id: %s\n", id)
	}
	fmt.Fprintf(&s.buffer, "data: %s\n\n", data)
}

// Comment adds a comment, which clients ignore, with an id from which a client can resume.
func (s *Stream) Comment(text, id string) {
	fmt.Fprintf(&s.buffer, ": %s\n", text)
	if id != "" {
		fmt.Fprintf(&s.buffer, "id: %s\n", id)
	}
	s.buffer.WriteByte('\n')
}

// Buffered returns the bytes that Flush would send.
func (s *Stream) Buffered() int { return s.buffer.Len() }

// Flush sends what was added.
func (s *Stream) Flush() error {
	_ = s.out.SetWriteDeadline(s.server.now().Add(s.server.cfg.WriteTimeout))
	if _, err := s.c.Response().Write(s.buffer.Bytes()); err != nil {
		return err
	}
	s.buffer.Reset()
	return s.out.Flush()
}

// CheckCredential returns ErrCredentialEnded if the credential no longer allows what it
// allowed when the stream began. While that cannot be determined it stays allowed.
func (s *Stream) CheckCredential(ctx context.Context) error {
	now, err := s.server.caller(s.c.Request().WithContext(ctx))
	switch {
	case err != nil && isOwnFailure(err):
		return nil
	case err != nil || !reflect.DeepEqual(now, s.caller):
		return ErrCredentialEnded
	}
	return nil
}

// answeredAfter is how long the answer took; for a stream, until it was opened.
func answeredAfter(c echo.Context, now clock.Now, start time.Time) time.Duration {
	if opened, ok := c.Get(openedKey).(time.Time); ok {
		return opened.Sub(start)
	}
	return now.Since(start)
}
