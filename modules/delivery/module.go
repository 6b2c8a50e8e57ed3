// Package delivery sends stored events to destinations until they are received or
// given up on. It owns destinations, processing_jobs, delivery_attempts and
// dead_letters.
//
// A job row is the outbox and the lease in one: what is queued and not published is
// published by the relay, what is running past its lease is queued again. A broker
// message is a hint that names jobs; the claim in the database decides.
package delivery

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"integration-gateway/modules/delivery/expression"
	"integration-gateway/platform/batch"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

// Config is how deliveries are made. New replaces zero values with the defaults.
type Config struct {
	Queues broker.Names // shown as a job's queueName

	MaxAttempts int           // a budget of attempts, retries included; default 15
	RetryBase   time.Duration // wait after the first failure; doubles; default 5 s
	RetryCap    time.Duration // longest wait between attempts, and the longest Retry-After that is honoured; default 30 min
	Timeout     time.Duration // of one attempt, from connect to the answer's last byte; default 15 s
	LockTTL     time.Duration // of the lock in the cache; never longer than the lease; default 60 s

	Concurrency    int           // attempts under way in this process; default 256
	PerDestination int           // of these to one destination; default 64
	Grace          time.Duration // for attempts under way when the process stops; default 15 s

	// LeaseMargin is how long a claimed job may wait for its turn and for its outcome to
	// be stored, beside the attempt itself; default 30 s.
	LeaseMargin time.Duration

	// A destination is taken for down when, of BreakerVolume attempts or more within a
	// minute, BreakerRate failed for reasons of its own; defaults 20 and 0.8. It is probed
	// after BreakerProbe, twice that, and so on up to a minute; default 5 s.
	BreakerVolume int
	BreakerRate   float64
	BreakerProbe  time.Duration

	RelayEvery time.Duration // default 1 s
	RelayGrace time.Duration // how long the direct publish may take before the relay does it; default 5 s
}

// Events is what delivery needs from whoever stores events.
type Events interface {
	// Deliverables gives what is sent, for each event that exists.
	Deliverables(ctx context.Context, eventIDs []string) ([]contract.Deliverable, error)
	// Originals gives the webhook that each event came with, where it is still kept. It
	// is asked for destinations alone that need it.
	Originals(ctx context.Context, eventIDs []string) ([]contract.Original, error)
	// LockStates locks the events' states in id order and gives them.
	LockStates(ctx context.Context, tx *database.Tx, eventIDs []string) ([]contract.EventState, error)
	// SaveStates overwrites states that tx has locked.
	SaveStates(ctx context.Context, tx *database.Tx, states []contract.EventState) error
	// ActiveIntegrations gives those of ids that are active.
	ActiveIntegrations(ctx context.Context, ids []string) (map[string]bool, error)
}

// Replays is what delivery tells whoever keeps replay requests.
type Replays interface {
	// Orders gives those requests that are still queued, and locks them.
	Orders(ctx context.Context, tx *database.Tx, requestIDs []string) ([]contract.ReplayOrder, error)
	// Dispatched records that jobs for these orders exist.
	Dispatched(ctx context.Context, tx *database.Tx, orders []contract.ReplayOrder) error
	// Ended records the requests' ends.
	Ended(ctx context.Context, tx *database.Tx, ends []contract.ReplayEnd) error
}

// Auditor writes the audit trail.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Sealer encrypts signing secrets for the database.
type Sealer interface {
	Seal(value secret.Value) (string, error)
	Open(stored string) (secret.Value, error)
}

// Sender makes outbound requests; its errors are egress's.
type Sender interface {
	// Do sends req; own is the destination's TLS configuration, nil for the usual.
	Do(req *http.Request, own *egress.TLS) (egress.Response, error)
	// Forget ends the connections under a TLS configuration that is used no more.
	Forget(own *egress.TLS)
}

