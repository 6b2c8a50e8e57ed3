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
)

// The types of queue that RabbitMQConfig.QueueType chooses from.
const (
	Classic = "classic" // one node
	Quorum  = "quorum"  // a cluster: replicated, and dead-lettering at least once; RabbitMQ 3.10 or later
)

// RabbitMQConfig says where the broker is and how its queues are made. Of the
// durations, zero means the default.
type RabbitMQConfig struct {
	URL       string // amqp:// or amqps://, with user, password and virtual host
	Names     Names
	QueueType string // Classic (the default) or Quorum
	LookOnly  bool   // declare no queue, for commands that only look: a worker must see for itself what is lost

	DialTimeout    time.Duration // to connect, log in and declare the queues; 5 s
	WriteTimeout   time.Duration // for one write on a connection; 5 s
	PublishTimeout time.Duration // until all of a batch is confirmed, where the caller's context is longer; 10 s
	Heartbeat      time.Duration // a connection that is silent for three of these is dead; 5 s
}

func (c RabbitMQConfig) withDefaults() RabbitMQConfig {
	or := func(d *time.Duration, preset time.Duration) {
		if *d <= 0 {
			*d = preset
		}
	}
	or(&c.DialTimeout, 5*time.Second)
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
	if _, err := amqp.ParseURI(c.URL); err != nil {
		// The parser's error may quote the URL, and with it the password.
		wrong = append(wrong, errors.New("the URL is not of the form amqp://user:password@host:port/vhost"))
	}
	if c.QueueType != Classic && c.QueueType != Quorum {
		wrong = append(wrong, fmt.Errorf("the queue type is %q; it must be %q or %q", c.QueueType, Classic, Quorum))
	}
	return errors.Join(append(wrong, c.Names.check())...)
}

// ErrBlocked is in the chain of Publish's and Ping's errors while the broker takes
// no messages because its memory or disk is short (connection.blocked).
var ErrBlocked = errors.New("the broker takes no messages: its memory or disk is short")

// ErrUnroutable is in the chain of Publish's errors for a message whose queue does
// not exist. The queue is declared again before Publish returns.
var ErrUnroutable = errors.New("the queue does not exist")

// RabbitMQ is the Broker on a RabbitMQ server. Publishers and consumers have a
// connection each, so that a blocked publisher never holds up an acknowledgement.
type RabbitMQ struct {
	cfg RabbitMQConfig
	log *slog.Logger
	now clock.Now

	life context.Context // ends with Close
	end  context.CancelFunc

	publishing *link
	consuming  *link
	out        atomic.Pointer[outlet] // of the publishing connection, once it stands

	declaring sync.Mutex   // one at a time: two would both find the same queue missing
	declared  atomic.Int64 // how often they were
	signalled map[Queue]time.Time
	lost      chan Queue
}

var _ Broker = (*RabbitMQ)(nil)

// NewRabbitMQ checks cfg and connects to nothing: the first call that needs the
// server starts connecting, and from then on a lost connection is made again, with
// backoff, until Close.
func NewRabbitMQ(cfg RabbitMQConfig, log *slog.Logger, now clock.Now) (*RabbitMQ, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("rabbitmq: %w", err)
	}
	b := &RabbitMQ{
		cfg:       cfg,
		log:       log.With("component", "rabbitmq"),
		now:       now,
		signalled: map[Queue]time.Time{},
		lost:      make(chan Queue, 8),
	}
	b.life, b.end = context.WithCancel(context.Background())
	b.publishing = b.newLink("publishing", b.openOutlet)
	b.consuming = b.newLink("consuming", func(*amqp.Connection) error { return nil })
	return b, nil
}

// Ping answers nil when both connections stand, answer, and are not blocked. It
// makes them when nobody has yet.
func (b *RabbitMQ) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.PublishTimeout)
	defer cancel()
	b.consuming.start()
	for _, l := range []*link{b.publishing, b.consuming} {
		conn, err := l.current(ctx)
		if err != nil {
			return err
		}
		// A blocked connection is not read by the server, so it would not answer.
		if o := b.out.Load(); l == b.publishing && o != nil && o.blocked.Load() {
			return blocked()
		}
		if err := roundTrip(ctx, conn); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// Depth is the number of messages ready in a queue; those in the retry ladder and
// those that a consumer holds are not counted.
func (b *RabbitMQ) Depth(ctx context.Context, queue Queue) (int, error) {
	name := b.cfg.Names.role(queue)
	if name == "" {
		return 0, fmt.Errorf("depth: there is no queue %q", queue)
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.PublishTimeout)
	defer cancel()
	conn, err := b.consuming.current(ctx)
	if err != nil {
		return 0, err
	}
	n, err := within(ctx, func() (int, error) {
		s := surveyor{conn: conn}
		defer s.close()
		n, missing, err := s.inspect(name)
		switch {
		case missing && b.cfg.LookOnly:
			return 0, ErrUnroutable
		case missing:
			return 0, b.declare(conn, false)
		}
		return n, err
	}, nil)
	if err != nil {
		return 0, unavailable(fmt.Errorf("depth of %s: %w", name, err))
	}
	return n, nil
}

// Lost receives a queue that was found missing, or empty after a reconnect, and
// the process queue when it is empty at the first connection.
func (b *RabbitMQ) Lost() <-chan Queue { return b.lost }

// Close closes both connections, for which the server has two seconds; it gives
// the deliveries that were not settled to other consumers.
func (b *RabbitMQ) Close() error {
	b.end()
	b.publishing.wait()
	b.consuming.wait()
	return nil
}

func unavailable(err error) error {
	if fault.As(err) != nil {
		return err
	}
	return fault.Unavailable.Wrap(err, "rabbitmq_unavailable", "RabbitMQ cannot be reached").After(retryAfter)
}

func blocked() error {
	return fault.Unavailable.Wrap(ErrBlocked, "rabbitmq_blocked", "RabbitMQ takes no messages now").After(retryAfter)
}

const retryAfter = 5 * time.Second
