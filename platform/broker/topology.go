package broker

import (
	"context"
	"fmt"
	"maps"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"integration-gateway/platform/fault"
)

// queueSpec is the required declaration of a queue. All queues are durable; none is
// exclusive or auto-deleted.
type queueSpec struct {
	name string
	role Queue // the queue whose messages are lost with it
	args amqp.Table
	// keeps says that a queue that exists with other arguments stays in use.
	keeps bool
}

// topology lists the queues. Process and replay dead-letter rejected messages to the dead
// queue; a delay queue dead-letters expired messages to the process queue.
func (c RabbitMQConfig) topology() []queueSpec {
	n := c.Names
	toDead := amqp.Table{
		"x-queue-type":              c.QueueType,
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": n.Dead,
	}
	toProcess := amqp.Table{
		"x-queue-type":              c.QueueType,
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": n.Process,
	}
	if c.QueueType == Quorum {
		// https://www.rabbitmq.com/docs/quorum-queues#dead-lettering: a message leaves the
		// delay queue only after the process queue has confirmed it.
		toProcess["x-dead-letter-strategy"] = "at-least-once"
		toProcess["x-overflow"] = "reject-publish"
	}
	queues := []queueSpec{
		{name: n.Dead, role: Dead, args: amqp.Table{"x-queue-type": c.QueueType}},
		{name: n.Process, role: Process, args: toDead},
		{name: n.Replay, role: Replay, args: toDead},
	}
	for _, r := range tiers {
		queues = append(queues, queueSpec{name: n.delayQueue(r), role: Delayed, args: toProcess})
	}
	return append(queues, c.spool()...)
}

// manyDeliveries is the delivery limit of the spool: quorum queues drop a message that was
// requeued too often, 20 times by default since RabbitMQ 4.0.
const manyDeliveries = 1_000_000_000

// spool lists the queues of the spool. At its bound the broker refuses messages, and removes
// none. Each process of another configuration would find other arguments, so a queue that
// exists stays as it is.
func (c RabbitMQConfig) spool() []queueSpec {
	if c.Names.Spool == "" {
		return nil
	}
	parked := amqp.Table{"x-queue-type": c.QueueType}
	if c.QueueType == Quorum {
		parked["x-delivery-limit"] = int64(manyDeliveries)
	}
	spool := amqp.Table{"x-overflow": "reject-publish"}
	if c.QueueType == Quorum {
		spool["x-single-active-consumer"] = true
	}
	maps.Copy(spool, parked)
	if c.SpoolBytes > 0 {
		spool["x-max-length-bytes"] = c.SpoolBytes
	}
	return []queueSpec{
		{name: c.Names.role(SpoolParked), role: SpoolParked, args: parked, keeps: true},
		{name: c.Names.Spool, role: Spool, args: spool, keeps: true},
	}
}

// declare makes sure that every queue exists and signals lost ones. reconnect means that an
// earlier connection was lost.
func (b *RabbitMQ) declare(conn *amqp.Connection, reconnect bool) error {
	if b.cfg.Passive {
		return nil
	}
	b.declareMu.Lock()
	defer b.declareMu.Unlock()
	s := inspector{conn: conn}
	defer s.close()
	gone, empty := map[Queue]bool{}, map[Queue]bool{}
	err := func() error {
		for _, q := range b.cfg.topology() {
			ready, missing, err := s.inspect(q.name)
			if err != nil {
				return fmt.Errorf("inspect queue %s: %w", q.name, err)
			}
			gone[q.role] = gone[q.role] || missing
			empty[q.role] = empty[q.role] || ready == 0 && b.emptyIsLoss(q.name, reconnect)
			if q.keeps && !missing {
				continue
			}
			if err := s.declare(q); err != nil {
				return err
			}
		}
		b.declarations.Add(1)
		return nil
	}()
	for _, role := range []Queue{Process, Delayed, Replay, Dead} { // after an error, too: what was declared is no longer missing
		if gone[role] || err == nil && empty[role] && !b.justSignalled(role) {
			b.signal(role)
		}
	}
	return err
}

