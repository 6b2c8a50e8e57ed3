// Package ingestion receives webhooks. It verifies each one, maps it to canonical events
// and stores them once, in the same transaction as the jobs that will deliver them. A 2xx
// answer promises that commit.
//
// Where the database is away, verified webhooks wait in package spool.
//
// It owns webhook_events, header_sets, idempotency_keys, normalized_events, event_states, quarantine,
// quarantine_drops, quarantine_erasures and erasure_marks, and their SQL. It does not know how sources are configured, nor where
// events are delivered: it asks for sources, jobs and their history through Deps.
package ingestion

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/go-jose/go-jose/v4"

	"integration-gateway/modules/ingestion/spool"
	"integration-gateway/platform/batch"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/tracing"
)

// Config holds the settings of ingestion.
type Config struct {
	MaxBodyBytes          int64         // for sources that do not set their own
	RateLimitPerMinute    int           // verified requests per source and client address; 0 turns it off
	FailureLimitPerMinute int           // refused requests per client address; 0 turns it off
	IdempotencyTTL        time.Duration // how long the cache remembers keys; the database always does
	PublicBaseURL         string        // the gateway's URL as senders see it, without a final slash; "" takes it from the request

	// ClientCertHeader is the header in which TrustedProxies report client certificates; "" for none.
	ClientCertHeader string
	TrustedProxies   []netip.Prefix

	OwnSecrets []secret.Value // the gateway's own secrets: stored headers that hold one are redacted
	// StoreTimeout bounds how long a webhook waits for its commit, including the commits
	// ahead of it; default 8 s. Its group may still commit afterwards: the sender's retry is
	// then a duplicate.
	StoreTimeout time.Duration
	FlushEvery   time.Duration // how often buffered data is written; default 2 s
	Quarantine   Quarantine

	PossibleReplays PossibleReplays
}

// Sources gives the configured sources.
type Sources interface {
	// Source returns the active source of that name from memory. It waits for the database
	// only until the first load. Its errors are fault.NotFound and fault.Unavailable.
	Source(ctx context.Context, name string) (*provider.Source, error)
	// SourceNow reads the source from the database. A fault.Conflict says why it accepts no
	// webhooks.
	SourceNow(ctx context.Context, name string) (*provider.Source, error)
	// SourceWith returns a source as it would be with other options; fault.Invalid says what is
	// wrong with them, and fault.NotFound that it is unknown or inactive.
	SourceWith(ctx context.Context, name string, o provider.Options) (*provider.Source, error)
	// StoreArrivedSecret stores a secret that a handshake brings, until an operator confirms it.
	// Its errors are fault.Conflict and fault.Unauthorized.
	StoreArrivedSecret(ctx context.Context, integrationID string, arrived provider.ArrivedSecret, sourceIP string) error
	// Matched counts a webhook that a secret verified. It does not block.
	Matched(secretID string, at time.Time)
	// ActiveIntegrations returns the active ones among ids.
	ActiveIntegrations(ctx context.Context, ids []string) (map[string]bool, error)
	// SourcesOfProvider names the sources that use a provider, inactive ones included.
	SourcesOfProvider(ctx context.Context, name string) ([]string, error)
}

// Auditor writes the audit trail.
type Auditor interface {
	// Record writes entries in the caller's transaction.
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
	// Refused counts a refused request. It never blocks.
	Refused(r contract.Refusal)
}

// source is a configured source together with the secrets that are never stored.
type source struct {
	*provider.Source
	ownSecrets []secret.Value // the gateway's own
}

func (m *Module) withOwnSecrets(s *provider.Source) *source { return &source{s, m.cfg.OwnSecrets} }

// find returns the source of that name, active or disabled.
func (m *Module) find(ctx context.Context, name string) (*source, error) {
	found, err := m.d.Sources.Source(ctx, name)
	if err != nil {
		return nil, err
	}
	return m.withOwnSecrets(found), nil
}

// Scheduler creates the jobs that deliver events.
type Scheduler interface {
	// Route evaluates the destinations' filters and stores the answers in the events. It may
	// be slow, so it runs before the transaction.
	Route(ctx context.Context, events []contract.NewEvent)
	// Schedule creates a job for each event and destination whose filter matched, in the
	// caller's transaction. It returns a result for every event.
	Schedule(ctx context.Context, tx *database.Tx, events []contract.NewEvent) ([]contract.Scheduled, error)
}

// Deliveries gives the delivery history of events.
type Deliveries interface {
	History(ctx context.Context, eventID string) ([]contract.Attempt, []contract.Job, error)
	Jobs(ctx context.Context, eventID string) ([]contract.Job, error)
}

// Metrics counts webhooks. Its methods never block.
type Metrics interface {
	// Received counts an answered webhook by its outcome: accepted, duplicate, handshake,
	// refused or failed. traceID is that of its event, "" if it is not traced.
	Received(source, outcome string, began time.Time, took time.Duration, traceID string)
	Refused(source, reason string)
	// SecretMatched records that the source's newest secret, or an older one, verified.
	SecretMatched(source string, newest bool, at time.Time)
	// Committed counts a commit; traceID is that of one of its events, or "".
	Committed(webhooks int, took time.Duration, traceID string)
	// Dropped counts refused requests that are not put into quarantine.
	Dropped(source string, requests int64)
}

// noMetrics counts nothing.
type noMetrics struct{}

func (noMetrics) Received(string, string, time.Time, time.Duration, string) {}
func (noMetrics) Refused(string, string)                                    {}
func (noMetrics) SecretMatched(string, bool, time.Time)                     {}
func (noMetrics) Committed(int, time.Duration, string)                      {}
func (noMetrics) Dropped(string, int64)                                     {}

