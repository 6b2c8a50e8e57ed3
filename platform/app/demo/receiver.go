package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"integration-gateway/platform/clock"
)

// receiver is the services that events are delivered to, one for each path.
type receiver struct {
	server *http.Server
	url    string
	done   chan struct{}

	mu    sync.Mutex
	tried map[string]bool // webhook-ids that a flaky service has answered once
}

// service is how one of them behaves.
type service struct {
	path  string
	takes time.Duration
	// answers returns the status and body for a delivery; first tells whether it was not seen before.
	answers func(body []byte, first bool) (int, string)
}

// The words in payloads that services stumble over.
const (
	oversold = "oversold"
	closed   = "account_closed"
)

func fine([]byte, bool) (int, string) { return http.StatusOK, `{"stored":true}` }

var services = []service{
	{"/ledger", 18 * time.Millisecond, fine},
	{"/orders", 9 * time.Millisecond, func(body []byte, first bool) (int, string) {
		if first && len(body)%7 == 0 {
			return http.StatusServiceUnavailable, `{"error":"the connection pool is exhausted","retry":true}`
		}
		return fine(body, first)
	}},
	{"/warehouse", 35 * time.Millisecond, func(body []byte, first bool) (int, string) {
		if bytes.Contains(body, []byte(oversold)) {
			return http.StatusInternalServerError, `{"error":"no stock for sku MUG-11","trace":"b1f7c2"}`
		}
		return fine(body, first)
	}},
	{"/fraud-check", 3 * time.Millisecond, func([]byte, bool) (int, string) {
		return http.StatusServiceUnavailable, `{"error":"down for maintenance"}`
	}},
	{"/ci", 140 * time.Millisecond, fine},
	{"/chat", 6 * time.Millisecond, fine},
	{"/crm", 22 * time.Millisecond, func(body []byte, first bool) (int, string) {
		if bytes.Contains(body, []byte(closed)) {
			return http.StatusGone, `{"error":"this customer's account is closed"}`
		}
		return fine(body, first)
	}},
	{"/analytics", 4 * time.Millisecond, fine},
}

// newReceiver starts the services on a free port of this machine.
func newReceiver(ctx context.Context) (*receiver, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the demo's deliveries: %w", err)
	}
	r := &receiver{url: "http://" + listener.Addr().String(), done: make(chan struct{}), tried: map[string]bool{}}
	mux := http.NewServeMux()
	for _, s := range services {
		mux.HandleFunc("POST "+s.path, r.serve(s))
	}
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(r.done)
		_ = r.server.Serve(listener) // until it is closed
	}()
	return r, nil
}

func (r *receiver) close() {
	_ = r.server.Close()
	<-r.done
}

func (r *receiver) serve(s service) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
		if err != nil || !clock.Sleep(req.Context(), s.takes) {
			return
		}
		status, answer := s.answers(body, r.first(s.path+req.Header.Get("Webhook-Id")))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}
}

// first reports whether a delivery was not seen before. It forgets when it knows too many.
func (r *receiver) first(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tried) > 10_000 {
		clear(r.tried)
	}
	seen := r.tried[key]
	r.tried[key] = true
	return !seen
}
