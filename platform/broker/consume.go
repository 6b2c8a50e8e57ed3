package broker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"integration-gateway/platform/id"
)

// Consume hands deliveries to handle, one after the other, until ctx ends or the
// broker is closed; it answers nil then, and an error only for arguments that make
// no sense. Whatever ends it in between (connection, channel, consumer cancelled,
// queue deleted) it meets by declaring the queues again and going on.
func (b *RabbitMQ) Consume(ctx context.Context, queue Queue, prefetch int, handle func(Delivery)) error {
	if err := checkConsumer(queue, prefetch); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.life, cancel)() //nolint:contextcheck // Close ends consumers as well
	for attempt := 0; ; attempt++ {
		conn, err := b.consuming.next(ctx)
		if err != nil {
			return nil //nolint:nilerr // ctx or the broker has ended
		}
		since := b.now()
		err = b.consume(ctx, conn, queue, prefetch, handle)
		seen := b.declared.Load()
		if ctx.Err() != nil {
			return nil
		}
		b.log.WarnContext(ctx, "consuming was interrupted, resuming", "queue", queue, "err", err)
		if b.now.Since(since) >= steady {
			attempt = 0
		}
		if !sleep(ctx, backoff(attempt, chance())) {
			return nil
		}
		if !conn.IsClosed() {
			b.redeclare(ctx, conn, seen)
		}
	}
}

// consume runs on one channel until it ends, and says why it did.
func (b *RabbitMQ) consume(ctx context.Context, conn *amqp.Connection, queue Queue, prefetch int, handle func(Delivery)) error {
	s, err := within(ctx, func() (*session, error) {
		return openSession(conn, b.cfg.Names.role(queue), prefetch)
	}, (*session).drop)
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
				return s.lost()
			}
			if ctx.Err() != nil {
				s.delivery(d).Requeue()
				continue
			}
			handle(s.delivery(d))
		}
	}
}

// session is one channel with one consumer. It closes when the consumer has
// stopped and every delivery is settled; until then acknowledgements can be sent.
type session struct {
	ch         *amqp.Channel
	tag        string
	deliveries <-chan amqp.Delivery
	closed     chan *amqp.Error
	held       atomic.Int64 // unsettled deliveries, and one for the consumer
}

func openSession(conn *amqp.Connection, queue string, prefetch int) (*session, error) {
	ch, err := conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	s := &session{ch: ch, tag: "gateway-" + id.New(), closed: ch.NotifyClose(make(chan *amqp.Error, 1))}
	s.held.Store(1)
	if err := ch.Qos(prefetch, 0, false); err != nil {
		s.drop()
		return nil, fmt.Errorf("set the prefetch: %w", err)
	}
	if s.deliveries, err = ch.Consume(queue, s.tag, false, false, false, false, nil); err != nil {
		s.drop()
		return nil, fmt.Errorf("consume %s: %w", queue, err)
	}
	return s, nil
}

// drop closes the channel with all that is unsettled on it.
func (s *session) drop() { go func() { _ = s.ch.Close() }() }

// lost is called when the library has closed the deliveries. The channel still
// stands when only the consumer was cancelled, as it is when its queue is deleted.
func (s *session) lost() error {
	if !s.ch.IsClosed() {
		s.drop()
		return errors.New("the broker cancelled the consumer")
	}
	if reason := <-s.closed; reason != nil {
		return reason
	}
	return amqp.ErrClosed
}

// stop ends the consumer and gives back what was delivered but not handed on. A
// server that does not answer is left to the heartbeats.
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

// delivery wraps d. Settling it twice would make the server close the channel, so
// only the first call counts; one that fails has no channel any more, and the
// server gives the message to somebody else.
func (s *session) delivery(d amqp.Delivery) Delivery {
	s.held.Add(1)
	var settled atomic.Bool
	once := func(settle func() error) func() {
		return func() {
			if settled.CompareAndSwap(false, true) {
				_ = settle()
				s.release()
			}
		}
	}
	return Delivery{
		Body:        d.Body,
		PublishedAt: publishTime(d),
		Redelivered: d.Redelivered,
		Ack:         once(func() error { return s.ch.Ack(d.DeliveryTag, false) }),
		Requeue:     once(func() error { return s.ch.Nack(d.DeliveryTag, false, true) }),
		Reject:      once(func() error { return s.ch.Nack(d.DeliveryTag, false, false) }),
	}
}

func (s *session) release() {
	if s.held.Add(-1) == 0 {
		s.drop()
	}
}

// publishTime falls back to AMQP's timestamp for a message that somebody else
// published, and to the zero time when it has none.
func publishTime(d amqp.Delivery) time.Time {
	if micros, ok := d.Headers[publishedAt].(int64); ok {
		return time.UnixMicro(micros).UTC()
	}
	return d.Timestamp.UTC()
}
