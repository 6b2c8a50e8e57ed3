package httpapi

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// The limits for reading the rest of a refused body.
const (
	drainBytes = 64 << 20
	drainTime  = 10 * time.Second
)

const refusedKey = "httpapi.refused"

// endConnection makes responses end their connections while the server is draining.
func (s *Server) endConnection(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Before(func() { // it may begin while a request is answered
			if s.draining.Load() {
				c.Response().Header().Set(echo.HeaderConnection, "close")
			}
		})
		return next(c)
	}
}

// answerEarly allows an error response while the body is still arriving. It is called
// before the response is written, whose length must be known; drain does the rest.
func answerEarly(c echo.Context) {
	r := c.Request()
	// A client that waits for "100 Continue" sees the response and sends no body.
	if r.ContentLength == 0 || strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return
	}
	if http.NewResponseController(c.Response()).EnableFullDuplex() == nil {
		c.Set(refusedKey, true)
	}
}

// drain reads and discards the rest of the body, within limits, if a request was refused
// before its body was read. Closing the connection in the middle of a body resets it, and
// most senders would report a broken connection instead of the response.
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
