package broker

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"integration-gateway/platform/id"
)

// publishedAt is the header with the time of publishing in microseconds since 1970: AMQP's
// own timestamp has a resolution of seconds.
const publishedAt = "x-published-at"

// traceHeader is the header with the publishing span, as W3C has it for AMQP.
// https://www.w3.org/TR/trace-context-amqp/
const traceHeader = "traceparent"

// Publish sends the messages and waits until RabbitMQ has confirmed each, ctx ends, or
// PublishTimeout has passed. Every error except for invalid messages is of kind
// Unavailable: the server is unavailable, blocked (ErrBlocked), lacks the queue
// (ErrUnroutable), did not store the message, or did not answer in time. A message that was
// not confirmed in time may still be in the process of being written: its body must not be
// changed.
func (b *RabbitMQ) Publish(ctx context.Context, messages []Message) []error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.PublishTimeout)
	defer cancel()
	batch := b.batch(messages)
	if batch.unsettled == 0 {
		return batch.errs
	}
	if _, err := b.publishing.current(ctx); err != nil {
		return batch.refuse(err)
	}
	out := b.publisher.Load()
	if out.blocked.Load() {
		return batch.refuse(blocked())
	}
	seen := b.declarations.Load()
	errs := out.publish(ctx, batch)
	for _, err := range errs {
		if errors.Is(err, ErrUnroutable) {
			b.redeclare(ctx, out.conn, seen)
			break
		}
	}
	return errs
}

// batch refuses invalid messages and converts the others to AMQP.
func (b *RabbitMQ) batch(messages []Message) *batch {
	out := &batch{
		messages:    make([]outgoing, 0, len(messages)),
		errs:        make([]error, len(messages)),
		settled:     make(chan struct{}),
		abandonedCh: make(chan struct{}),
	}
	now := b.now()
	for i, m := range messages {
		if err := checkMessage(m); err != nil {
			out.errs[i] = err
			continue
		}
		out.errs[i] = errUnsettled
		out.messages = append(out.messages, b.outgoing(i, m, now))
	}
	out.unsettled = len(out.messages)
	return out
}

func (b *RabbitMQ) outgoing(index int, m Message, now time.Time) outgoing {
	p := amqp.Publishing{
		Headers:      amqp.Table{publishedAt: now.UnixMicro()},
		ContentType:  "application/json",
		DeliveryMode: amqp.Persistent,
		MessageId:    id.New(),
		Timestamp:    now,
		Body:         m.Body,
	}
	if m.Trace != "" {
		p.Headers[traceHeader] = m.Trace
	}
	key := b.cfg.Names.role(m.Queue)
	if m.Delay > 0 {
		key = b.cfg.Names.delayQueue(tierOf(m.Delay))
		p.Expiration = expiration(m.Delay)
	}
	return outgoing{index, key, p}
}

// refuse settles all open messages with err, before anything was sent.
func (b *batch) refuse(err error) []error {
	for _, m := range b.messages {
		b.errs[m.index] = err
	}
	return b.errs
}
