package database

import (
	"context"
	"database/sql/driver"
	"fmt"
	"net"
	"sync"
	"time"
)

// deadlineDialer makes connections with a deadline for every read and write: a context
// alone does not unblock a reader of a hung server.
type deadlineDialer struct{ timeout time.Duration }

// Dial is DialContext without a timeout.
func (d deadlineDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout is DialContext with a timeout.
func (d deadlineDialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// A silently dead peer is detected within seconds.
const unackedTimeout = 5 * time.Second

// DialContext connects, and passes the connection to the Connect that requested it.
func (d deadlineDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Control: limitUnacked(unackedTimeout),
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 3 * time.Second, Interval: time.Second, Count: 3}}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	asked, _ := ctx.Deadline()
	c := &deadlineConn{Conn: conn, timeout: d.timeout, dialDeadline: asked}
	if made, ok := ctx.Value(dialedKey{}).(**deadlineConn); ok {
		*made = c
	}
	return c, nil
}

type deadlineConn struct {
	net.Conn
	timeout      time.Duration
	dialDeadline time.Time // the deadline of the Connect that requested it; zero for none
	closed       func()    // called on Close; nil before it is admitted

	mu        sync.Mutex
	until     time.Time // deadline of the handshake, or of an abandoned connection; else zero
	abandoned bool
}

// SetDeadline applies to all following calls until it is called with a zero time, which is
// how lib/pq limits the handshake.
func (c *deadlineConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	if !t.IsZero() && !c.dialDeadline.IsZero() && c.dialDeadline.Before(t) {
		c.until = c.dialDeadline
	}
	return c.Conn.SetDeadline(c.until)
}

// abandon unblocks whatever waits for the server after the grace. The connection is
// unusable afterwards.
func (c *deadlineConn) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abandoned = true
	c.until = time.Now().Add(cancelGrace)
	_ = c.Conn.SetDeadline(c.until)
}

// closeNow immediately unblocks whatever waits for the server, and removes the connection
// from the pool.
func (c *deadlineConn) closeNow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abandoned = true
	c.until = time.Unix(1, 0) // in the past
	_ = c.Conn.SetDeadline(c.until)
}

// retire removes the connection from the pool once it is not in use.
func (c *deadlineConn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abandoned = true
}

// Close closes the connection.
func (c *deadlineConn) Close() error {
	if c.closed != nil {
		c.closed()
	}
	return c.Conn.Close()
}

func (c *deadlineConn) isAbandoned() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.abandoned
}

// extend sets the next deadline through set.
func (c *deadlineConn) extend(set func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := time.Now().Add(c.timeout)
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

// retireOn retires the connection if its server accepts no writes, or if a statement
// prepared on it no longer fits the schema: a new connection may do better.
func (c *deadlineConn) retireOn(err error) error {
	if err != nil && refusesWrites(err) {
		c.retire()
	}
	return err
}

type dialedKey struct{}

// fullConn is the part of lib/pq's connection that database/sql uses.
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
	defer context.AfterFunc(ctx, c.dialed.abandon)()
	var tx driver.Tx
	var err error
	if opts == (driver.TxOptions{}) {
		// Whether it may write is the database's decision: lib/pq's BeginTx sends READ
		// WRITE itself, which overrides default_transaction_read_only.
		tx, err = c.fullConn.Begin() //nolint:staticcheck // see above
	} else {
		tx, err = c.fullConn.BeginTx(ctx, opts)
	}
	if err != nil {
		return nil, c.dialed.retireOn(err)
	}
	return &watchedTx{tx, ctx, c.dialed}, nil
}

// watchedTx is a transaction whose commit ends with the context it was begun with: a server
// may also hang in a commit.
type watchedTx struct {
	driver.Tx
	ctx    context.Context //nolint:containedctx // database/sql passes Commit none
	dialed *deadlineConn
}

// Commit ends with the transaction's context.
func (t *watchedTx) Commit() error {
	defer context.AfterFunc(t.ctx, t.dialed.abandon)()
	return t.dialed.retireOn(t.Tx.Commit())
}

// ExecContext ends with ctx.
func (c *watchedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	defer context.AfterFunc(ctx, c.dialed.abandon)()
	result, err := c.fullConn.ExecContext(ctx, query, args)
	return result, c.dialed.retireOn(err)
}

// QueryContext ends with ctx; the rows that it returns have the connection's own deadlines.
func (c *watchedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	defer context.AfterFunc(ctx, c.dialed.abandon)()
	rows, err := c.fullConn.QueryContext(ctx, query, args)
	return rows, c.dialed.retireOn(err)
}

// PrepareContext ends with ctx, and so do the calls of the statement that it returns.
func (c *watchedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	defer context.AfterFunc(ctx, c.dialed.abandon)()
	stmt, err := c.fullConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, c.dialed.retireOn(err)
	}
	full, ok := stmt.(fullStmt)
	if !ok {
		_ = stmt.Close()
		return nil, fmt.Errorf("the driver's %T lacks methods that database/sql may call", stmt)
	}
	return &watchedStmt{full, c.dialed}, nil
}

// fullStmt is the part of lib/pq's statement that database/sql uses.
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
	defer context.AfterFunc(ctx, s.dialed.abandon)()
	result, err := s.fullStmt.ExecContext(ctx, args)
	return result, s.dialed.retireOn(err)
}

// QueryContext ends with ctx; the rows that it returns have the connection's own deadlines.
func (s *watchedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	defer context.AfterFunc(ctx, s.dialed.abandon)()
	rows, err := s.fullStmt.QueryContext(ctx, args)
	return rows, s.dialed.retireOn(err)
}

// ResetSession refuses an abandoned connection.
func (c *watchedConn) ResetSession(ctx context.Context) error {
	if c.dialed.isAbandoned() {
		return driver.ErrBadConn
	}
	return c.fullConn.ResetSession(ctx)
}

// IsValid removes an abandoned connection from the pool.
func (c *watchedConn) IsValid() bool { return !c.dialed.isAbandoned() && c.fullConn.IsValid() }
