package main

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	"integration-gateway/platform/clock"
)

// receiver is the service that deliveries go to: a minimal HTTP server, so that it uses
// little CPU. It answers 200 and records the number.
type receiver struct {
	listener net.Listener
	ledger   atomic.Pointer[ledger]

	mu    sync.Mutex
	conns []net.Conn
}

func newReceiver() (*receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // as long as the program runs
	if err != nil {
		return nil, fmt.Errorf("start a receiver: %w", err)
	}
	r := &receiver{listener: listener}
	go r.accept()
	return r, nil
}

func (r *receiver) url() string { return "http://" + r.listener.Addr().String() }

func (r *receiver) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.conns {
		_ = conn.Close()
	}
}

func (r *receiver) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.conns = append(r.conns, conn)
		r.mu.Unlock()
		go r.serve(conn)
	}
}

var ok200 = []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

func (r *receiver) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	buf := make([]byte, 16<<10)
	have := 0
	for {
		need, body := request(buf[:have])
		if need > len(buf) {
			buf = append(buf, make([]byte, need-len(buf))...)
		}
		if need == 0 || have < need {
			if have == len(buf) {
				return // an endless head
			}
			n, err := conn.Read(buf[have:])
			if err != nil {
				return
			}
			have += n
			continue
		}
		if l := r.ledger.Load(); l != nil {
			l.arrive(buf[body:need])
		}
		if _, err := conn.Write(ok200); err != nil {
			return
		}
		copy(buf, buf[need:have])
		have -= need
	}
}

// request returns the size of the request at the beginning of text, 0 while its head is
// incomplete, and where its body begins.
func request(text []byte) (size, body int) {
	end := bytes.Index(text, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, 0
	}
	length, _ := contentLength(text[:end])
	body = end + len("\r\n\r\n")
	return body + length, body
}

// arrive records a delivery of one of this ledger's events.
func (l *ledger) arrive(body []byte) {
	_, rest, found := bytes.Cut(body, l.sign)
	if !found || len(rest) < digits {
		return // an example, or a late delivery of another turn
	}
	n, err := strconv.Atoi(string(rest[:digits]))
	if err != nil || n >= len(l.records) {
		return
	}
	r := &l.records[n]
	if r.arrived.CompareAndSwap(0, clock.System().UnixMicro()) {
		l.arrivals.Add(1)
	} else {
		l.twice.Add(1)
	}
}
