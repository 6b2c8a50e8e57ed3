package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/lib/pq"
)

// errStandby refuses a server that follows another one. It accepts no writes, and its data
// may be old.
var errStandby = errors.New("the server is a standby, which accepts no writes until it is promoted")

// sessions tracks the open connections of all pools of one DB, which lead to one server.
// When a new connection reaches another server, or the same one after a restart, the older
// connections are closed, including those in use. Otherwise callers waiting for a hung
// server would wait for its deadline after a failover.
type sessions struct {
	mu     sync.Mutex
	server string // the current server; "" before the first connection
	open   map[*deadlineConn]bool
	first  int // index of the host to try first

	probing chan struct{} // held by the one who probes
	probed  string        // the server whose sessions are known not to be shared
}

func newSessions() *sessions {
	return &sessions{open: map[*deadlineConn]bool{}, probing: make(chan struct{}, 1)}
}

// admit adds a connection to a server.
func (s *sessions) admit(c *deadlineConn, server string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != "" && s.server != server {
		for old := range s.open {
			old.closeNow()
		}
		clear(s.open)
	}
	s.server = server
	s.open[c] = true
	c.closed = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, c)
	}
}

func (s *sessions) current() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// order returns the indexes of n hosts, the last working one first.
func (s *sessions) order(n int) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]int, n)
	for i := range list {
		list[i] = (s.first + i) % n
	}
	return list
}

// prefer makes a host the first to try, or moves to the next one.
func (s *sessions) prefer(host int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first = host
}

// connector opens the connections of one pool.
type connector struct {
	hosts    []*pq.Connector // one per server
	settings settings
	sessions *sessions
}

// Driver implements driver.Connector.
func (c connector) Driver() driver.Driver { return c.hosts[0].Driver() }

// Connect opens a connection to the first host that accepts writes. Its calls end with
// their contexts, even if the server neither answers nor confirms a cancellation.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	var errs []error
	for _, host := range c.sessions.order(len(c.hosts)) {
		conn, err := c.open(ctx, c.hosts[host])
		if err == nil {
			c.sessions.prefer(host)
			return conn, nil
		}
		errs = append(errs, err)
		if isTimeout(err) {
			c.sessions.prefer((host + 1) % len(c.hosts))
		}
		if ctx.Err() != nil {
			break
		}
	}
	err := errors.Join(errs...)
	if c.sessions.current() != "" { // it worked before
		return nil, unavailable(err)
	}
	for _, e := range errs {
		if isOutage(e) { // an outage of one host outranks, say, a wrong password at another
			return nil, unavailable(err)
		}
	}
	return nil, err
}

func (c connector) open(ctx context.Context, host *pq.Connector) (driver.Conn, error) {
	var dialed *deadlineConn
	conn, err := host.Connect(context.WithValue(ctx, dialedKey{}, &dialed))
	if err != nil {
		return nil, err
	}
	full, ok := conn.(fullConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("the driver's %T lacks methods that database/sql may call", conn)
	}
	watched := &watchedConn{full, dialed}
	limited, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	server, err := c.prepare(limited, host, watched)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	c.sessions.admit(dialed, server)
	return watched, nil
}

// prepare applies the settings to a new connection, identifies its server, and refuses a
// server that the gateway cannot use.
func (c connector) prepare(ctx context.Context, host *pq.Connector, conn *watchedConn) (server string, err error) {
	set, err := c.settings.apply(ctx, conn)
	if err != nil {
		return "", fmt.Errorf("apply the settings: %w", err)
	}
	found, err := c.settings.identify(ctx, conn)
	if err != nil {
		return "", fmt.Errorf("identify the server: %w", err)
	}
	if found.standby {
		return "", errStandby
	}
	for i, value := range found.settings {
		if value != set[i] {
			return "", fmt.Errorf("%w: %s was set to %q and is %q", errSharedSession, c.settings[i].name, set[i], value)
		}
	}
	if local, ok := conn.dialed.LocalAddr().(*net.TCPAddr); ok && local.Port == found.clientPort {
		return found.started, nil // there is nothing in between
	}
	return found.started, c.sessions.probe(ctx, found.started, func() error { return sharesSessions(ctx, host, conn) })
}
