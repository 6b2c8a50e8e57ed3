// Package delivery sends stored events to destinations until they are received or
// given up on. It owns processing_jobs, delivery_attempts, destination_breakers and
// dead_letters; its child package destination owns destinations.
//
// A job row is the outbox and the lease in one: what is queued and not published is
// published by the relay, what is running past its lease is queued again. A broker
// message is a hint that names jobs; the claim in the database decides.
package delivery

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"time"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/batch"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/tracing"
)

// Config is how deliveries are made. Operators' settings have their defaults in platform/config;
// New replaces zero values of the others.
type Config struct {
	Queues broker.Names // shown as a job's queueName

	MaxAttempts int           // a budget of attempts, retries included
	RetryBase   time.Duration // wait after the first failure; doubles
	RetryCap    time.Duration // longest wait between attempts, and the longest Retry-After that is honoured
	Timeout     time.Duration // of one attempt, from connect to the answer's last byte
	LockTTL     time.Duration // of the lock in the cache; never longer than the lease

	Concurrency    int           // attempts under way in this process
	PerDestination int           // of these to one destination
	Grace          time.Duration // for attempts under way when the process stops

	// LeaseMargin is how long a claimed job may wait for its slot and for its outcome to
	// be stored, beside the attempt itself.
	LeaseMargin time.Duration

	// A destination is taken for down when, of BreakerVolume attempts or more within a
	// minute, BreakerRate of them failed because of it. It is probed
	// after BreakerProbe, twice that, and so on up to a minute.
	BreakerVolume int
	BreakerRate   float64
	BreakerProbe  time.Duration

	RelayEvery time.Duration // default 1 s
	RelayGrace time.Duration // how long the direct publish may take before the relay does it; default 3 s
}

// Events gives access to stored events.
type Events interface {
	// Deliverables gives what is sent, for each event that exists.
	Deliverables(ctx context.Context, eventIDs []string) ([]contract.Deliverable, error)
	// Originals gives the webhook that each event came with, where it is still kept. It
	// is asked for destinations alone that need it.
	Originals(ctx context.Context, eventIDs []string) ([]contract.Original, error)
	// Renormalize gives the canonical form that each event has now, for replays that order it.
	Renormalize(ctx context.Context, eventIDs []string) ([]contract.Renormalized, error)
	// LockStates locks the events' states in id order and gives them.
	LockStates(ctx context.Context, tx *database.Tx, eventIDs []string) ([]contract.EventState, error)
	// LockFreeStates is LockStates without the events whose states another transaction holds: it
	// waits for none.
	LockFreeStates(ctx context.Context, tx *database.Tx, eventIDs []string) ([]contract.EventState, error)
	// SaveStates overwrites states that tx has locked.
	SaveStates(ctx context.Context, tx *database.Tx, states []contract.EventState) error
	// ActiveIntegrations gives those of ids that are active.
	ActiveIntegrations(ctx context.Context, ids []string) (map[string]bool, error)
}

// Replays is notified of the results of replay requests.
type Replays interface {
	// Orders gives those requests that are still queued, and locks them.
	Orders(ctx context.Context, tx *database.Tx, requestIDs []string) ([]contract.ReplayOrder, error)
	// Dispatched records that jobs for these orders exist.
	Dispatched(ctx context.Context, tx *database.Tx, orders []contract.ReplayOrder) error
	// Ended records the requests' ends.
	Ended(ctx context.Context, tx *database.Tx, ends []contract.ReplayEnd) error
	// Renormalized gives those requests that send the canonical form by the mapping of now.
	Renormalized(ctx context.Context, requestIDs []string) (map[string]bool, error)
}

// Auditor writes the audit trail.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Refusals counts what is audited in sum.
type Refusals interface {
	Refused(r contract.Refusal)
}

// Metrics counts deliveries. Its methods never block.
type Metrics interface {
	// Attempted counts a recorded attempt.
	Attempted(a contract.CountedAttempt)
	// LeasesExpired counts jobs that were taken back from their process.
	LeasesExpired(jobs int)
	// Republished counts jobs that are published again because they were unpublished, or
	// because of a message_lost or queue_lost.
	Republished(cause string, jobs int)
	// Confirmed records how long the broker took to confirm a group of messages.
	Confirmed(took time.Duration)
}

// noMetrics counts nothing.
type noMetrics struct{}

func (noMetrics) Attempted(contract.CountedAttempt) {}
func (noMetrics) LeasesExpired(int)                 {}
func (noMetrics) Republished(string, int)           {}
func (noMetrics) Confirmed(time.Duration)           {}

