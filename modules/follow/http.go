package follow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// headerLastEventID is where a client resumes, as EventSource sends it.
const headerLastEventID = "Last-Event-ID"

// flushAt is how many bytes are collected while further messages wait.
const flushAt = 64 << 10

// The reasons in the last event of a stream.
const (
	endStopping    = "stopping"    // the process stops; another one can go on
	endBehind      = "behind"      // the client did not read fast enough
	endCredential  = "credential"  // the key or token ended or changed
	endUnavailable = "unavailable" // the database did not answer
)

var streamSpec = httpapi.Spec{
	Summary: "What happens to events, as server-sent events, until the client disconnects.",
	Query: append([]httpapi.Param{
		httpapi.EnumParam("kind", "these messages alone", kindReceived, kindStatus, kindRefused),
		httpapi.TextParam("provider", "exactly"),
		httpapi.TextParam("source", "exactly"),
		httpapi.TextParam("eventType", "exactly"),
		httpapi.TextParam("externalEventId", "exactly"),
		httpapi.TextParam("correlationId", "exactly"),
		httpapi.EnumParam("status", "what became of the event", "pending", "processing", "processed", "retrying", "failed"),
		httpapi.TextParam("subject", "contained, literally, in either case"),
		httpapi.TimeParam("from", "at or after this `occurredAt`"),
		httpapi.TimeParam("to", "at or before this `occurredAt`"),
		httpapi.IntParam("perSecond", "about the most messages a second, of the newest; an event `more` says that others were left out, which may be of any source", 2, 1000),
	}, httpapi.Between("received")...),
	Stream:  true,
	Media:   httpapi.EventStream,
	Answers: []httpapi.Answer{{Status: http.StatusOK, Shape: httpapi.Other, When: "a stream of server-sent events"}},
}

// following is one request.
type following struct {
	*httpapi.Stream
	m        *Module
	client   *client
	replayed *replayed // nil for a client that does not resume
	position string    // where it resumes after what was sent
}

func (m *Module) stream(c echo.Context) error {
	ctx := c.Request().Context()
	since, err := resumeFrom(c.Request())
	if err != nil {
		return err
	}
	if !m.enter() {
		return fault.Unavailable.New("too_many_streams", "This process serves as many streams as EVENT_STREAM_MAX_CLIENTS allows.").After(5 * time.Second)
	}
	defer m.leave()
	most := m.perPoll(httpapi.QueryOf(c).Int("perSecond"))
	f := &following{Stream: httpapi.StreamOf(c), m: m, position: since,
		client: &client{want: filterOf(httpapi.ScopeOf(ctx), httpapi.QueryOf(c)), messages: make(chan *message, m.cfg.Buffer), most: most, left: most}}
	if since != "" {
		f.replayed = &replayed{m: m, at: since, sent: map[string]bool{}}
	}
	defer m.unsubscribe(f.client)
	if since == "" {
		if err := m.subscribe(ctx, f.client); err != nil {
			return err
		}
		f.position = positionAt(m.d.Now(), m.cfg.Settle) // what commits from now on has a greater id
	}
	if f.Open() != nil {
		return nil
	}
	reason, err := f.run(ctx)
	if f.Draining() {
		reason = endStopping
	}
	if reason != "" {
		f.Event("end", f.position, fmt.Appendf(nil, `{"reason":%q}`, reason))
		_ = f.Flush() // the client may be gone
	}
	if err != nil && ctx.Err() == nil && reason == endUnavailable {
		return err // for the log: the answer has begun
	}
	return nil
}

// perPoll is a client's share of one poll, 0 for no limit.
func (m *Module) perPoll(perSecond int) int {
	if perSecond == 0 {
		return 0
	}
	return max(1, int(float64(perSecond)*m.cfg.Every.Seconds()))
}

// resumeFrom returns the position in the request; "" if there is none.
func resumeFrom(r *http.Request) (string, error) {
	since := strings.ToLower(r.Header.Get(headerLastEventID))
	if since != "" && !id.Valid(since) {
		return "", httpapi.Invalid([]fault.Field{{Field: headerLastEventID, Message: "must be the id of a message of this stream, or be left out"}})
	}
	return since, nil
}

// enter takes one of the process's streams; false if there is none left.
func (m *Module) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open >= m.cfg.MaxClients {
		return false
	}
	m.open++
	return true
}

func (m *Module) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open--
}

// run sends messages until the stream ends, and returns the reason that the client is told,
// "" if it is gone.
func (f *following) run(ctx context.Context) (reason string, err error) {
	if f.replayed != nil {
		if reason, err = f.resume(ctx); reason != "" || err != nil {
			return reason, err
		}
	}
	f.Comment("following", f.position)
	if err := f.Flush(); err != nil {
		return "", err
	}
	tick := time.NewTicker(f.m.cfg.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case msg, ok := <-f.client.messages:
			if !ok {
				return endBehind, nil
			}
			if err := f.pass(msg); err != nil {
				return "", err
			}
		case <-tick.C:
			if err := f.CheckCredential(ctx); err != nil {
				return endCredential, nil
			}
			f.Comment("heartbeat", f.position)
			if err := f.Flush(); err != nil {
				return "", err
			}
		}
	}
}

// resume sends what happened since the position, first without and then with what the
// poller sees meanwhile.
func (f *following) resume(ctx context.Context) (reason string, err error) {
	checked := f.m.d.Now()
	send := func(msg *message) error {
		f.position = f.replayed.at
		f.Event(msg.kind, f.position, msg.data)
		if err := f.Flush(); err != nil {
			return &writeError{err}
		}
		if f.m.d.Now().Sub(checked) < f.m.cfg.Heartbeat {
			return nil
		}
		checked = f.m.d.Now()
		return f.CheckCredential(ctx)
	}
	err = f.replayed.catchUp(ctx, f.client.want, send)
	if err == nil {
		err = f.m.subscribe(ctx, f.client)
	}
	if err == nil {
		err = f.replayed.catchUp(ctx, f.client.want, send)
	}
	f.position = f.replayed.at
	var broken *writeError
	switch {
	case err == nil:
		return "", nil
	case errors.As(err, &broken) || ctx.Err() != nil:
		return "", err
	case errors.Is(err, httpapi.ErrCredentialEnded):
		return endCredential, nil
	}
	return endUnavailable, err
}

// pass sends a message of the poller, unless it was sent while resuming.
func (f *following) pass(msg *message) error {
	switch {
	case msg.kind == "":
		f.position = max(f.position, msg.position)
	case f.replayed == nil || !f.replayed.sent[msg.id]:
		f.Event(msg.kind, f.position, msg.data)
	}
	if f.Buffered() == 0 || len(f.client.messages) > 0 && f.Buffered() < flushAt {
		return nil
	}
	return f.Flush()
}

// writeError means that the client is gone.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }
