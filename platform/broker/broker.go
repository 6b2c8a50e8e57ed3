// Package broker carries messages between processes: RabbitMQ, or a queue in this
// process for the embedded default. Both drivers pass one conformance suite.
//
// A message is a hint, never the truth: it may come late, twice, or not at all.
// What must happen stands in the database. The package knows queues, not jobs.
package broker

import (
	"context"
	"time"
)

// Queue is the role of a queue; Names gives the broker's own names.
type Queue string

// The queues. Messages with a delay wait in the retry ladder and then enter the
// queue that they were published to, which is Process.
const (
	Process Queue = "process"
	Replay  Queue = "replay"
	Dead    Queue = "dead"
)

// Names are the queues' names at the broker. The ladder's queues are called
// <Retry>.<rung>, such as ig.events.retry.4s.
type Names struct {
	Process string // ig.events.process
	Retry   string // ig.events.retry
	Replay  string // ig.events.replay
	Dead    string // ig.events.dead
}

// MaxDelay is the longest delay that a message can have; what must wait longer
// waits in the database and is published when its time is near. A delayed message
// can come late by less than its delay, and by less than a minute: it may stand
// behind another of its rung.
const MaxDelay = 2 * time.Minute

// Message is what is published: persistent, mandatory, confirmed.
type Message struct {
	Queue Queue
	Delay time.Duration // only for Process; 0 to MaxDelay
	Body  []byte
}

// Delivery is a message that was received. Exactly one of Ack, Requeue and Reject
// must be called, from any goroutine; calls after the connection is gone do nothing,
// because the broker gives the message to somebody else.
type Delivery struct {
	Body        []byte
	PublishedAt time.Time // when it was first published, by the publisher's clock
	Redelivered bool

	Ack     func() // it is dealt with
	Requeue func() // give it back, to be delivered again at once to whoever is free
	Reject  func() // nobody can deal with it: to the dead queue
}

// Broker publishes and consumes.
type Broker interface {
	// Publish sends messages and waits until the broker has each one safe in a
	// queue, or ctx ends. It answers one error a message, nil for those that are
	// safe. An error may mean that the message is safe and the answer was lost.
	Publish(ctx context.Context, messages []Message) []error

	// Consume hands deliveries of one queue to handle until ctx ends, at most
	// prefetch of them unsettled at a time. handle must not block for long: it
	// passes the delivery on. Consume reconnects by itself, with backoff, and
	// returns nil once ctx has ended; deliveries that are not settled then can
	// still be settled until Close.
	Consume(ctx context.Context, queue Queue, prefetch int, handle func(Delivery)) error

	// Ping answers nil when the broker is connected and not blocked.
	Ping(ctx context.Context) error

	// Depth is the number of messages ready in a queue.
	Depth(ctx context.Context, queue Queue) (int, error)

	// Lost receives the queue whenever it was found deleted, or empty after a
	// reconnect, and was declared again: messages may be gone. It holds a few
	// signals and drops further ones. Relays read it to publish again from the
	// database.
	Lost() <-chan Queue

	// Close ends publishing and consuming and gives unsettled deliveries back.
	Close() error
}
