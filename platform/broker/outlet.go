package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"

	"integration-gateway/platform/fault"
)

// outlet is the publishing channel of one connection. One goroutine writes, because
// a write can hang for as long as its deadline while callers must return with their
// context. Another settles; it never waits for anything, because the library's
// reader waits for it. When the channel is lost, the outlet ends, and ends the
// connection too: the link makes both anew.
type outlet struct {
	conn    *amqp.Connection
	ch      *amqp.Channel
	blocked atomic.Bool

	submit chan *batch
	dead   chan struct{} // closed with the outlet

	returns  chan amqp.Return
	confirms chan amqp.Confirmation
	blocks   chan amqp.Blocking
	closed   chan *amqp.Error

	mu      sync.Mutex // guards what follows and every batch; held for moments only
	err     error      // why the outlet ended
	pending map[uint64]ticket
}

// ticket is the place in a batch that a confirm is for.
type ticket struct {
	batch *batch
	index int
	id    string // the message's: a return names it, and comes before its confirm
}

// batch is what one call of Publish waits for.
type batch struct {
	messages []outgoing
	errs     []error
	open     int           // how many are not settled
	settled  chan struct{} // closed when none is
	gone     chan struct{} // closed when the caller has stopped waiting
	left     bool          // the same, for those that hold outlet.mu
}

type outgoing struct {
	index int
	key   string
	amqp.Publishing
}

func (b *RabbitMQ) openOutlet(conn *amqp.Connection) error {
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open the publishing channel: %w", err)
	}
	const room = 256 // so that the library's reader seldom waits
	o := &outlet{
		conn:     conn,
		ch:       ch,
		submit:   make(chan *batch),
		dead:     make(chan struct{}),
		returns:  ch.NotifyReturn(make(chan amqp.Return, room)),
		confirms: ch.NotifyPublish(make(chan amqp.Confirmation, room)),
		closed:   ch.NotifyClose(make(chan *amqp.Error, 1)),
		blocks:   conn.NotifyBlocked(make(chan amqp.Blocking, room)),
		pending:  map[uint64]ticket{},
	}
	if err := ch.Confirm(false); err != nil {
		return fmt.Errorf("ask for confirms: %w", err)
	}
	go o.settle()
	go o.write()
	b.out.Store(o)
	return nil
}

// publish answers one error for each message of the batch.
func (o *outlet) publish(ctx context.Context, b *batch) []error {
	defer close(b.gone)
	select {
	case o.submit <- b:
	case <-o.dead:
		return o.leave(b, o.reason())
	case <-ctx.Done():
		return o.leave(b, notConfirmed(ctx))
	}
	select {
	case <-b.settled:
		return b.errs
	case <-ctx.Done():
		return o.leave(b, notConfirmed(ctx))
	}
}

// leave settles what is open with err; later confirms find nobody.
func (o *outlet) leave(b *batch, err error) []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if b.open > 0 {
		b.left = true
		for _, m := range b.messages {
			if errors.Is(b.errs[m.index], errOpen) {
				b.errs[m.index] = err
			}
		}
	}
	return b.errs
}

// errOpen stands in batch.errs for a message that is not settled.
var errOpen = errors.New("not settled")

func notConfirmed(ctx context.Context) error {
	return fault.Unavailable.Wrap(ctx.Err(), "rabbitmq_timeout",
		"RabbitMQ did not confirm the message in time").After(retryAfter)
}

func (o *outlet) reason() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *outlet) write() {
	for {
		select {
		case b := <-o.submit:
			o.writeBatch(b)
		case <-o.dead:
			return
		}
	}
}

func (o *outlet) writeBatch(b *batch) {
	for _, m := range b.messages {
		select {
		case <-b.gone:
			return
		default:
		}
		tag := o.ch.GetNextPublishSeqNo()
		if !o.expect(tag, ticket{b, m.index, m.MessageId}) {
			continue
		}
		if err := o.ch.Publish("", m.key, true, false, m.Publishing); err != nil {
			// What the server got of it is unknown, and so are the tags from here on.
			o.fail(err)
		}
	}
}

// expect registers a message before it is written, since its confirm may come
// before the write returns. It reports false when the message was settled instead.
func (o *outlet) expect(tag uint64, t ticket) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.err != nil:
		t.settle(o.err)
	case o.blocked.Load():
		t.settle(blocked())
	default:
		o.pending[tag] = t
		return true
	}
	return false
}

// settle needs outlet.mu.
func (t ticket) settle(err error) {
	b := t.batch
	if b.left || !errors.Is(b.errs[t.index], errOpen) {
		return
	}
	b.errs[t.index] = err
	if b.open--; b.open == 0 {
		close(b.settled)
	}
}

// settle handles what the server says. A closed channel of the library is nil from
// then on; confirms is closed last.
func (o *outlet) settle() {
	returned := map[string]bool{}
	returns, blocks := o.returns, o.blocks
	take := func(r amqp.Return, ok bool) {
		if !ok {
			returns = nil
			return
		}
		returned[r.MessageId] = true
	}
	for {
		select {
		case r, ok := <-returns:
			take(r, ok)
		case c, ok := <-o.confirms:
			if !ok {
				o.fail(o.lastWords())
				return
			}
			// The return of a message was put into its channel before the confirm
			// was put into this one, so it is there by now.
			for waiting := true; waiting; {
				select {
				case r, ok := <-returns:
					take(r, ok)
				default:
					waiting = false
				}
			}
			o.confirm(c, returned)
		case s, ok := <-blocks:
			if !ok {
				blocks = nil
				continue
			}
			o.block(s.Active)
		}
	}
}

func (o *outlet) confirm(c amqp.Confirmation, returned map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t, ok := o.pending[c.DeliveryTag]
	if !ok {
		return
	}
	delete(o.pending, c.DeliveryTag)
	switch {
	case returned[t.id]:
		delete(returned, t.id)
		t.settle(fault.Unavailable.Wrap(ErrUnroutable, "rabbitmq_unroutable", "RabbitMQ returned the message").After(retryAfter))
	case !c.Ack:
		t.settle(fault.Unavailable.New("rabbitmq_nack", "RabbitMQ could not keep the message.").After(retryAfter))
	default:
		t.settle(nil)
	}
}

// block fails at once what waits while the server reads nothing. What it had read
// before may be safe; nobody waits minutes to hear of it.
func (o *outlet) block(active bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.blocked.Store(active)
	if !active {
		return
	}
	for tag, t := range o.pending {
		t.settle(blocked())
		delete(o.pending, tag)
	}
}

// lastWords is why the library closed the channel.
func (o *outlet) lastWords() error {
	if reason := <-o.closed; reason != nil {
		return reason
	}
	return amqp.ErrClosed
}

// fail ends the outlet, once.
func (o *outlet) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return
	}
	o.err = unavailable(err)
	for tag, t := range o.pending {
		t.settle(o.err)
		delete(o.pending, tag)
	}
	close(o.dead)
	go hangUp(o.conn)
}
