package database

import (
	"context"
	"database/sql/driver"
	"fmt"
	"net"
	"sync"
	"time"
)

// deadlineDialer makes connections on which every read and write has a deadline:
// a context alone does not free a reader from a server that hangs.
type deadlineDialer struct{ answer time.Duration }

// Dial is DialContext without an end.
func (d deadlineDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout is DialContext with an end.
func (d deadlineDialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// DialContext connects, and hands the connection to the Connect that asked for it.
func (d deadlineDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	asked, _ := ctx.Deadline()
	c := &deadlineConn{Conn: conn, answer: d.answer, asked: asked}
	if made, ok := ctx.Value(dialedKey{}).(**deadlineConn); ok {
		*made = c
	}
	return c, nil
}

type deadlineConn struct {
	net.Conn
	answer time.Duration
	asked  time.Time // the deadline of whoever asked for the connection; zero for none

	mu     sync.Mutex
	until  time.Time // the end of the handshake, or of a connection given up; else zero
	gaveUp bool
}

// SetDeadline bounds all that follows until it is called with a zero time, which
// is how lib/pq bounds the handshake.
func (c *deadlineConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	if !t.IsZero() && !c.asked.IsZero() && c.asked.Before(t) {
		c.until = c.asked
	}
	return c.Conn.SetDeadline(c.until)
}

// giveUp ends whatever waits for the server after the grace. The connection is of
// no use afterwards.
func (c *deadlineConn) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gaveUp = true
	c.until = time.Now().Add(cancelGrace)
	_ = c.Conn.SetDeadline(c.until)
}

func (c *deadlineConn) givenUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gaveUp
}

// extend sets the next deadline through set.
func (c *deadlineConn) extend(set func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := time.Now().Add(c.answer)
	if !c.until.IsZero() && c.until.Before(t) {
		t = c.until
	}
	return set(t)
}

func (c *deadlineConn) Read(b []byte) (int, error) {
	if err := c.extend(c.SetReadDeadline); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *deadlineConn) Write(b []byte) (int, error) {
	if err := c.extend(c.SetWriteDeadline); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

type dialedKey struct{}

// watchingConnector makes connections whose calls end with their contexts, even
// when the server neither answers nor confirms the cancellation.
type watchingConnector struct{ driver.Connector }

// Connect opens a connection that is watched.
func (w watchingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	var dialed *deadlineConn
	conn, err := w.Connector.Connect(context.WithValue(ctx, dialedKey{}, &dialed))
	if err != nil {
		return nil, err
	}
	full, ok := conn.(fullConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("the driver's %T lacks what database/sql may ask of it", conn)
	}
	return &watchedConn{full, dialed}, nil
}

// fullConn is what database/sql uses of lib/pq's connection.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type watchedConn struct {
	fullConn
	dialed *deadlineConn
}

// BeginTx ends with ctx.
func (c *watchedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	defer context.AfterFunc(ctx, c.dialed.giveUp)()
	return c.fullConn.BeginTx(ctx, opts)
}

// ExecContext ends with ctx.
func (c *watchedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	defer context.AfterFunc(ctx, c.dialed.giveUp)()
	return c.fullConn.ExecContext(ctx, query, args)
}

// QueryContext ends with ctx; the rows that it gives have the connection's own deadlines.
func (c *watchedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	defer context.AfterFunc(ctx, c.dialed.giveUp)()
	return c.fullConn.QueryContext(ctx, query, args)
}

// PrepareContext ends with ctx, and so do the calls of the statement that it gives.
func (c *watchedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	defer context.AfterFunc(ctx, c.dialed.giveUp)()
	stmt, err := c.fullConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	full, ok := stmt.(fullStmt)
	if !ok {
		_ = stmt.Close()
		return nil, fmt.Errorf("the driver's %T lacks what database/sql may ask of it", stmt)
	}
	return &watchedStmt{full, c.dialed}, nil
}

// fullStmt is what database/sql uses of lib/pq's statement.
type fullStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type watchedStmt struct {
	fullStmt
	dialed *deadlineConn
}

// ExecContext ends with ctx.
func (s *watchedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	defer context.AfterFunc(ctx, s.dialed.giveUp)()
	return s.fullStmt.ExecContext(ctx, args)
}

// QueryContext ends with ctx; the rows that it gives have the connection's own deadlines.
func (s *watchedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	defer context.AfterFunc(ctx, s.dialed.giveUp)()
	return s.fullStmt.QueryContext(ctx, args)
}

// ResetSession refuses a connection that was given up.
func (c *watchedConn) ResetSession(ctx context.Context) error {
	if c.dialed.givenUp() {
		return driver.ErrBadConn
	}
	return c.fullConn.ResetSession(ctx)
}

// IsValid keeps a connection that was given up out of the pool.
func (c *watchedConn) IsValid() bool { return !c.dialed.givenUp() && c.fullConn.IsValid() }
