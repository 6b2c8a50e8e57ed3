package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

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
}

func newSessions() *sessions { return &sessions{open: map[*deadlineConn]bool{}} }

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
	server, err := serverID(limited, watched)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	c.sessions.admit(dialed, server)
	return watched, nil
}

// A server is identified by its start time, to the microsecond.
const selectServerIDSQL = `
SELECT pg_is_in_recovery(), pg_postmaster_start_time()::text`

// serverID identifies the server at the other end of a new connection.
func serverID(ctx context.Context, conn driver.QueryerContext) (server string, err error) {
	rows, err := conn.QueryContext(ctx, selectServerIDSQL, nil)
	if err != nil {
		return "", fmt.Errorf("identify the server: %w", err)
	}
	defer func() { _ = rows.Close() }()
	values := make([]driver.Value, 2)
	if err := rows.Next(values); err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("identify the server: %w", err)
	}
	standby, _ := values[0].(bool)
	switch name := values[1].(type) {
	case string:
		server = name
	case []byte:
		server = string(name)
	}
	if standby {
		return "", errStandby
	}
	return server, nil
}

// hostsOf returns one configuration for each server that cfg names.
func hostsOf(cfg pq.Config) ([]*pq.Connector, error) {
	one := cfg.Clone()
	one.Multi, one.LoadBalanceHosts = nil, ""
	list := []pq.Config{one}
	for _, m := range cfg.Multi {
		other := one.Clone()
		other.Host, other.Hostaddr, other.Port = m.Host, m.Hostaddr, m.Port
		list = append(list, other)
	}
	connectors := make([]*pq.Connector, len(list))
	for i, host := range list {
		if len(list) > 1 && host.ConnectTimeout > multiHostConnectTimeout {
			host.ConnectTimeout = multiHostConnectTimeout
		}
		c, err := pq.NewConnectorConfig(host)
		if err != nil {
			return nil, fmt.Errorf("the database URL: %w", err)
		}
		connectors[i] = c
	}
	return connectors, nil
}

// multiHostConnectTimeout is the connect timeout of one of several servers: while one
// hangs, the next has to wait.
const multiHostConnectTimeout = 2 * time.Second
