package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// dial connects to one node and logs in, within cfg.DialTimeout and ctx.
func dial(ctx context.Context, cfg RabbitMQConfig, url, purpose string) (*amqp.Connection, error) {
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName("integration-gateway " + purpose)
	var raw net.Conn
	ended := func() bool { return true }
	conn, err := amqp.DialConfig(url, amqp.Config{
		Heartbeat:  cfg.Heartbeat,
		Locale:     "en_US",
		Properties: properties,
		Dial: func(network, address string) (net.Conn, error) {
			dialer := net.Dialer{Timeout: cfg.DialTimeout}
			var err error
			if raw, err = dialer.DialContext(ctx, network, address); err != nil {
				return nil, err
			}
			ended = context.AfterFunc(ctx, func() { _ = raw.Close() })
			guarded := &guardedConn{Conn: raw, timeout: cfg.WriteTimeout}
			// For TLS and the login; the library clears it afterwards.
			return guarded, guarded.SetDeadline(time.Now().Add(cfg.DialTimeout))
		},
	})
	ended()
	if err != nil {
		if raw != nil {
			_ = raw.Close()
		}
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// guardedConn sets a deadline for every write. The library sets none, so a server that
// stops reading would block the caller, and the locks it holds, for ever. Heartbeats guard
// the reads.
type guardedConn struct {
	net.Conn
	timeout time.Duration

	mu    sync.Mutex
	limit time.Time // the library's own deadline, if it is sooner
}

// Write uses the timeout, or the library's own deadline if it is sooner.
func (c *guardedConn) Write(p []byte) (int, error) {
	if err := c.beforeWrite(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *guardedConn) beforeWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := time.Now().Add(c.timeout)
	if !c.limit.IsZero() && c.limit.Before(until) {
		until = c.limit
	}
	return c.Conn.SetWriteDeadline(until)
}

// SetDeadline also applies to future writes.
func (c *guardedConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = t
	return c.Conn.SetDeadline(t)
}

// SetWriteDeadline also applies to future writes.
func (c *guardedConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = t
	return c.Conn.SetWriteDeadline(t)
}

// closeConn closes the connection, politely if the server responds, and ends every call on
// it.
func closeConn(conn *amqp.Connection) { _ = conn.CloseDeadline(time.Now().Add(closeTimeout)) }

// roundTrip requires an answer from the server: an open connection may lead to a dead
// machine until three heartbeats have been missed.
func roundTrip(ctx context.Context, conn *amqp.Connection) error {
	_, err := within(ctx, func() (struct{}, error) {
		ch, err := conn.Channel()
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, ch.Close()
	}, nil)
	return err
}

// within runs a call that takes no context, and stops waiting when ctx ends. The call
// continues until the connection is closed; drop receives its late result.
func within[T any](ctx context.Context, call func() (T, error), drop func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := call()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		if drop != nil {
			go func() {
				if r := <-done; r.err == nil {
					drop(r.value)
				}
			}()
		}
		var none T
		return none, ctx.Err()
	}
}

// replyCode is the AMQP reply code in err's chain, or 0.
func replyCode(err error) int {
	var reply *amqp.Error
	if errors.As(err, &reply) {
		return reply.Code
	}
	return 0
}
