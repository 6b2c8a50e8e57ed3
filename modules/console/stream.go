package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"integration-gateway/platform/client"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
)

const (
	streamWrite = 10 * time.Second
	recheck     = 5 * time.Second // how soon a session that ended closes its stream
	heartbeat   = 15 * time.Second
)

// streamed is what the stream says of something that happened: enough to tell whether a page
// shows it. The page itself is then read again.
type streamed struct {
	Source    string `json:"source"`
	EventID   string `json:"id,omitempty"`
	Provider  string `json:"provider,omitempty"`
	EventType string `json:"eventType,omitempty"`
	Status    string `json:"status,omitempty"`
}

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
	messages := make(chan client.Message)
	failed := make(chan error, 1)
	go func() {
		failed <- v.api.Stream(ctx, "/events/stream", nil, "", func(msg client.Message) error {
			select {
			case messages <- msg:
			case <-ctx.Done():
			}
			return ctx.Err()
		}, func(error) {})
	}()
	out := &streamOut{v: v, out: http.NewResponseController(v.c.Response())}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	first := time.NewTimer(time.Second)
	defer first.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case err = <-failed:
			if err != nil && !out.opened {
				return err
			}
			return nil
		case msg := <-messages:
			if msg.Event == "end" { // the gateway stops, or the key changed; the browser asks again
				return nil
			}
			err = out.write(lineOf(msg))
		case <-first.C:
			err = out.write(": following\n\n")
		case <-beat.C:
			err = out.write(": alive\n\n")
		}
		if err != nil {
			return nil //nolint:nilerr // the browser has left
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

// lineOf is a message as the browser gets it.
func lineOf(msg client.Message) string {
	var said struct {
		Source string `json:"source"`
		Event  *struct {
			ID, Provider, EventType, Status string
		} `json:"event"`
	}
	if json.Unmarshal(msg.Data, &said) != nil {
		return ": skipped\n\n"
	}
	short := streamed{Source: said.Source}
	if said.Event != nil {
		short.EventID, short.Provider, short.EventType, short.Status = said.Event.ID, said.Event.Provider, said.Event.EventType, said.Event.Status
	}
	text, _ := json.Marshal(short) // strings always marshal
	return "event: " + msg.Event + "\ndata: " + string(text) + "\n\n"
}
