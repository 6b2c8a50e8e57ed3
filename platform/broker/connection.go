package broker

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"integration-gateway/platform/clock"
)

const (
	shortestPause = 100 * time.Millisecond
	longestPause  = 5 * time.Second
	topologyPause = 30 * time.Second // somebody has to change a queue by hand
	steady        = 10 * time.Second // what lasts this long ends a series of failures
	closeTimeout  = 2 * time.Second
)

// backoff is the pause after failure number attempt, counting from 0: twice as
// long each time, of which chance (0 to 1) takes up to a half away.
func backoff(attempt int, chance float64) time.Duration {
	pause := longestPause
	if attempt < 6 {
		pause = min(shortestPause<<attempt, longestPause)
	}
	return pause - time.Duration(chance*float64(pause)/2)
}

// chance is what jitter needs: nobody gains by guessing it.
func chance() float64 { return rand.Float64() } //nolint:gosec // see above

// link keeps one connection: once started, it makes it again whenever it is lost.
type link struct {
	log     *slog.Logger
	now     clock.Now
	life    context.Context
	connect func() (*amqp.Connection, error)

	mu      sync.Mutex
	started bool
	conn    *amqp.Connection // nil while there is none
	err     error            // why there is none; nil before the first attempt has ended
	changed chan struct{}    // closed with each change of the two
	ended   chan struct{}    // closed when the link has given up its connection for good
}

func (b *RabbitMQ) newLink(purpose string, setUp func(*amqp.Connection) error) *link {
	again := false // it was connected before
	return &link{
		log:  b.log.With("connection", purpose),
		now:  b.now,
		life: b.life,
		connect: func() (*amqp.Connection, error) {
			conn, err := b.connect(purpose, again, setUp)
			again = again || err == nil
			return conn, err
		},
		changed: make(chan struct{}),
		ended:   make(chan struct{}),
	}
}

// connect dials, declares the queues and sets the connection up for its purpose.
func (b *RabbitMQ) connect(purpose string, again bool, setUp func(*amqp.Connection) error) (*amqp.Connection, error) {
	conn, err := dial(b.life, b.cfg, purpose)
	if err != nil {
		return nil, err
	}
	// The library's calls take no context; closing the connection ends them.
	late := time.AfterFunc(b.cfg.DialTimeout, func() { hangUp(conn) })
	defer late.Stop()
	closing := context.AfterFunc(b.life, func() { hangUp(conn) })
	defer closing()
	if err := b.declare(conn, again); err != nil {
		hangUp(conn)
		return nil, err
	}
	if err := setUp(conn); err != nil {
		hangUp(conn)
		return nil, err
	}
	return conn, nil
}

// start begins to connect, the first time it is called.
func (l *link) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started || l.life.Err() != nil {
		return
	}
	l.started = true
	go l.keep()
}

// wait returns when the connection is gone for good, which the end of life brings about.
func (l *link) wait() {
	l.mu.Lock()
	started := l.started
	l.mu.Unlock()
	if started {
		<-l.ended
	}
}

func (l *link) keep() {
	defer close(l.ended)
	for attempt := 0; ; attempt++ {
		conn, err := l.connect()
		if l.life.Err() != nil {
			err = errClosed
		}
		l.set(conn, err, attempt)
		if err == nil {
			since := l.now()
			l.set(nil, l.hold(conn), attempt)
			if l.now.Since(since) >= steady {
				attempt = 0
			}
		} else if conn != nil {
			hangUp(conn)
		}
		pause := backoff(attempt, chance())
		if isMismatch(err) {
			pause = topologyPause
		}
		if !sleep(l.life, pause) {
			l.set(nil, errClosed, attempt)
			return
		}
	}
}

// hold returns why the connection was lost.
func (l *link) hold(conn *amqp.Connection) error {
	lost := conn.NotifyClose(make(chan *amqp.Error, 1))
	select {
	case <-l.life.Done():
		hangUp(conn)
		return errClosed
	case reason := <-lost:
		if reason == nil {
			return errors.New("the connection was closed")
		}
		return reason
	}
}

// set makes a change known, and logs it unless it is one more failure like the last.
func (l *link) set(conn *amqp.Connection, err error, attempt int) {
	l.mu.Lock()
	before := l.err
	l.conn, l.err = conn, err
	if err != nil {
		l.conn = nil
	}
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	switch {
	case err == nil:
		l.log.Info("connected to RabbitMQ")
	case errors.Is(err, errClosed):
	case before == nil || before.Error() != err.Error():
		l.log.Warn("RabbitMQ is away, trying again", "attempt", attempt+1, "err", err)
	}
}

// state answers neither connection nor error until the first attempt has ended. The
// channel is closed when the answer changes.
func (l *link) state() (*amqp.Connection, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil && l.conn.IsClosed() {
		return nil, l.changed, amqp.ErrClosed
	}
	return l.conn, l.changed, l.err
}

// current gives the connection, or at once an error of kind Unavailable when there
// is none. Only while the very first attempt runs does it wait, until ctx ends.
func (l *link) current(ctx context.Context) (*amqp.Connection, error) {
	l.start()
	for {
		conn, changed, err := l.state()
		if l.life.Err() != nil {
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
		case <-l.life.Done():
		case <-ctx.Done():
			return nil, unavailable(ctx.Err())
		}
	}
}

// next gives the connection as soon as there is one, or an error when ctx or the
// broker has ended.
func (l *link) next(ctx context.Context) (*amqp.Connection, error) {
	l.start()
	for {
		conn, changed, _ := l.state()
		if l.life.Err() != nil {
			return nil, errClosed
		}
		if conn != nil {
			return conn, nil
		}
		select {
		case <-changed:
		case <-l.life.Done():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
