package broker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/id"
)

// Consume passes deliveries to handle, one after the other, until ctx ends or the broker is
// closed, and then returns nil. It returns an error only for invalid arguments, and ErrTaken. After any
// interruption (connection, channel, consumer cancelled, queue deleted) it declares the
// queues again and continues.
func (b *RabbitMQ) Consume(ctx context.Context, queue Queue, prefetch int, handle func(Delivery)) error {
	if err := checkConsumer(queue, prefetch); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)() //nolint:contextcheck // Close also ends consumers
	for attempt := 0; ; attempt++ {
		conn, err := b.consuming.next(ctx)
		if err != nil {
			return nil //nolint:nilerr // ctx or the broker has ended
		}
		since := b.now()
		err = b.consume(ctx, conn, queue, prefetch, handle)
		seen := b.declarations.Load()
		if ctx.Err() != nil {
			return nil
		}
		if b.exclusive(queue) && replyCode(err) == amqp.AccessRefused {
			return ErrTaken
		}
		b.log.WarnContext(ctx, "consuming was interrupted; resuming", "queue", queue, "error", err)
		if b.now.Since(since) >= stableAfter {
			attempt = 0
		}
		if !clock.Sleep(ctx, reconnect.Wait(attempt)) {
			return nil
		}
		if !conn.IsClosed() {
			b.redeclare(ctx, conn, seen)
		}
	}
}

// consume runs on one channel until it ends, and returns the reason.
func (b *RabbitMQ) consume(ctx context.Context, conn *amqp.Connection, queue Queue, prefetch int, handle func(Delivery)) error {
	s, err := within(ctx, func() (*session, error) {
		return openSession(conn, b.cfg.Names.role(queue), prefetch, b.exclusive(queue))
	}, (*session).closeAsync)
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			s.stop()
			return nil
		case d, ok := <-s.deliveries:
			if !ok {
				return s.closeReason()
			}
			if ctx.Err() != nil {
				s.delivery(d).Requeue()
				continue
			}
			handle(s.delivery(d))
		}
	}
}

// exclusive reports whether a queue admits one consumer. Quorum queues ignore that, and have a single
// active consumer instead. Classic ones crash when such a consumer leaves:
// https://github.com/rabbitmq/rabbitmq-server/issues/5460
func (b *RabbitMQ) exclusive(queue Queue) bool {
	return b.cfg.QueueType == Classic && (queue == Spool || queue == SpoolParked)
}

// session is one channel with one consumer. It closes when the consumer has stopped and
// every delivery is settled; until then deliveries can be acknowledged.
type session struct {
	ch         *amqp.Channel
	tag        string
	deliveries <-chan amqp.Delivery
	closed     chan *amqp.Error
	unsettled  atomic.Int64 // unsettled deliveries, plus one for the consumer
}

func openSession(conn *amqp.Connection, queue string, prefetch int, exclusive bool) (*session, error) {
	ch, err := conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	s := &session{ch: ch, tag: "gateway-" + id.New(), closed: ch.NotifyClose(make(chan *amqp.Error, 1))}
	s.unsettled.Store(1)
	if err := ch.Qos(prefetch, 0, false); err != nil {
		s.closeAsync()
		return nil, fmt.Errorf("set the prefetch: %w", err)
	}
	if s.deliveries, err = ch.Consume(queue, s.tag, false, exclusive, false, false, nil); err != nil {
		s.closeAsync()
		return nil, fmt.Errorf("consume %s: %w", queue, err)
	}
	return s, nil
}

// closeAsync closes the channel with all its unsettled deliveries.
func (s *session) closeAsync() { go func() { _ = s.ch.Close() }() }

// closeReason is called after the library has closed the deliveries. The channel is still
// open if only the consumer was cancelled, as after its queue was deleted.
func (s *session) closeReason() error {
	if !s.ch.IsClosed() {
		s.closeAsync()
		return errors.New("the broker cancelled the consumer")
	}
	if reason := <-s.closed; reason != nil {
		return reason
	}
	return amqp.ErrClosed
}

// stop ends the consumer and requeues deliveries that were not passed on. If the server
// does not answer, the heartbeat detects it.
func (s *session) stop() {
	cancelled := make(chan struct{})
	go func() {
		defer close(cancelled)
		_ = s.ch.Cancel(s.tag, false)
	}()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for d := range s.deliveries {
			s.delivery(d).Requeue()
		}
		<-cancelled
		s.release()
	}()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
	}
}

// delivery wraps d. A second settlement would make the server close the channel, so only
// the first call counts. If it fails, the channel is closed, and the server redelivers the
// message.
func (s *session) delivery(d amqp.Delivery) Delivery {
	s.unsettled.Add(1)
	var settled atomic.Bool
	once := func(settle func() error) func() {
		return func() {
			if settled.CompareAndSwap(false, true) {
				_ = settle()
				s.release()
			}
		}
	}
	trace, _ := d.Headers[traceHeader].(string)
	return Delivery{
		Body:        d.Body,
		PublishedAt: publishTime(d),
		Trace:       trace,
		Ack:         once(func() error { return s.ch.Ack(d.DeliveryTag, false) }),
		Requeue:     once(func() error { return s.ch.Nack(d.DeliveryTag, false, true) }),
		Reject:      once(func() error { return s.ch.Nack(d.DeliveryTag, false, false) }),
	}
}

func (s *session) release() {
	if s.unsettled.Add(-1) == 0 {
		s.closeAsync()
	}
}

// publishTime falls back to AMQP's timestamp for a message from another publisher, and to
// the zero time if it has none.
func publishTime(d amqp.Delivery) time.Time {
	if micros, ok := d.Headers[publishedAt].(int64); ok {
		return time.UnixMicro(micros).UTC()
	}
	return d.Timestamp.UTC()
}
