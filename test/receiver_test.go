package test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// parcel is one delivery that arrived.
type parcel struct {
	path   string
	header http.Header
	body   []byte
	nth    int             // of those with its webhook-id, from 1
	gone   <-chan struct{} // closed when the sender has hung up
}

func (p parcel) id() string { return p.header.Get("Webhook-Id") }

// receiver is the team's own service that the gateway delivers to.
type receiver struct {
	server *httptest.Server

	mu     sync.Mutex
	answer func(parcel) int
	got    []parcel
	times  map[string]int // deliveries by webhook-id
}

// newReceiver listens until the test ends, and answers 204.
func newReceiver(t *testing.T) *receiver {
	r := &receiver{times: map[string]int{}, answer: func(parcel) int { return http.StatusNoContent }}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // the sender died while it sent
		}
		w.WriteHeader(r.take(parcel{path: req.URL.Path, header: req.Header, body: body, gone: req.Context().Done()}))
	}))
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) take(p parcel) int {
	r.mu.Lock()
	r.times[p.id()]++
	p.nth = r.times[p.id()]
	r.got = append(r.got, p)
	answer := r.answer
	r.mu.Unlock()
	return answer(p)
}

// answers sets how deliveries are answered from now on. answer may block; it is told
// by p.gone when nobody waits for it any more.
func (r *receiver) answers(answer func(p parcel) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// of gives the deliveries of one event.
func (r *receiver) of(eventID string) []parcel {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []parcel
	for _, p := range r.got {
		if p.id() == eventID {
			list = append(list, p)
		}
	}
	return list
}

// one waits for the only delivery of an event.
func (r *receiver) one(t *testing.T, eventID string) parcel {
	t.Helper()
	eventually(t, func() bool { return r.count(eventID) > 0 }, "event %s is delivered", eventID)
	list := r.of(eventID)
	require.Len(t, list, 1)
	return list[0]
}

// count tells how often an event was delivered.
func (r *receiver) count(eventID string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.times[eventID]
}

// total counts all deliveries.
func (r *receiver) total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

// missing gives how many of these events were not delivered.
func (r *receiver) missing(eventIDs []string) int {
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

// hold waits until the gate is open or the sender has hung up.
func (g *gate) hold(p parcel) {
	select {
	case <-g.open:
	case <-p.gone:
	}
}