// Deps is everything delivery needs from the outside.
type Deps struct {
	DB       *database.DB
	Log      *slog.Logger
	Now      clock.Now
	Broker   broker.Broker
	Cache    cache.Cache
	Sender   Sender
	Events   Events
	Replays  Replays
	Replayer Replayer
	Auditor  Auditor
	Sealer   Sealer
	Random   func() float64 // in [0, 1); default math/rand
}

// Module is the delivery module.
type Module struct {
	cfg       Config
	db        *database.DB
	log       *slog.Logger
	now       clock.Now
	broker    broker.Broker
	cache     cache.Cache
	sender    Sender
	events    Events
	replays   Replays
	replayer  Replayer
	auditor   Auditor
	random    func() float64
	directory *directory
	publisher *publisher
	breakers  *breakers
	tokens    *tokens
	outcomes  *batch.Group[outcome, struct{}]
	lasting   *batch.Group[string, struct{}] // events whose attempts take long
	watermark watermark
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	cfg = cfg.withDefaults()
	if d.Random == nil {
		d.Random = rand.Float64
	}
	m := &Module{cfg: cfg, db: d.DB, log: d.Log.With("module", "delivery"), now: d.Now, broker: d.Broker,
		cache: d.Cache, sender: d.Sender, events: d.Events, replays: d.Replays, replayer: d.Replayer, auditor: d.Auditor, random: d.Random}
	m.directory = &directory{db: d.DB, now: d.Now, sealer: d.Sealer, sender: d.Sender, lang: expression.New(), log: m.log}
	m.publisher = newPublisher(m)
	m.breakers = &breakers{seen: map[string]*window{}, policy: breakerPolicy{
		volume: cfg.BreakerVolume, rate: cfg.BreakerRate, probe: cfg.BreakerProbe, reach: max(time.Minute, cfg.BreakerProbe)}}
	m.tokens = newTokens(d.Sender, d.Now)
	m.outcomes = batch.NewGroup(batch.Config[outcome]{Runners: 2, Crowd: 64, MaxItems: 256}, m.recordAll)
	m.lasting = batch.NewGroup(batch.Config[string]{Runners: 1, MaxItems: 256}, m.showProcessing)
	return m
}

// Routes registers the module's part of the API.
func (m *Module) Routes(r httpapi.Routes) {
	r.Viewer.Scoped().GET("/deliveries", m.listAttempts)
	r.Viewer.Scoped().GET("/dead-letters", m.listDeadLetters)
	r.Viewer.Scoped().GET("/dead-letters/:id", m.getDeadLetter)
	r.Operator.Scoped().POST("/dead-letters/:id/requeue", m.requeueDeadLetter)
	r.Operator.Scoped().POST("/dead-letters/requeue", m.requeueDeadLetters)
	r.Operator.Scoped().POST("/events/:id/cancel", m.cancelEvent)
	r.Operator.Scoped().POST("/events/:id/retry", m.retryEvent)
}

func (c Config) withDefaults() Config {
	setDefault(&c.Queues, broker.Names{Process: "ig.events.process", Retry: "ig.events.retry", Replay: "ig.events.replay", Dead: "ig.events.dead"})
	setDefault(&c.MaxAttempts, 15)
	setDefault(&c.RetryBase, 5*time.Second)
	setDefault(&c.RetryCap, 30*time.Minute)
	setDefault(&c.Timeout, 15*time.Second)
	setDefault(&c.LockTTL, time.Minute)
	setDefault(&c.LeaseMargin, 30*time.Second)
	setDefault(&c.BreakerVolume, 20)
	setDefault(&c.BreakerRate, 0.8)
	setDefault(&c.BreakerProbe, 5*time.Second)
	setDefault(&c.Concurrency, 256)
	setDefault(&c.PerDestination, 64)
	setDefault(&c.Grace, 15*time.Second)
	setDefault(&c.RelayEvery, time.Second)
	setDefault(&c.RelayGrace, 5*time.Second)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