// redeclare declares the queues on an open connection, unless that was done after the
// number of declarations was seen.
func (b *RabbitMQ) redeclare(ctx context.Context, conn *amqp.Connection, seen int64) {
	_, err := within(ctx, func() (struct{}, error) {
		if b.declarations.Load() != seen {
			return struct{}{}, nil
		}
		return struct{}{}, b.declare(conn, false)
	}, nil)
	if err != nil {
		b.log.WarnContext(ctx, "declaring the queues again failed", "error", err)
	}
}

// emptyIsLoss reports whether an empty queue may have been recreated by another process
// that came first: after a reconnect, and for the process queue at the first connection.
// Otherwise queues are empty because the workers keep up.
func (b *RabbitMQ) emptyIsLoss(name string, reconnect bool) bool {
	switch name {
	case b.cfg.Names.Process:
		return reconnect || b.declarations.Load() == 0
	case b.cfg.Names.Replay:
		return reconnect
	}
	return false
}

// justSignalled prevents the second of two connections, which usually break together, from
// reporting the same loss again. It requires b.declareMu.
func (b *RabbitMQ) justSignalled(role Queue) bool {
	together := 2 * reconnect.Max
	at, ok := b.signalled[role]
	return ok && b.now.Since(at) < together
}

// minLossInterval is the minimum time between two signals for a queue. Each signal makes the
// relays publish jobs again.
const minLossInterval = 5 * time.Second

// signal reports a loss. It delays the report if the last one was less than minLossInterval ago.
// It requires b.declareMu.
func (b *RabbitMQ) signal(role Queue) {
	ago := b.now.Since(b.signalled[role])
	if ago < 0 {
		return // a pending signal covers this loss too
	}
	wait := max(0, minLossInterval-ago)
	b.signalled[role] = b.now().Add(wait)
	send := func() {
		select {
		case b.lost <- role:
		default: // enough signals are pending
		}
	}
	if wait == 0 {
		send()
		return
	}
	time.AfterFunc(wait, send)
}

// inspector inspects and declares queues on a channel that it reopens when the server has
// closed it, as it does for a missing queue.
type inspector struct {
	conn      *amqp.Connection
	ch        *amqp.Channel
	consumers int // of the queue that was inspected last
}

func (s *inspector) open() error {
	if s.ch != nil && !s.ch.IsClosed() {
		return nil
	}
	var err error
	s.ch, err = s.conn.Channel()
	return err
}

func (s *inspector) close() {
	if s.ch != nil {
		_ = s.ch.Close()
	}
}

// inspect counts the ready messages of a queue.
func (s *inspector) inspect(name string) (ready int, missing bool, err error) {
	if err := s.open(); err != nil {
		return 0, false, err
	}
	q, err := s.ch.QueueDeclarePassive(name, true, false, false, false, nil)
	if replyCode(err) == amqp.NotFound {
		s.ch = nil // the library may not know yet that it is closed
		return 0, true, nil
	}
	s.consumers = q.Consumers
	return q.Messages, false, err
}

func (s *inspector) declare(q queueSpec) error {
	if err := s.open(); err != nil {
		return fmt.Errorf("declare queue %s: %w", q.name, err)
	}
	_, err := s.ch.QueueDeclare(q.name, true, false, false, false, q.args)
	if replyCode(err) == amqp.PreconditionFailed {
		return fault.Unavailable.Wrap(err, mismatchReason,
			"The queue %s exists in RabbitMQ with arguments other than those that the gateway declares, such as another type. "+
				"Stop serve and work and run gateway queues migrate, which keeps the messages; or set RABBITMQ_QUEUE_TYPE to its type", q.name).After(topologyBackoff)
	}
	if err != nil {
		return fmt.Errorf("declare queue %s: %w", q.name, err)
	}
	return nil
}

const mismatchReason = "rabbitmq_queue_arguments"

func isMismatch(err error) bool {
	f := fault.As(err)
	return f != nil && f.Reason == mismatchReason
}
