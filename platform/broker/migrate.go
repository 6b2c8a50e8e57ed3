package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"
)

// MigratedQueue is a queue that MigrateQueues declared again.
type MigratedQueue struct {
	Name     string
	Messages int // how many it had
}

// movedBatch is how many messages are moved before they are removed from their queue.
const movedBatch = 200

// MigrateQueues gives queues whose arguments are not those that this configuration declares,
// such as classic queues where quorum queues are wanted, these arguments. No message is
// lost, and one may be there twice if the call is interrupted; called again, it goes on. It
// refuses to work while a queue has consumers.
//
// Messages wait in a second queue, NAME.migrating, while their own is deleted and declared.
// Delay queues are deleted first and declared last: their expired messages go to the process
// queue, which must exist.
func (b *RabbitMQ) MigrateQueues(ctx context.Context) ([]MigratedQueue, error) {
	var conn *amqp.Connection
	err := (&nodes{urls: b.nodes}).first(func(url string) (err error) {
		conn, err = dial(ctx, b.cfg, url, "migration")
		return err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	defer closeConn(conn)
	defer context.AfterFunc(ctx, func() { closeConn(conn) })() // it ends calls that take no context
	m := mover{ctx: ctx, inspector: inspector{conn: conn}, queueType: b.cfg.QueueType}
	defer m.close()

	queues := b.cfg.topology()
	slices.SortStableFunc(queues, func(a, b queueSpec) int { return delayedLast(a) - delayedLast(b) })
	for _, q := range queues {
		if _, _, err := m.inspect(q.name); err != nil {
			return nil, fmt.Errorf("inspect queue %s: %w", q.name, err)
		}
		if m.consumers > 0 {
			return nil, fmt.Errorf("queue %s has %d consumers; stop gateway work and gateway serve first", q.name, m.consumers)
		}
	}
	for _, q := range slices.Backward(queues) {
		if err := m.putAside(q); err != nil {
			return nil, fmt.Errorf("put the messages of queue %s aside: %w", q.name, err)
		}
	}
	var migrated []MigratedQueue
	for _, q := range queues {
		n, moved, err := m.putBack(q)
		if moved {
			migrated = append(migrated, MigratedQueue{q.name, n})
		}
		if err != nil {
			return migrated, fmt.Errorf("put the messages of queue %s back: %w", q.name, err)
		}
	}
	return migrated, nil
}

func delayedLast(q queueSpec) int {
	if q.role == Delayed {
		return 1
	}
	return 0
}

// mover moves messages between queues.
type mover struct {
	inspector
	ctx       context.Context //nolint:containedctx // one call's
	queueType string

	confirming *amqp.Channel // the inspector's channel, once it confirms
	returns    chan amqp.Return
}

func aside(q queueSpec) queueSpec { return queueSpec{name: q.name + ".migrating"} }

// putAside empties and deletes a queue with other arguments.
func (m *mover) putAside(q queueSpec) error {
	_, missing, err := m.inspect(q.name)
	if err != nil || missing {
		return err
	}
	err = m.declare(q) // it exists, so this compares its arguments alone
	if !isMismatch(err) {
		return err
	}
	m.ch = nil // the server has closed it
	waiting := aside(q)
	waiting.args = amqp.Table{"x-queue-type": m.queueType}
	if err := m.declare(waiting); err != nil {
		return err
	}
	if _, err := m.move(q.name, waiting.name, withoutExpiry); err != nil {
		return err
	}
	// Only if it is still empty and unused. The server refuses otherwise.
	if _, err := m.ch.QueueDelete(q.name, true, true, false); err != nil {
		return fmt.Errorf("delete it; stop gateway serve and gateway work, and repeat the command: %w", err)
	}
	return nil
}

// putBack declares a queue, and moves what was put aside to it.
func (m *mover) putBack(q queueSpec) (messages int, moved bool, err error) {
	// A channel that knew the queue's former type fails on it: the server remembers a type per
	// channel and name.
	m.close()
	m.ch = nil
	if err := m.declare(q); err != nil {
		return 0, false, err
	}
	waiting := aside(q)
	_, missing, err := m.inspect(waiting.name)
	if err != nil || missing {
		return 0, false, err
	}
	n, err := m.move(waiting.name, q.name, withExpiry)
	if err != nil {
		return n, false, err
	}
	if err := m.open(); err != nil {
		return n, false, err
	}
	_, err = m.ch.QueueDelete(waiting.name, false, false, false)
	return n, true, err
}

// move moves all messages, in order, and returns how many. A message leaves its queue after
// the other has confirmed it.
func (m *mover) move(from, to string, change func(*amqp.Publishing)) (int, error) {
	total := 0
	for {
		n, err := m.moveBatch(from, to, change)
		total += n
		if err != nil || n == 0 {
			return total, err
		}
	}
}

func (m *mover) moveBatch(from, to string, change func(*amqp.Publishing)) (int, error) {
	if err := m.confirms(); err != nil {
		return 0, err
	}
	var last amqp.Delivery
	var sent []*amqp.DeferredConfirmation
	for len(sent) < movedBatch {
		d, ok, err := m.ch.Get(from, false)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		p := publishing(d)
		change(&p)
		confirmation, err := m.ch.PublishWithDeferredConfirmWithContext(m.ctx, "", to, true, false, p)
		if err != nil {
			return 0, err
		}
		last, sent = d, append(sent, confirmation)
	}
	for _, c := range sent {
		switch ok, err := c.WaitContext(m.ctx); {
		case err != nil:
			return 0, err
		case !ok:
			return 0, errors.New("the server did not store a message")
		}
	}
	select {
	case <-m.returns:
		return 0, ErrUnroutable
	default:
	}
	if len(sent) == 0 {
		return 0, nil
	}
	return len(sent), last.Ack(true)
}

// confirms makes the channel one that confirms.
func (m *mover) confirms() error {
	if err := m.open(); err != nil {
		return err
	}
	if m.confirming == m.ch {
		return nil
	}
	if err := m.ch.Confirm(false); err != nil {
		return err
	}
	m.confirming, m.returns = m.ch, m.ch.NotifyReturn(make(chan amqp.Return, movedBatch))
	return nil
}

// publishing is a copy of a message.
func publishing(d amqp.Delivery) amqp.Publishing {
	return amqp.Publishing{
		Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: amqp.Persistent,
		Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration,
		MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, AppId: d.AppId, Body: d.Body,
	}
}

// expiryAside is the header with the expiration of a message that is put aside: it must not
// expire there. Back in its queue, its delay begins anew.
const expiryAside = "x-expiration-aside"

func withoutExpiry(p *amqp.Publishing) {
	if p.Expiration == "" {
		return
	}
	headers := amqp.Table{expiryAside: p.Expiration}
	for name, value := range p.Headers {
		headers[name] = value
	}
	p.Headers, p.Expiration = headers, ""
}

func withExpiry(p *amqp.Publishing) {
	if expiry, ok := p.Headers[expiryAside].(string); ok {
		delete(p.Headers, expiryAside)
		p.Expiration = expiry
	}
}
