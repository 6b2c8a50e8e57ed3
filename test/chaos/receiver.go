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
)

// thinks is how long the receiver takes for an ordinary delivery, so that some are in
// flight at any moment.
const thinks = 20 * time.Millisecond

// receiver is the team's service that deliveries go to. It lives as long as the suite;
// each scenario has it write into its own ledger.
type receiver struct {
	url    string
	server *http.Server

	mu       sync.Mutex
	name     string // of the scenario; deliveries of another are not its own
	ledger   *ledger
	callback *behaviour
	down     bool   // refuses everything with 503
	deaf     string // the path that never answers
	misled   int    // requests to where a redirect points
}

func newReceiver() (*receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // for as long as the suite
	if err != nil {
		return nil, fmt.Errorf("a receiver: %w", err)
	}
	r := &receiver{url: "http://" + listener.Addr().String()}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /acme", r.deliver)
	mux.HandleFunc("POST /acme/{neighbour}", r.deliver)
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.misled++
	})
	mux.HandleFunc("POST /globex", func(http.ResponseWriter, *http.Request) {})
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = r.server.Serve(listener) }()
	return r, nil
}

func (r *receiver) close() { _ = r.server.Close() }

// serve makes the receiver the one of a scenario.
func (r *receiver) serve(name string, l *ledger, b *behaviour) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.name, r.ledger, r.callback, r.down, r.deaf, r.misled = name, l, b, false, "", 0
}

// led is how many requests came to where a redirect points.
func (r *receiver) led() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.misled
}

func (r *receiver) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *receiver) setDeaf(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deaf = path
}

func (r *receiver) deliver(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	var event struct {
		ExternalEventID string `json:"externalEventId"`
	}
	_ = json.Unmarshal(body, &event)
	webhookID := req.Header.Get("Webhook-Id")
	r.mu.Lock()
	l, name, callback, down, deaf := r.ledger, r.name, r.callback, r.down, r.deaf
	r.mu.Unlock()
	if !strings.HasPrefix(event.ExternalEventID, name+"-") {
		return // an example, or a straggler of another scenario
	}
	if req.URL.Path == deaf {
		hang(w, req)
		return
	}
	if down {
		l.took(event.ExternalEventID, webhookID, false, false)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if callback != nil && callback.treat(w, req, l, event.ExternalEventID, webhookID) {
		return
	}
	pause := time.NewTimer(thinks)
	defer pause.Stop()
	<-pause.C
	l.took(event.ExternalEventID, webhookID, true, false)
	w.WriteHeader(http.StatusNoContent)
}
