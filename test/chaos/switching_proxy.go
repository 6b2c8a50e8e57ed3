package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// switchingProxy is a proxy that leads new connections to one server, which can be changed.
// Existing connections stay where they are until they are closed.
type switchingProxy struct {
	listener net.Listener

	mu    sync.Mutex
	to    string
	conns map[net.Conn]bool // to clients
}

func newSwitchingProxy(to string) (*switchingProxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // as long as the cluster runs
	if err != nil {
		return nil, fmt.Errorf("start a proxy for the cluster: %w", err)
	}
	p := &switchingProxy{listener: listener, to: to, conns: map[net.Conn]bool{}}
	go p.serve()
	return p, nil
}

func (p *switchingProxy) address() string { return p.listener.Addr().String() }

// switchTo sends new connections to another server.
func (p *switchingProxy) switchTo(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
}

// closeConns closes every connection.
func (p *switchingProxy) closeConns() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *switchingProxy) close() {
	_ = p.listener.Close()
	p.closeConns()
}

func (p *switchingProxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		p.conns[client] = true
		to := p.to
		p.mu.Unlock()
		go func() {
			pipe(client, to)
			p.mu.Lock()
			delete(p.conns, client)
			p.mu.Unlock()
		}()
	}
}

// pipe copies between a client and a server until either closes.
func pipe(client net.Conn, to string) {
	defer func() { _ = client.Close() }()
	server, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close() // ends the copy below
	}()
	_, _ = io.Copy(client, server)
}
