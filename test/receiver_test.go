package test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// delivery is one delivery that arrived.
type delivery struct {
	path   string
	header http.Header
	body   []byte
	nth    int             // its number among those with its webhook-id, from 1
	gone   <-chan struct{} // closed when the sender has disconnected
}

func (d delivery) id() string { return d.header.Get("Webhook-Id") }

// receiver is the service that the gateway delivers to.
type receiver struct {
	server *httptest.Server

	mu         sync.Mutex
	answer     func(delivery) int
	deliveries []delivery
	times      map[string]int // deliveries by webhook-id
}

// newReceiver listens until the test ends, and answers 204.
func newReceiver(t *testing.T) *receiver {
	r := &receiver{times: map[string]int{}, answer: func(delivery) int { return http.StatusNoContent }}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // the sender died while sending
		}
		w.WriteHeader(r.take(delivery{path: req.URL.Path, header: req.Header, body: body, gone: req.Context().Done()}))
	}))
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) take(d delivery) int {
	r.mu.Lock()
	r.times[d.id()]++
	d.nth = r.times[d.id()]
	r.deliveries = append(r.deliveries, d)
	answer := r.answer
	r.mu.Unlock()
	return answer(d)
}

// respondWith sets the response to deliveries from now on. answer may block; d.gone tells
// it that the sender has disconnected.
func (r *receiver) respondWith(answer func(d delivery) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// of returns the deliveries of one event.
func (r *receiver) of(eventID string) []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []delivery
	for _, d := range r.deliveries {
		if d.id() == eventID {
			list = append(list, d)
		}
	}
	return list
}

// one waits for the only delivery of an event.
func (r *receiver) one(t *testing.T, eventID string) delivery {
	t.Helper()
	eventually(t, func() bool { return r.count(eventID) > 0 }, "event %s is delivered", eventID)
	list := r.of(eventID)
	require.Len(t, list, 1)
	return list[0]
}

// count returns the number of an event's deliveries.
func (r *receiver) count(eventID string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.times[eventID]
}

// total counts all deliveries.
func (r *receiver) total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.deliveries)
}

// undelivered counts the events among these that were not delivered.
func (r *receiver) undelivered(eventIDs []string) int {
	n := 0
	for _, id := range eventIDs {
		if r.count(id) == 0 {
			n++
		}
	}
	return n
}

// gate holds deliveries until it is opened.
type gate struct {
	once sync.Once
	open chan struct{}
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

// hold waits until the gate is open or the sender has disconnected.
func (g *gate) hold(d delivery) {
	select {
	case <-g.open:
	case <-d.gone:
	}
}
