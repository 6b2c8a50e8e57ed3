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

// publisher is the publishing channel of one connection. One goroutine writes, because a
// write can block until its deadline while callers must return when their context ends.
// Another settles; it never blocks, because the library's reader waits for it. When the
// channel is lost, the publisher ends and closes the connection; the managed connection
// then recreates both.
type publisher struct {
	conn    *amqp.Connection
	ch      *amqp.Channel
	blocked atomic.Bool

	submit chan *batch
	done   chan struct{} // closed when the publisher ends

	returns  chan amqp.Return
	confirms chan amqp.Confirmation
	blocks   chan amqp.Blocking
	closed   chan *amqp.Error

	mu      sync.Mutex // guards the following fields and every batch; held only briefly
	err     error      // why the publisher ended
	pending map[uint64]pendingConfirm
}

// pendingConfirm is the message of a batch that a confirm belongs to.
type pendingConfirm struct {
	batch *batch
	index int
	id    string // the message's id: a return names it, and comes before its confirm
}

// batch is the set of messages of one Publish call.
type batch struct {
	messages    []outgoing
	errs        []error
	unsettled   int           // number of unsettled messages
	settled     chan struct{} // closed when all are settled
	abandonedCh chan struct{} // closed when the caller has stopped waiting
	abandoned   bool          // the same; guarded by publisher.mu
}

type outgoing struct {
	index int
	key   string
	amqp.Publishing
}

func (b *RabbitMQ) openPublisher(conn *amqp.Connection) error {
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open the publishing channel: %w", err)
	}
	const buffer = 256 // so that the library's reader rarely waits
	p := &publisher{
		conn:     conn,
		ch:       ch,
		submit:   make(chan *batch),
		done:     make(chan struct{}),
		returns:  ch.NotifyReturn(make(chan amqp.Return, buffer)),
		confirms: ch.NotifyPublish(make(chan amqp.Confirmation, buffer)),
		closed:   ch.NotifyClose(make(chan *amqp.Error, 1)),
		blocks:   conn.NotifyBlocked(make(chan amqp.Blocking, buffer)),
		pending:  map[uint64]pendingConfirm{},
	}
	if err := ch.Confirm(false); err != nil {
		return fmt.Errorf("enable confirms: %w", err)
	}
	go p.settle()
	go p.write()
	b.publisher.Store(p)
	return nil
}

// publish returns one error for each message of the batch.
func (p *publisher) publish(ctx context.Context, b *batch) []error {
	defer close(b.abandonedCh)
	select {
	case p.submit <- b:
	case <-p.done:
		return p.abandon(b, p.reason())
	case <-ctx.Done():
		return p.abandon(b, notConfirmed(ctx))
	}
	select {
	case <-b.settled:
		return b.errs
	case <-ctx.Done():
		return p.abandon(b, notConfirmed(ctx))
	}
}

// abandon settles the open messages with err; later confirms are ignored.
func (p *publisher) abandon(b *batch, err error) []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.unsettled > 0 {
		b.abandoned = true
		for _, m := range b.messages {
			if errors.Is(b.errs[m.index], errUnsettled) {
				b.errs[m.index] = err
			}
		}
	}
	return b.errs
}

// errUnsettled marks an unsettled message in batch.errs.
var errUnsettled = errors.New("not settled")

func notConfirmed(ctx context.Context) error {
	return fault.Unavailable.Wrap(ctx.Err(), "rabbitmq_timeout",
		"RabbitMQ did not confirm the message in time").After(retryAfter)
}

func (p *publisher) reason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *publisher) write() {
	for {
		select {
		case b := <-p.submit:
			p.writeBatch(b)
		case <-p.done:
			return
		}
	}
}

func (p *publisher) writeBatch(b *batch) {
	for _, m := range b.messages {
		select {
		case <-b.abandonedCh:
			return
		default:
		}
		tag := p.ch.GetNextPublishSeqNo()
		if !p.expect(tag, pendingConfirm{b, m.index, m.MessageId}) {
			continue
		}
		if err := p.ch.Publish("", m.key, true, false, m.Publishing); err != nil {
			// How much the server received is unknown, and so are the following tags.
			p.fail(err)
		}
	}
}

// expect registers a message before it is written, since its confirm may arrive before the
// write returns. It reports false if the message was settled instead.
func (p *publisher) expect(tag uint64, c pendingConfirm) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		c.settle(p.err)
	case p.blocked.Load():
		c.settle(blocked())
	default:
		p.pending[tag] = c
		return true
	}
	return false
}

// settle requires publisher.mu.
func (c pendingConfirm) settle(err error) {
	b := c.batch
	if b.abandoned || !errors.Is(b.errs[c.index], errUnsettled) {
		return
	}
	b.errs[c.index] = err
	if b.unsettled--; b.unsettled == 0 {
		close(b.settled)
	}
}

// settle handles the server's messages. A channel that the library closed is set to nil;
// confirms is closed last.
func (p *publisher) settle() {
	returned := map[string]bool{}
	returns, blocks := p.returns, p.blocks
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
		case c, ok := <-p.confirms:
			if !ok {
				p.fail(p.closeReason())
				return
			}
			// A message's return is put into its channel before the message's confirm is
			// put into this one, so it has arrived by now.
			for waiting := true; waiting; {
				select {
				case r, ok := <-returns:
					take(r, ok)
				default:
					waiting = false
				}
			}
			p.confirm(c, returned)
		case s, ok := <-blocks:
			if !ok {
				blocks = nil
				continue
			}
			p.block(s.Active)
		}
	}
}

func (p *publisher) confirm(a amqp.Confirmation, returned map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.pending[a.DeliveryTag]
	if !ok {
		return
	}
	delete(p.pending, a.DeliveryTag)
	switch {
	case returned[c.id]:
		delete(returned, c.id)
		c.settle(fault.Unavailable.Wrap(ErrUnroutable, "rabbitmq_unroutable", "RabbitMQ returned the message").After(retryAfter))
	case !a.Ack:
		c.settle(fault.Unavailable.New("rabbitmq_nack", "RabbitMQ did not store the message.").After(retryAfter))
	default:
		c.settle(nil)
	}
}

// block immediately fails the pending messages while the server reads nothing. Messages it
// has read may be stored, but nobody should wait minutes to find out.
func (p *publisher) block(active bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blocked.Store(active)
	if !active {
		return
	}
	for tag, c := range p.pending {
		c.settle(blocked())
		delete(p.pending, tag)
	}
}

// closeReason returns why the library closed the channel.
func (p *publisher) closeReason() error {
	if reason := <-p.closed; reason != nil {
		return reason
	}
	return amqp.ErrClosed
}

// fail ends the publisher, once.
func (p *publisher) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	p.err = unavailable(err)
	for tag, c := range p.pending {
		c.settle(p.err)
		delete(p.pending, tag)
	}
	close(p.done)
	go closeConn(p.conn)
}
