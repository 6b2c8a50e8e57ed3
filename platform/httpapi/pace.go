package httpapi

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// pace enforces a body's minimum rate: the connection's deadline moves with the bytes
// received.
type pace struct {
	connection *http.ResponseController
	free, end  time.Time // end of the time without a minimum rate; end of the whole request
	rate       int64     // bytes a second
}

// paceOf returns the pace of a request, nil if no rate is required.
func (s *Server) paceOf(c echo.Context) *pace {
	if s.cfg.MinBodyRate <= 0 {
		return nil
	}
	now := s.now()
	return &pace{connection: http.NewResponseController(c.Response()), free: now.Add(s.cfg.BodyGrace), end: now.Add(s.cfg.ReadTimeout), rate: s.cfg.MinBodyRate}
}

// after extends the deadline for the next bytes until the rate would be too low. A
// connection without deadlines, as in tests, is not limited.
func (p *pace) after(received int) {
	if p == nil {
		return
	}
	due := p.free.Add(time.Duration(received) * time.Second / time.Duration(p.rate))
	if due.After(p.end) {
		due = p.end
	}
	_ = p.connection.SetReadDeadline(due)
}

// over restores the request's deadline: the connection is read while it is answered, to
// notice a client that disconnects.
func (p *pace) over() {
	if p != nil {
		_ = p.connection.SetReadDeadline(p.end)
	}
}
