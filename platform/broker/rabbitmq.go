package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/hostlist"
)

// The queue types for RabbitMQConfig.QueueType.
const (
	Classic = "classic" // one node
	Quorum  = "quorum"  // for a cluster: replicated, with at-least-once dead-lettering; RabbitMQ 3.10 or later
)

// RabbitMQConfig says where the broker is and how its queues are declared. A zero duration
// means the default.
type RabbitMQConfig struct {
	URL        string // amqp:// or amqps://, with user, password and virtual host; of a cluster, host1:5672,host2:5672
	Names      Names
	QueueType  string // Classic (the default) or Quorum
	SpoolBytes int64  // the bound of the spool, which the broker keeps; 0 for none
	Passive    bool   // declare no queue, for read-only commands: a worker must detect lost queues itself

	DialTimeout    time.Duration // to connect and log in; 5 s, and 2 s for one of several nodes
	DeclareTimeout time.Duration // to declare the queues; 5 s
	WriteTimeout   time.Duration // for one write on a connection; 5 s
	PublishTimeout time.Duration // until a whole batch is confirmed, if the caller's context is longer; 10 s
	Heartbeat      time.Duration // a connection without traffic for three of these is dead; 5 s, and 3 s with several nodes
}

func (c RabbitMQConfig) withDefaults() RabbitMQConfig {
	or := func(d *time.Duration, preset time.Duration) {
		if *d <= 0 {
			*d = preset
		}
	}
	if len(hostlist.URLs(c.URL)) > 1 { // another node can be used sooner
		or(&c.DialTimeout, 2*time.Second)
		or(&c.Heartbeat, 3*time.Second)
	}
	or(&c.DialTimeout, 5*time.Second)
	or(&c.DeclareTimeout, 5*time.Second)
	or(&c.WriteTimeout, 5*time.Second)
	or(&c.PublishTimeout, 10*time.Second)
	or(&c.Heartbeat, 5*time.Second)
	if c.QueueType == "" {
		c.QueueType = Classic
	}
	return c
}

func (c RabbitMQConfig) check() error {
	var wrong []error
	if err := checkURLs(c.URL); err != nil {
		wrong = append(wrong, err)
	}
	if c.QueueType != Classic && c.QueueType != Quorum {
		wrong = append(wrong, fmt.Errorf("the queue type is %q; it must be %q or %q", c.QueueType, Classic, Quorum))
	}
	return errors.Join(append(wrong, c.Names.check())...)
}

// ErrBlocked is in the chain of Publish's and Ping's errors while the broker accepts no
// messages because it is low on memory or disk (connection.blocked).
var ErrBlocked = errors.New("the broker accepts no messages: it is low on memory or disk")

// ErrUnroutable is in the chain of Publish's errors for a message whose queue does not
// exist. The queue is declared again before Publish returns.
var ErrUnroutable = errors.New("the queue does not exist")

// ErrTaken is Consume's error if a queue that has one consumer at a time has another.
var ErrTaken = errors.New("the queue has another consumer")

// RabbitMQ is the Broker on a RabbitMQ server. Publishers and consumers use separate
// connections, so that a blocked publisher never delays an acknowledgement.
type RabbitMQ struct {
	cfg   RabbitMQConfig
	nodes []string // the URL of each node
	log   *slog.Logger
	now   clock.Now

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	publishing *managedConn
	consuming  *managedConn
	publisher  atomic.Pointer[publisher] // of the publishing connection, once it is open

	declareMu    sync.Mutex   // one at a time: otherwise two would find the same queue missing
	declarations atomic.Int64 // number of declarations
	signalled    map[Queue]time.Time
	lost         chan Queue
}

var _ Broker = (*RabbitMQ)(nil)

// NewRabbitMQ checks cfg without connecting. The first call that needs the server starts
// connecting; from then on a lost connection is restored, with backoff, until Close.
func NewRabbitMQ(cfg RabbitMQConfig, log *slog.Logger, now clock.Now) (*RabbitMQ, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("rabbitmq: %w", err)
	}
	b := &RabbitMQ{
		cfg:       cfg,
		nodes:     hostlist.URLs(cfg.URL),
		log:       log.With("component", "rabbitmq"),
		now:       now,
		signalled: map[Queue]time.Time{},
		lost:      make(chan Queue, 8),
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.publishing = b.newManagedConn("publishing", b.openPublisher)
	b.consuming = b.newManagedConn("consuming", func(*amqp.Connection) error { return nil })
	return b, nil
}

// Ping returns nil if both connections are open, answer, and are not blocked. It opens them
// if necessary.
func (b *RabbitMQ) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.PublishTimeout)
	defer cancel()
	b.consuming.start()
	for _, c := range []*managedConn{b.publishing, b.consuming} {
		conn, err := c.current(ctx)
		if err != nil {
			return err
		}
		// The server does not read from a blocked connection, so it would not answer.
		if p := b.publisher.Load(); c == b.publishing && p != nil && p.blocked.Load() {
			return blocked()
		}
		if err := roundTrip(ctx, conn); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// Depth returns the number of ready messages in a queue, without those in delay queues and
// unsettled ones. It also finds deleted delay queues: nobody consumes them, so their loss
// would only show at the next retry.
func (b *RabbitMQ) Depth(ctx context.Context, queue Queue) (int, error) {
	name := b.cfg.Names.role(queue)
	if name == "" {
		return 0, fmt.Errorf("depth: unknown queue %q", queue)
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.PublishTimeout)
	defer cancel()
	conn, err := b.consuming.current(ctx)
	if err != nil {
		return 0, err
	}
	n, err := within(ctx, func() (int, error) {
		s := inspector{conn: conn}
		defer s.close()
		n, missing, err := s.inspect(name)
		if missing && b.cfg.Passive {
			return 0, ErrUnroutable
		}
		for _, q := range b.cfg.topology() {
			if err != nil || missing || b.cfg.Passive || queue != Process || q.role != Delayed {
				continue
			}
			_, missing, err = s.inspect(q.name)
		}
		if missing {
			return n, b.declare(conn, false)
		}
		return n, err
	}, nil)
	if err != nil {
		return 0, unavailable(fmt.Errorf("depth of %s: %w", name, err))
	}
	return n, nil
}

// Lost receives a queue that was found missing, or empty after a reconnect, and the process
// queue if it is empty at the first connection. It does so at most every few seconds for one queue.
func (b *RabbitMQ) Lost() <-chan Queue { return b.lost }

// Close closes both connections within two seconds; the server redelivers unsettled
// deliveries to other consumers.
func (b *RabbitMQ) Close() error {
	b.cancel()
	b.publishing.wait()
	b.consuming.wait()
	return nil
}

func unavailable(err error) error {
	if fault.As(err) != nil {
		return err
	}
	return fault.Unavailable.Wrap(err, "rabbitmq_unavailable", "RabbitMQ is unreachable").After(retryAfter)
}

func blocked() error {
	return fault.Unavailable.Wrap(ErrBlocked, "rabbitmq_blocked", "RabbitMQ accepts no messages right now").After(retryAfter)
}

const retryAfter = 5 * time.Second
