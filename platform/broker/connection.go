package broker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"integration-gateway/platform/backoff"
	"integration-gateway/platform/clock"
)

const (
	topologyBackoff = 30 * time.Second // a queue has to be changed by hand
	stableAfter     = 10 * time.Second // a connection that lasts this long resets the backoff
	closeTimeout    = 2 * time.Second
)

// reconnect is the wait before a lost connection or consumer is made again.
var reconnect = backoff.Exponential{Min: 100 * time.Millisecond, Max: 5 * time.Second}

// managedConn maintains one connection: once started, it reconnects whenever the connection
// is lost.
type managedConn struct {
	log     *slog.Logger
	now     clock.Now
	ctx     context.Context
	connect func() (*amqp.Connection, error)

	mu      sync.Mutex
	started bool
	conn    *amqp.Connection // nil while disconnected
	err     error            // why it is disconnected; nil before the first attempt has ended
	changed chan struct{}    // closed when conn or err changes
	ended   chan struct{}    // closed when run has ended
}

func (b *RabbitMQ) newManagedConn(purpose string, setUp func(*amqp.Connection) error) *managedConn {
	reconnect := false // was connected before
	from := &nodes{urls: b.nodes}
	return &managedConn{
		log: b.log.With("connection", purpose),
		now: b.now,
		ctx: b.ctx,
		connect: func() (*amqp.Connection, error) {
			var conn *amqp.Connection
			err := from.first(func(url string) (err error) {
				conn, err = b.connect(url, purpose, reconnect, setUp)
				return err
			})
			reconnect = reconnect || err == nil
			return conn, err
		},
		changed: make(chan struct{}),
		ended:   make(chan struct{}),
	}
}

// connect dials a node, declares the queues and prepares the connection for its purpose.
func (b *RabbitMQ) connect(url, purpose string, reconnect bool, setUp func(*amqp.Connection) error) (*amqp.Connection, error) {
	conn, err := dial(b.ctx, b.cfg, url, purpose)
	if err != nil {
		return nil, err
	}
	// The library's calls take no context, but closing the connection ends them.
	late := time.AfterFunc(b.cfg.DeclareTimeout, func() { closeConn(conn) })
	defer late.Stop()
	closing := context.AfterFunc(b.ctx, func() { closeConn(conn) })
	defer closing()
	if err := b.declare(conn, reconnect); err != nil {
		closeConn(conn)
		return nil, err
	}
	if err := setUp(conn); err != nil {
		closeConn(conn)
		return nil, err
	}
	return conn, nil
}

// start starts connecting, the first time it is called.
func (c *managedConn) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started || c.ctx.Err() != nil {
		return
	}
	c.started = true
	go c.run()
}

// wait returns when the connection is closed for good, after ctx has ended.
func (c *managedConn) wait() {
	c.mu.Lock()
	started := c.started
	c.mu.Unlock()
	if started {
		<-c.ended
	}
}

func (c *managedConn) run() {
	defer close(c.ended)
	for attempt := 0; ; attempt++ {
		conn, err := c.connect()
		if c.ctx.Err() != nil {
			err = errClosed
		}
		c.setState(conn, err, attempt)
		if err == nil {
			since := c.now()
			c.setState(nil, c.awaitClose(conn), attempt)
			if c.now.Since(since) >= stableAfter {
				attempt = 0
			}
		} else if conn != nil {
			closeConn(conn)
		}
		pause := reconnect.Wait(attempt)
		if isMismatch(err) {
			pause = topologyBackoff
		}
		if !clock.Sleep(c.ctx, pause) {
			c.setState(nil, errClosed, attempt)
			return
		}
	}
}

// awaitClose waits until the connection is closed and returns the reason.
func (c *managedConn) awaitClose(conn *amqp.Connection) error {
	lost := conn.NotifyClose(make(chan *amqp.Error, 1))
	select {
	case <-c.ctx.Done():
		closeConn(conn)
		return errClosed
	case reason := <-lost:
		if reason == nil {
			return errors.New("the connection was closed")
		}
		return reason
	}
}

// setState publishes a change, and logs it unless it repeats the last failure.
func (c *managedConn) setState(conn *amqp.Connection, err error, attempt int) {
	c.mu.Lock()
	before := c.err
	c.conn, c.err = conn, err
	if err != nil {
		c.conn = nil
	}
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	switch {
	case err == nil:
		c.log.Info("connected to RabbitMQ")
	case errors.Is(err, errClosed):
	case before == nil || before.Error() != err.Error():
		c.log.Warn("RabbitMQ is unavailable; retrying", "attempt", attempt+1, "error", err)
	}
}

// state returns neither a connection nor an error until the first attempt has ended. The
// channel is closed when the state changes.
func (c *managedConn) state() (*amqp.Connection, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil && c.conn.IsClosed() {
		return nil, c.changed, amqp.ErrClosed
	}
	return c.conn, c.changed, c.err
}

// current returns the connection, or immediately an error of kind Unavailable if there is
// none. Only during the very first attempt does it wait, until ctx ends.
func (c *managedConn) current(ctx context.Context) (*amqp.Connection, error) {
	c.start()
	for {
		conn, changed, err := c.state()
		if c.ctx.Err() != nil {
			return nil, shuttingDown()
		}
		if err != nil {
			return nil, unavailable(err)
		}
		if conn != nil {
			return conn, nil
		}
		select {
		case <-changed:
		case <-c.ctx.Done():
		case <-ctx.Done():
			return nil, unavailable(ctx.Err())
		}
	}
}

// next returns the connection as soon as there is one, or an error when ctx or the broker
// has ended.
func (c *managedConn) next(ctx context.Context) (*amqp.Connection, error) {
	c.start()
	for {
		conn, changed, _ := c.state()
		if c.ctx.Err() != nil {
			return nil, errClosed
		}
		if conn != nil {
			return conn, nil
		}
		select {
		case <-changed:
		case <-c.ctx.Done():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