// KeySets gives the keys that issuers publish.
type KeySets interface {
	// Keys returns the keys at an address, with the one of that id if there is one. Its errors
	// are fault.Unavailable.
	Keys(ctx context.Context, url, keyID string) ([]jose.JSONWebKey, error)
}

// Digester makes keyed hashes, and encrypts.
type Digester interface {
	Digest(text string) string
	// Matches reports, in constant time, whether digest is text's, under the current key or
	// an earlier one.
	Matches(text, digest string) bool
	// Seal encrypts a text for a place, and Open decrypts it.
	Seal(at secret.Place, value secret.Value) (string, error)
	Open(at secret.Place, stored string) (secret.Value, error)
}

// Deps is everything ingestion needs from the outside.
type Deps struct {
	DB         *database.DB
	Log        *slog.Logger
	Cache      cache.Cache
	Now        clock.Now
	Sources    Sources
	Audit      Auditor
	Scheduler  Scheduler
	Deliveries Deliveries
	Digester   Digester
	Metrics    Metrics         // nil for none
	Traces     *tracing.Tracer // nil for none
	// Fetch downloads providers' certificates and opens handshake pages through the egress
	// client. If it is nil, requests that need it end in fault.Unavailable.
	Fetch Fetch
	Spool *spool.Spool // nil for none
	// KeySets gives issuers' keys. If it is nil, requests that need them end in
	// fault.Unavailable.
	KeySets KeySets
}

// Module is ingestion.
type Module struct {
	cfg     Config
	d       Deps
	commits *batch.Group[verifiedWebhook, receipt]
	blocked blockedClients

	quarantine *quarantineBuffer
	headerSets *headerSets

	certificates *certificates

	refusedTraces refusedTracer
}

// The bounds of one commit. A second commit starts only when spawnThreshold webhooks wait:
// one shared commit costs the database much less than several small ones.
const (
	committers     = 2
	spawnThreshold = 32
	maxCommitItems = 256
	maxCommitBytes = 8 << 20
)

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.StoreTimeout == 0 {
		cfg.StoreTimeout = 8 * time.Second
	}
	if cfg.FlushEvery == 0 {
		cfg.FlushEvery = 2 * time.Second
	}
	if d.Metrics == nil {
		d.Metrics = noMetrics{}
	}
	m := &Module{cfg: cfg, d: d, quarantine: newQuarantineBuffer(cfg.Quarantine), headerSets: newHeaderSets(), certificates: newCertificates(d.Fetch, d.Now)}
	m.quarantine.dropped = d.Metrics.Dropped
	m.commits = batch.NewGroup(batch.Config[verifiedWebhook]{
		Runners: committers, SpawnThreshold: spawnThreshold, MaxItems: maxCommitItems, MaxBytes: maxCommitBytes, Size: verifiedWebhook.size,
	}, m.commit)
	if d.Spool.Takes() {
		d.Spool.OnAway(func() { m.commits.Fail(away()) })
	}
	return m
}

// Routes registers the module's routes.
func (m *Module) Routes(r httpapi.Routes) {
	for _, address := range []string{"/webhooks/:source", "/webhooks/:source/:first", "/webhooks/:source/:first/:second"} {
		r.Public.POST(address, m.postWebhook, webhookSpec)
		r.Public.PUT(address, m.postWebhook, putSpec)
		r.Public.GET(address, m.checkWebhook, challengeSpec)
		r.Public.OPTIONS(address, m.checkWebhook, preflightSpec)
		r.Public.HEAD(address, m.headWebhook, probeSpec)
	}
	m.quarantineRoutes(r)
	r.Viewer.Scoped().GET("/events", m.getEvents, eventsSpec)
	r.Viewer.Scoped().GET("/events/:id", m.getEvent, eventSpec)
	r.Viewer.Scoped().GET("/events/:id/status", m.getStatus, statusSpec)
	r.Viewer.Scoped().GET("/processing-status/:id", m.getStatus, statusSpec)
	r.Admin.Scoped().POST("/events/:id/mapping", m.previewMapping, mappingSpec)
}

// Run flushes the quarantine buffer, purges expired requests, and stores header sets and spooled webhooks until
// ctx ends. Then it closes the module and logs what could not be written.
func (m *Module) Run(ctx context.Context) error {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		m.drainSpool(ctx)
	}()
	defer func() { <-drained }()
	tick := time.NewTicker(m.cfg.FlushEvery)
	defer tick.Stop()
	log := m.d.Log.With("module", "ingestion")
	kept := clock.Monotonic()
	for {
		select {
		case <-ctx.Done():
			if err := m.Close(); err != nil { // no event is lost, so it does not fail the shutdown
				log.ErrorContext(ctx, "could not write the quarantine buffer; its refused requests are lost", "error", err)
			}
			return nil
		case <-tick.C:
		}
		if err := m.flushQuarantine(ctx); err != nil {
			log.WarnContext(ctx, "could not write refused requests; they stay in memory for the next try", "error", err)
		}
		if err := m.flushHeaderSets(ctx); err != nil {
			log.WarnContext(ctx, "could not store a set of headers; webhooks are stored with their headers in full", "error", err)
		}
		if clock.Monotonic()-kept >= keepSetsEvery {
			kept = clock.Monotonic()
			if err := m.keepHeaderSets(ctx); err != nil {
				log.WarnContext(ctx, "could not make sure that the sets of headers are stored; will retry", "error", err)
			}
		}
		if n := m.quarantine.takeDropCount(); n > 0 {
			log.WarnContext(ctx, "refused requests were dropped; GET /quarantine/summary lists sources and causes", "requests", n)
		}
	}
}

// Close refuses new webhooks, waits for running commits and flushes the quarantine buffer.
// It returns an error if the flush fails.
func (m *Module) Close() error {
	m.commits.Close()
	return m.flushQuarantine(context.Background())
}
