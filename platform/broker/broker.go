// Package broker carries messages between processes: over RabbitMQ, or over an in-process
// queue for the embedded default. Both drivers pass one conformance suite.
//
// Messages are hints and may arrive late, twice, or not at all; the database decides what
// has to happen. The package knows queues, not jobs.
package broker

import (
	"context"
	"time"
)

// Queue is the role of a queue; Names maps it to the broker's names.
type Queue string

// The queues. Delayed messages wait in the delay queues and then enter the queue they were
// published to, which is Process.
const (
	Process Queue = "process"
	Replay  Queue = "replay"
	Dead    Queue = "dead"

	// Spool holds webhooks while the database is away: the only messages that are the truth and
	// not hints. One consumer at a time gets them, in order. SpoolParked holds those of them that
	// the database does not accept.
	Spool       Queue = "spool"
	SpoolParked Queue = "spool_parked"
)

// Delayed represents all delay queues. Only Lost uses it.
const Delayed Queue = "delayed"

// Names are the queues' names at the broker. The delay queues, one per retry tier, are
// called <Retry>.<tier>, such as ig.events.retry.4s.
type Names struct {
	Process string // ig.events.process
	Retry   string // ig.events.retry
	Replay  string // ig.events.replay
	Dead    string // ig.events.dead
	Spool   string // ig.events.spool; "" for none
}

// MaxDelay is the longest delay of a message; longer delays wait in the database, and the
// message is published when its time is near. A delayed message can be late by less than
// its delay, and by less than a minute: it may wait behind another one of its tier.
const MaxDelay = 2 * time.Minute

// Message is a message to publish: persistent, mandatory, confirmed.
type Message struct {
	Queue Queue
	Delay time.Duration // only for Process; 0 to MaxDelay
	Body  []byte
	Trace string // traceparent of the span that publishes it; "" for none
}

// Delivery is a received message. Exactly one of Ack, Requeue and Reject must be called,
// from any goroutine. Calls after the connection is lost do nothing, because the broker
// redelivers the message.
type Delivery struct {
	Body        []byte
	PublishedAt time.Time // first publication, by the publisher's clock
	Trace       string    // as it was published; anything, from another publisher

	Ack     func() // the message is handled
	Requeue func() // redeliver it immediately to any consumer
	Reject  func() // it cannot be handled: send it to the dead queue
}

// Broker publishes and consumes.
type Broker interface {
	// Publish sends messages and waits until the broker has stored each one in a queue, or
	// ctx ends. It returns one error per message, nil for stored ones. An error may also
	// mean that the message is stored and the confirm was lost.
	Publish(ctx context.Context, messages []Message) []error

	// Consume passes deliveries of one queue to handle until ctx ends, at most prefetch of
	// them unsettled at a time. handle must not block for long: it passes the delivery on.
	// Consume reconnects by itself, with backoff, and returns nil after ctx has ended.
	// Deliveries that are unsettled then can still be settled until Close. The spool's queues have
	// one consumer at a time, so that the order holds: others get ErrTaken, or wait.
	Consume(ctx context.Context, queue Queue, prefetch int, handle func(Delivery)) error

	// Ping returns nil if the broker is connected and not blocked.
	Ping(ctx context.Context) error

	// Status returns the state of the connections without asking the server.
	Status() Status

	// Depth returns the number of ready messages in a queue.
	Depth(ctx context.Context, queue Queue) (int, error)

	// Lost receives a queue that was found deleted, or empty after a reconnect, and was
	// declared again: messages may be lost. For a delay queue the value is Delayed,
	// because the messages of the process queue are still there. It buffers a few signals and drops further ones. Relays
	// read it to publish again from the database.
	Lost() <-chan Queue

	// Close stops publishing and consuming, and requeues unsettled deliveries.
	Close() error
}
