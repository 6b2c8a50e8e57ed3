package httpapi

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// The bounds of what is read of a body that was refused before its end.
const (
	drainBytes = 64 << 20
	drainTime  = 10 * time.Second
)

const refusedKey = "httpapi.refused"

// answerEarly lets an error be answered while the body is still coming. It is called
// before the answer is written, whose length must be known; drain does the rest.
func answerEarly(c echo.Context) {
	r := c.Request()
	// Who waits for "100 Continue" sees the answer and sends no body.
	if r.ContentLength == 0 || strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return
	}
	if http.NewResponseController(c.Response()).EnableFullDuplex() == nil {
		c.Set(refusedKey, true)
	}
}

// drain reads on, within bounds and into nothing, when a request was refused before its
// body was read. A connection closed in the middle of a body is reset, and most senders
// then report a broken connection in place of the answer that says what was wrong.
func (s *Server) drain(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		if refused, _ := c.Get(refusedKey).(bool); !refused {
			return err
		}
		connection := http.NewResponseController(c.Response())
		if connection.Flush() != nil || connection.SetReadDeadline(s.now().Add(min(drainTime, s.cfg.ReadTimeout))) != nil {
			return err
		}
		_, _ = io.CopyN(io.Discard, c.Request().Body, drainBytes)
		return err
	}
}
