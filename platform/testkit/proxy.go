package testkit

import (
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxy forwards between a test and a server, on a free loopback port, and simulates
// network failures.
type Proxy struct {
	listener net.Listener
	target   string
	url      *url.URL // nil when the target was an address

	mu     sync.Mutex
	cut    bool
	gate   chan struct{} // closed while bytes are forwarded
	open   bool          // whether gate is closed
	conns  map[net.Conn]bool
	served sync.WaitGroup
}

var defaultPorts = map[string]string{
	"postgres": "5432", "postgresql": "5432", "redis": "6379", "amqp": "5672", "amqps": "5671",
}

// NewProxy forwards to target, which is host:port or the URL of a server, until the test
// ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{target: target, gate: make(chan struct{}), open: true, conns: map[net.Conn]bool{}}
	close(p.gate)
	if strings.Contains(target, "://") {
		u, err := url.Parse(target)
		require.NoError(t, err)
		port := u.Port()
		if port == "" {
			port = defaultPorts[u.Scheme]
		}
		p.url, p.target = u, net.JoinHostPort(u.Hostname(), port)
	}
	var err error
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.served.Add(1)
	go p.serve()
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.Cut()
		p.served.Wait()
	})
	return p
}

// Addr is the proxy's address, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL is the target's URL with the proxy's address.
func (p *Proxy) URL() string {
	u := url.URL{Host: p.target}
	if p.url != nil {
		u = *p.url
	}
	u.Host = p.Addr()
	return u.String()
}

// Cut resets every connection, and every new one, until Resume.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	p.release()
	for c := range p.conns {
		reset(c)
	}
}

// Hang keeps all connections and accepts new ones, but forwards no byte until Resume.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		p.gate, p.open = make(chan struct{}), false
	}
}

// Resume forwards again, after Cut or Hang, starting with the bytes held back.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
	p.release()
}

// release requires p.mu.
func (p *Proxy) release() {
	if !p.open {
		close(p.gate)
		p.open = true
	}
}

func (p *Proxy) serve() {
	defer p.served.Done()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.served.Add(1)
		go func() {
			defer p.served.Done()
			p.forward(client)
		}()
	}
}

func (p *Proxy) forward(client net.Conn) {
	if !p.keep(client) {
		return
	}
	defer p.drop(client)
	server, err := net.Dial("tcp", p.target)
	if err != nil || !p.keep(server) {
		return
	}
	defer p.drop(server)
	var both sync.WaitGroup
	both.Go(func() { p.pump(client, server) })
	both.Go(func() { p.pump(server, client) })
	both.Wait()
}

// keep registers a connection, or resets it while the proxy is cut.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		reset(c)
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

// pump copies until either end is closed, and closes the other.
func (p *Proxy) pump(from, to net.Conn) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		p.pass()
		n, err := from.Read(buffer)
		p.pass()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits while the proxy hangs.
func (p *Proxy) pass() {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	<-gate
}

// reset closes a connection with a TCP reset, as after a crash of the machine.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
