// Package spool keeps verified webhooks at the broker while the database is away, and has them
// stored when it is back, in their order and once each.
//
// It owns two queues and no table. It does not know how webhooks are verified or stored.
package spool

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
)

// Config holds the bounds of the spool. New replaces zero durations with the defaults.
type Config struct {
	Off     bool          // take no webhooks; what an earlier program left is stored all the same
	MaxAge  time.Duration // of the oldest webhook; beyond it further ones are refused; default 24 h
	Confirm time.Duration // for the broker to confirm a webhook; default 3 s
	Look    time.Duration // between looks at the queues' depth; default 2 s
	Pause   time.Duration // before spooled webhooks are tried again; default 1 s
	Idle    time.Duration // without a webhook before another process may store the next ones; default 2 s
	Again   time.Duration // between attempts at parked webhooks; default 10 min
}

// Broker is the part of the broker that the spool uses.
type Broker interface {
	Publish(ctx context.Context, messages []broker.Message) []error
	Consume(ctx context.Context, queue broker.Queue, prefetch int, handle func(broker.Delivery)) error
	Depth(ctx context.Context, queue broker.Queue) (int, error)
	Status() broker.Status
}

// Metrics counts webhooks. Its methods never block.
type Metrics interface {
	// Spooled counts webhooks by what became of them: spooled, stored, repeated, parked, or
	// refused because the spool could not take them. bytes are those of their messages.
	Spooled(outcome string, webhooks, bytes int)
}

// Digester makes keyed hashes.
type Digester interface {
	Digest(text string) string
	// Matches reports whether digest was made of text, under any key that is known.
	Matches(text, digest string) bool
}

// Deps is everything the spool needs from the outside.
type Deps struct {
	Log      *slog.Logger
	Now      clock.Now
	Broker   Broker
	Digester Digester
	Metrics  Metrics
}

// Spool is the spool. A nil Spool is off: nothing is ever away.
type Spool struct {
	cfg  Config
	d    Deps
	gate gate

	onAway atomic.Pointer[func()]

	mu    sync.Mutex
	state contract.SpoolGauges
	since time.Time // receipt of the oldest webhook, as far as this process knows; zero while empty
	used  time.Time // when the spool was last seen with webhooks; zero for never

	looked  bool      // the depth is known
	refused time.Time // when the last webhook could not be spooled; zero if it could
}

// maxMessage bounds a message: RabbitMQ closes the channel for one that exceeds its max_message_size,
// 16 MiB since 4.0.
const maxMessage = 8 << 20

// New makes a spool; it starts nothing.
func New(cfg Config, d Deps) *Spool {
	or := func(d *time.Duration, preset time.Duration) {
		if *d == 0 {
			*d = preset
		}
	}
	or(&cfg.MaxAge, 24*time.Hour)
	or(&cfg.Confirm, 3*time.Second)
	or(&cfg.Look, 2*time.Second)
	or(&cfg.Pause, time.Second)
	or(&cfg.Idle, 2*time.Second)
	or(&cfg.Again, 10*time.Minute)
	d.Log = d.Log.With("module", "ingestion", "component", "spool")
	return &Spool{cfg: cfg, d: d}
}

// OnAway sets what is called, from any goroutine, with every failed heartbeat while the database
// is away.
func (s *Spool) OnAway(do func()) { s.onAway.Store(&do) }

// Takes reports whether webhooks go into the spool while the database is away.
func (s *Spool) Takes() bool { return s != nil && !s.cfg.Off }

// Away reports whether the database is away, so that webhooks go into the spool.
func (s *Spool) Away() bool { return s.Takes() && s.gate.away.Load() }

// Beat takes the result of a heartbeat of this process: whether the database accepted it.
func (s *Spool) Beat(accepted bool) {
	if s == nil {
		return
	}
	s.changed(s.gate.beat(accepted))
	if do := s.onAway.Load(); do != nil && s.Away() {
		(*do)()
	}
}

// Failed notes that the database did not answer a commit.
func (s *Spool) Failed() { s.changed(s.gate.failed()) }

func (s *Spool) changed(changed bool) {
	switch {
	case changed && s.cfg.Off:
	case changed && s.Away():
		s.d.Log.Warn("the database is away; webhooks are kept at the broker until it is back")
	case changed:
		s.d.Log.Info("the database is back; webhooks are stored again")
	}
}

// Put keeps a webhook at the broker. Once it returns nil, the broker has confirmed it. Its errors are
// fault.Unavailable: the broker is away or blocked, the spool is full or too old, or the webhook is
// too large for it. After an error the webhook may still be in the spool.
func (s *Spool) Put(ctx context.Context, w Webhook) error {
	size, err := s.put(ctx, w)
	if err != nil {
		s.d.Metrics.Spooled("refused", 1, size)
		if s.notesRefusal(size) {
			s.d.Log.WarnContext(ctx, "a webhook could not be kept at the broker; its sender is answered 503", "webhook", w.ID, "error", err)
		}
		return err
	}
	s.mu.Lock()
	s.refused = time.Time{}
	s.mu.Unlock()
	s.d.Metrics.Spooled("spooled", 1, size)
	return nil
}

// notesRefusal notes a webhook that could not be spooled, and reports whether to log it: the first
// one, and those that are too large, which say nothing about the others.
func (s *Spool) notesRefusal(size int) bool {
	if size > maxMessage {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.refused.IsZero()
	s.refused = s.d.Now()
	return first
}

func (s *Spool) put(ctx context.Context, w Webhook) (size int, err error) {
	if age := s.age(); age > s.cfg.MaxAge {
		return 0, fault.Unavailable.New("spool_old", "The oldest webhook in the spool has waited for %s; no further ones are taken.", age.Round(time.Second)).After(retryAfter)
	}
	body, err := s.encode(w)
	if err != nil {
		return 0, err
	}
	if len(body) > maxMessage {
		return len(body), fault.Unavailable.New("spool_too_large", "The webhook takes %d bytes in the spool, and it may take %d.", len(body), maxMessage).After(retryAfter)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Confirm) // a sender that left does not send again
	defer cancel()
	if err := s.d.Broker.Publish(ctx, []broker.Message{{Queue: broker.Spool, Body: body}})[0]; err != nil {
		return len(body), err
	}
	s.saw(1, w.ReceivedAt)
	return len(body), nil
}

// retryAfter is also how long a refusal counts: a load balancer that sends nothing meanwhile must try
// again, since only another webhook shows whether the spool takes it.
const retryAfter = 5 * time.Second

// Able returns nil if the spool can take webhooks, as far as this process knows.
func (s *Spool) Able() error {
	switch status := s.d.Broker.Status(); {
	case !status.Publishing || status.Blocked:
		return fault.Unavailable.New("spool_broker", "The broker takes no messages.")
	case s.refusedLately():
		return fault.Unavailable.New("spool_refuses", "The spool did not take the last webhook.")
	case s.age() > s.cfg.MaxAge:
		return fault.Unavailable.New("spool_old", "The spool holds webhooks that have waited for too long.")
	}
	return nil
}

func (s *Spool) refusedLately() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.refused.IsZero() && s.d.Now.Since(s.refused) < retryAfter
}