// Deps is everything delivery needs from the outside.
type Deps struct {
	DB       *database.DB
	Log      *slog.Logger
	Now      clock.Now
	Broker   broker.Broker
	Cache    cache.Cache
	Sender   destination.Sender
	Events   Events
	Replays  Replays
	Replayer Replayer
	Auditor  Auditor
	Sealer   destination.Sealer
	Refusals Refusals
	Peers    Peers           // nil for a worker that is alone
	Metrics  Metrics         // nil for none
	Traces   *tracing.Tracer // nil for none
	Random   func() float64  // in [0, 1); default math/rand
}

// Module is the delivery module.
type Module struct {
	*destination.Store // what operators do with destinations

	cfg          Config
	db           *database.DB
	log          *slog.Logger
	now          clock.Now
	broker       broker.Broker
	cache        cache.Cache
	events       Events
	replays      Replays
	replayer     Replayer
	auditor      Auditor
	refusals     Refusals
	peers        Peers
	random       func() float64
	metrics      Metrics
	traces       *tracing.Tracer
	destinations *destination.Cache
	client       *destination.Client
	publisher    *publisher
	breakers     *breakers
	shares       *shares
	outcomes     *batch.Group[attemptResult, struct{}]
	longRunning  *batch.Group[string, struct{}] // events whose attempts take long
	watermarks   watermarks
	sweepAfter   time.Time // of the relay's loop alone
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	cfg = cfg.withDefaults()
	if d.Random == nil {
		d.Random = rand.Float64
	}
	if d.Peers == nil {
		d.Peers = alone(id.New())
	}
	if d.Metrics == nil {
		d.Metrics = noMetrics{}
	}
	m := &Module{metrics: d.Metrics, traces: d.Traces, cfg: cfg, peers: d.Peers, db: d.DB, log: d.Log.With("module", "delivery"), now: d.Now, broker: d.Broker,
		cache: d.Cache, events: d.Events, replays: d.Replays, replayer: d.Replayer, auditor: d.Auditor, refusals: d.Refusals, random: d.Random}
	m.Store, m.destinations = destination.New(destination.Deps{DB: d.DB, Log: m.log, Now: d.Now, Sender: d.Sender, Sealer: d.Sealer, Auditor: d.Auditor})
	m.client = destination.NewClient(d.Sender, d.Now)
	m.publisher = newPublisher(m)
	m.breakers = &breakers{seen: map[string]*window{}, policy: breakerPolicy{
		volume: cfg.BreakerVolume, rate: cfg.BreakerRate, probe: cfg.BreakerProbe, reach: max(time.Minute, cfg.BreakerProbe)}}
	m.shares = newShares(d.Now, runtime.GOMAXPROCS(0))
	m.outcomes = batch.NewGroup(batch.Config[attemptResult]{Runners: 2, SpawnThreshold: 64, MaxItems: 256}, m.recordAll)
	m.longRunning = batch.NewGroup(batch.Config[string]{Runners: 1, MaxItems: 256}, m.showProcessing)
	return m
}

// Routes registers the module's part of the API.
func (m *Module) Routes(r httpapi.Routes) {
	r.Viewer.Scoped().GET("/deliveries", m.listAttempts, deliveriesSpec)
	r.Viewer.Scoped().GET("/deliveries/errors", m.groupErrors, errorsSpec)
	r.Viewer.Scoped().GET("/dead-letters", m.listDeadLetters, deadLettersSpec)
	r.Viewer.Scoped().GET("/dead-letters/groups", m.groupDeadLetters, groupsSpec)
	r.Viewer.Scoped().GET("/dead-letters/:id", m.getDeadLetter, deadLetterSpec)
	r.Operator.Scoped().POST("/dead-letters/:id/resolve", m.resolveDeadLetter, resolveSpec)
	r.Operator.Scoped().POST("/dead-letters/:id/requeue", m.requeueDeadLetter, requeueSpec)
	r.Operator.Scoped().POST("/dead-letters/requeue", m.requeueDeadLetters, requeueAllSpec)
	r.Operator.Scoped().POST("/dead-letters/resolve", m.resolveDeadLetters, resolveAllSpec)
	r.Operator.Scoped().POST("/events/:id/cancel", m.cancelEvent, cancelSpec)
	r.Operator.Scoped().POST("/events/:id/retry", m.retryEvent, retrySpec)
}

func (c Config) withDefaults() Config {
	setDefault(&c.RelayEvery, time.Second)
	setDefault(&c.RelayGrace, 3*time.Second)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
