package test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// load is senders that send one webhook after the other, each new and each retried until it
// is answered 2xx, like a good provider.
type load struct {
	g    *gateway
	name string
	quit chan struct{}
	done sync.WaitGroup

	mu       sync.Mutex
	next     int
	answered map[string]string // event ids by external event id
	refused  []string          // unexpected responses
}

// startLoad starts it; stop ends it.
func startLoad(g *gateway, name string, senders int) *load {
	l := &load{g: g, name: name, quit: make(chan struct{}), answered: map[string]string{}}
	for range senders {
		l.done.Go(l.send)
	}
	g.t.Cleanup(l.stop)
	return l
}

// stop waits until no webhook is in progress. Unanswered ones do not count.
func (l *load) stop() {
	l.mu.Lock()
	if l.quit != nil {
		close(l.quit)
		l.quit = nil
	}
	l.mu.Unlock()
	l.done.Wait()
}

func (l *load) send() {
	l.mu.Lock()
	quit := l.quit
	l.mu.Unlock()
	for {
		l.mu.Lock()
		l.next++
		external := fmt.Sprintf("evt_%s_%d", l.name, l.next)
		l.mu.Unlock()
		for !l.trySend(external) {
			select {
			case <-quit:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
		select {
		case <-quit:
			return
		default:
		}
	}
}

// trySend sends a webhook and reports whether it was answered 2xx.
func (l *load) trySend(external string) bool {
	status, r, e, err := l.g.post("acme", order(external, l.name), "")
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch status {
	case http.StatusAccepted, http.StatusOK:
		l.answered[external] = r.EventID
		return true
	case http.StatusServiceUnavailable:
	default:
		l.refused = append(l.refused, fmt.Sprintf("%s: %d %s %s", external, status, e.Error.Code, e.Error.Message))
	}
	return false
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.answered)
}

// waitForAnswers waits until so many more webhooks were answered 2xx.
func (l *load) waitForAnswers(more int) {
	l.g.t.Helper()
	want := l.count() + more
	eventually(l.g.t, func() bool { return l.count() >= want }, "%d more webhooks are answered", more)
}

// checkDeliveries waits until every accepted event is delivered, and compares responses and
// deliveries.
func (l *load) checkDeliveries() {
	l.g.t.Helper()
	l.stop()
	t := l.g.t
	require.Empty(t, l.refused)
	var ids []string
	for _, id := range l.answered {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	require.Len(t, slices.Compact(slices.Clone(ids)), len(ids), "each webhook became a separate event")
	eventually(t, func() bool { return l.g.receiver.undelivered(ids) == 0 }, "all of %d events are delivered", len(ids))
	l.g.receiver.eachHasOneID(t)
}

// eachHasOneID checks that duplicate deliveries have the same webhook-id: an event was
// never created twice.
func (r *receiver) eachHasOneID(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	byExternal := map[string]string{}
	for _, d := range r.deliveries {
		external := externalID(d.body)
		if before, known := byExternal[external]; known {
			require.Equal(t, before, d.id(), "%s was delivered with two webhook-ids", external)
		}
		byExternal[external] = d.id()
	}
}

// repeats counts the deliveries that were not the first of their event.
func (r *receiver) repeats() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.deliveries) - len(r.times)
}

func externalID(body []byte) string {
	var event struct{ ExternalEventID string }
	if err := decode(body, &event); err != nil {
		return err.Error()
	}
	return event.ExternalEventID
}
