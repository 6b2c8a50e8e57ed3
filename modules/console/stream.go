package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
)

const (
	streamWrite = 10 * time.Second
	recheck     = 5 * time.Second // how soon a session that ended closes its stream
	heartbeat   = 15 * time.Second
	collectFor  = 250 * time.Millisecond // messages that come this soon after others are sent together
)

// stream follows what happens, for one browser, until it leaves, the session ends or the gateway
// stops.
func (m *Module) stream(v *visit) error {
	ctx, cancel := context.WithCancel(v.ctx)
	defer cancel()
	go func() {
		for clock.Sleep(ctx, recheck) {
			if _, err := m.resume(ctx, v.token); errors.Is(err, errSignedOut) {
				cancel()
			}
		}
	}()
	l, leave := m.listen(v)
	defer leave()
	out := &streamOut{v: v, out: http.NewResponseController(v.c.Response())}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	first := time.NewTimer(time.Second)
	defer first.Stop()
	wake, collected := l.wake, (<-chan time.Time)(nil)
	for {
		text := ""
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
			over, err := false, error(nil)
			text, over, err = m.take(l)
			if over && err != nil && !out.opened {
				return err
			}
			if over { // the gateway stops, or could not go on: the browser asks again
				return nil
			}
			wake, collected = nil, time.After(collectFor)
		case <-collected:
			wake, collected = l.wake, nil
			continue
		case <-first.C:
			text = ": following\n\n"
		case <-beat.C:
			text = ": alive\n\n"
		}
		if out.write(text) != nil {
			return nil // the browser has left
		}
	}
}

// streamOut writes to the browser, each time within a deadline.
type streamOut struct {
	v      *visit
	out    *http.ResponseController
	opened bool
}

func (s *streamOut) write(text string) error {
	if !s.opened {
		s.opened = true
		_ = s.out.SetReadDeadline(time.Time{})
		h := s.v.c.Response().Header()
		h.Set("Content-Type", httpapi.EventStream)
		h.Set("X-Accel-Buffering", "no")
		s.v.c.Response().WriteHeader(http.StatusOK)
	}
	_ = s.out.SetWriteDeadline(s.v.m.d.Now().Add(streamWrite))
	if _, err := s.v.c.Response().Write([]byte(text)); err != nil {
		return err
	}
	return s.out.Flush()
}
