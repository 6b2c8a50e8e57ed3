package broker

import (
	"context"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"integration-gateway/platform/fault"
)

// queueSpec is a queue as it must stand at the server. All are durable, none is
// exclusive or deletes itself.
type queueSpec struct {
	name string
	role Queue // whose messages are lost with it
	args amqp.Table
}

// topology lists the queues. Process and replay send what is rejected to the dead
// queue; a rung sends what has waited long enough to the process queue.
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
		// https://www.rabbitmq.com/docs/quorum-queues#dead-lettering: a message is
		// dropped from the rung only when the process queue has confirmed it.
		toProcess["x-dead-letter-strategy"] = "at-least-once"
		toProcess["x-overflow"] = "reject-publish"
	}
	queues := []queueSpec{
		{n.Dead, Dead, amqp.Table{"x-queue-type": c.QueueType}},
		{n.Process, Process, toDead},
		{n.Replay, Replay, toDead},
	}
	for _, r := range rungs {
		queues = append(queues, queueSpec{n.rungQueue(r), Process, toProcess})
	}
	return queues
}

// declare makes sure that every queue stands and signals those that were lost.
// again says that this connection was there before and broke.
func (b *RabbitMQ) declare(conn *amqp.Connection, again bool) error {
	if b.cfg.LookOnly {
		return nil
	}
	b.declaring.Lock()
	defer b.declaring.Unlock()
	s := surveyor{conn: conn}
	defer s.close()
	gone, empty := map[Queue]bool{}, map[Queue]bool{}
	for _, q := range b.cfg.topology() {
		ready, missing, err := s.inspect(q.name)
		if err != nil {
			return fmt.Errorf("look for queue %s: %w", q.name, err)
		}
		gone[q.role] = gone[q.role] || missing
		empty[q.role] = empty[q.role] || ready == 0 && b.emptyIsLoss(q.name, again)
		if err := s.declare(q); err != nil {
			return err
		}
	}
	b.declared.Add(1)
	for _, role := range []Queue{Process, Replay, Dead} {
		if gone[role] || empty[role] && !b.justSignalled(role) {
			b.signal(role)
		}
	}
	return nil
}

// redeclare declares the queues on a connection that stands, unless somebody has
// done so since the count of declarations was seen.
func (b *RabbitMQ) redeclare(ctx context.Context, conn *amqp.Connection, seen int64) {
	_, err := within(ctx, func() (struct{}, error) {
		if b.declared.Load() != seen {
			return struct{}{}, nil
		}
		return struct{}{}, b.declare(conn, false)
	}, nil)
	if err != nil {
		b.log.WarnContext(ctx, "declare the queues again", "err", err)
	}
}

// emptyIsLoss tells whether an empty queue may have been made anew, by another
// process that came first: after a break, and at the first sight of the process
// queue. Otherwise it is what workers that keep up leave behind.
func (b *RabbitMQ) emptyIsLoss(name string, again bool) bool {
	switch name {
	case b.cfg.Names.Process:
		return again || b.declared.Load() == 0
	case b.cfg.Names.Replay:
		return again
	}
	return false
}

// justSignalled keeps the second of two connections that break together, as they
// usually do, from reporting what the first one has. It needs b.declaring.
func (b *RabbitMQ) justSignalled(role Queue) bool {
	const together = 2 * longestPause
	at, ok := b.signalled[role]
	return ok && b.now.Since(at) < together
}

// signal needs b.declaring.
func (b *RabbitMQ) signal(role Queue) {
	b.signalled[role] = b.now()
	select {
	case b.lost <- role:
	default: // enough signals wait to be read
	}
}

// surveyor looks at queues and declares them on a channel that it opens anew when
// the server has closed it, as it does when a queue is missing.
type surveyor struct {
	conn *amqp.Connection
	ch   *amqp.Channel
}

func (s *surveyor) open() error {
	if s.ch != nil && !s.ch.IsClosed() {
		return nil
	}
	var err error
	s.ch, err = s.conn.Channel()
	return err
}

func (s *surveyor) close() {
	if s.ch != nil {
		_ = s.ch.Close()
	}
}

// inspect counts the ready messages of a queue.
func (s *surveyor) inspect(name string) (ready int, missing bool, err error) {
	if err := s.open(); err != nil {
		return 0, false, err
	}
	q, err := s.ch.QueueDeclarePassive(name, true, false, false, false, nil)
	if replyCode(err) == amqp.NotFound {
		s.ch = nil // the library may not have noticed yet that it is closed
		return 0, true, nil
	}
	return q.Messages, false, err
}

func (s *surveyor) declare(q queueSpec) error {
	if err := s.open(); err != nil {
		return fmt.Errorf("declare queue %s: %w", q.name, err)
	}
	_, err := s.ch.QueueDeclare(q.name, true, false, false, false, q.args)
	if replyCode(err) == amqp.PreconditionFailed {
		return fault.Unavailable.Wrap(err, mismatchReason,
			"The queue %s stands at RabbitMQ with other arguments than the gateway declares. "+
				"Delete it once it is empty, and it is made anew; or configure another name", q.name).After(topologyPause)
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
