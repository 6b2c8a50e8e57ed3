package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"integration-gateway/platform/clock"
)

// processingTime is the receiver's time for an ordinary delivery, so that some are always
// in flight. Scenarios may set another time.
const processingTime = 20 * time.Millisecond

// receiver is the service that deliveries go to. It lives as long as the suite; each
// scenario writes into its own ledger.
type receiver struct {
	url    string
	server *http.Server

	mu             sync.Mutex
	name           string // of the scenario; deliveries of others are ignored
	ledger         *ledger
	processingTime func(path string) time.Duration // processing time of an ordinary delivery
	callback       *behaviour
	down           bool   // answers everything with 503
	hanging        string // the path that never answers
	redirected     int    // requests that followed a redirect
}

func newReceiver() (*receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // as long as the suite runs
	if err != nil {
		return nil, fmt.Errorf("start a receiver: %w", err)
	}
	r := &receiver{url: "http://" + listener.Addr().String()}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /acme", r.deliver)
	mux.HandleFunc("POST /acme/{neighbour}", r.deliver)
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.redirected++
	})
	mux.HandleFunc("POST /globex", func(http.ResponseWriter, *http.Request) {})
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = r.server.Serve(listener) }()
	return r, nil
}

func (r *receiver) close() { _ = r.server.Close() }

// serve assigns the receiver to a scenario.
func (r *receiver) serve(name string, l *ledger, b *behaviour, pause func(path string) time.Duration) {
	if pause == nil {
		pause = func(string) time.Duration { return processingTime }
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.processingTime = pause
	r.name, r.ledger, r.callback, r.down, r.hanging, r.redirected = name, l, b, false, "", 0
}

// redirectCount returns the number of requests that followed a redirect.
func (r *receiver) redirectCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.redirected
}

func (r *receiver) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *receiver) setHanging(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hanging = path
}

func (r *receiver) deliver(w http.ResponseWriter, req *http.Request) {
	began := clock.System()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	var event struct {
		ExternalEventID string `json:"externalEventId"`
	}
	_ = json.Unmarshal(body, &event)
	d := delivery{webhookID: req.Header.Get("Webhook-Id"), began: began}
	r.mu.Lock()
	l, name, callback, down, deaf, processingTime := r.ledger, r.name, r.callback, r.down, r.hanging, r.processingTime
	r.mu.Unlock()
	if !strings.HasPrefix(event.ExternalEventID, name+"-") {
		return // an example, or a late delivery of another scenario
	}
	if req.URL.Path == deaf {
		hang(w, req)
		return
	}
	if down {
		l.recordDelivery(event.ExternalEventID, d, false, false)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if callback != nil && callback.apply(w, req, l, event.ExternalEventID, d) {
		return
	}
	pause := time.NewTimer(processingTime(req.URL.Path))
	defer pause.Stop()
	<-pause.C
	d.broken = req.Context().Err() != nil
	l.recordDelivery(event.ExternalEventID, d, true, false)
	w.WriteHeader(http.StatusNoContent)
}
