// Package ingestion takes webhooks in. It verifies who sent them, maps them to the
// canonical event and stores them once, together with the jobs that will deliver
// them; a 2xx answer promises that commit.
//
// It owns integrations, integration_secrets, webhook_events, idempotency_keys,
// normalized_events and event_states, and their SQL. It refuses to know where events
// go and how: it asks for jobs and for their history through Deps.
package ingestion

import (
	"context"
	"time"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/batch"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

// Config is what can be chosen about taking webhooks in.
type Config struct {
	MaxBodyBytes          int64         // of sources that set none of their own
	RateLimitPerMinute    int           // verified requests per source and client address; 0 turns it off
	FailureLimitPerMinute int           // refused requests per client address; 0 turns it off
	IdempotencyTTL        time.Duration // how long the cache answers repeats; the database always does
	PublicBaseURL         string        // the gateway as senders see it, without a final slash; "" to take it from the request
}

// Auditor writes down what happened.
type Auditor interface {
	// Record writes entries in the caller's transaction.
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
	// Refused counts a request that was turned away. It never blocks.
	Refused(r contract.Refusal)
}

// Scheduler makes the jobs that deliver events.
type Scheduler interface {
	// Schedule makes a job for each active destination of each event, in the caller's
	// transaction, and answers for every event.
	Schedule(ctx context.Context, tx *database.Tx, events []contract.NewEvent) ([]contract.Scheduled, error)
}

// Deliveries tells where events go and what became of them.
type Deliveries interface {
	Destinations(ctx context.Context, integrationIDs []string) ([]contract.Destination, error)
	History(ctx context.Context, eventID string) ([]contract.Attempt, []contract.Job, error)
	Jobs(ctx context.Context, eventID string) ([]contract.Job, error)
}

// Sealer encrypts secrets for the database.
type Sealer interface {
	Seal(value secret.Value) (string, error)
	Open(stored string) (secret.Value, error)
}

// Deps is everything ingestion needs from the outside.
type Deps struct {
	DB         *database.DB
	Cache      cache.Cache
	Now        clock.Now
	Providers  provider.Registry
	Audit      Auditor
	Scheduler  Scheduler
	Deliveries Deliveries
	Sealer     Sealer
	// Fetch gets providers' certificates and opens the pages of their handshakes, by way
	// of the egress client; nil: such providers are answered that it is our outage.
	Fetch Fetch
}

// Module is ingestion.
type Module struct {
	cfg     Config
	d       Deps
	sources *sources
	commits *batch.Group[arrival, receipt]

	certificates *certificates
}

// The bounds of one commit. Two run at once, so that one fills while the other waits
// for the disk.
const (
	committers     = 2
	maxCommitItems = 256
	maxCommitBytes = 8 << 20
)

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	m := &Module{cfg: cfg, d: d, certificates: newCertificates(d.Fetch, d.Now)}
	m.sources = newSources(m.loadSource, d.Now)
	m.commits = batch.NewGroup(batch.Config[arrival]{
		Runners: committers, MaxItems: maxCommitItems, MaxBytes: maxCommitBytes, Size: arrival.size,
	}, m.commit)
	return m
}

// Routes registers the module's routes.
func (m *Module) Routes(r httpapi.Routes) {
	r.Public.POST("/webhooks/:source", m.postWebhook)
	r.Public.GET("/webhooks/:source", m.getWebhook)
	r.Public.HEAD("/webhooks/:source", m.headWebhook)
	r.Management.GET("/providers", m.getProviders)
	r.Management.GET("/integrations", m.getIntegrations)
	r.Management.GET("/events", m.getEvents)
	r.Management.GET("/events/:id", m.getEvent)
	r.Management.GET("/events/:id/status", m.getStatus)
	r.Management.GET("/processing-status/:id", m.getStatus)
}

// Invalidate makes the next webhook of a source see its integration and secrets as
// they are now. Other processes see a change within a second.
func (m *Module) Invalidate(source string) { m.sources.invalidate(source) }

// Close refuses new webhooks and waits for the commits under way.
func (m *Module) Close() { m.commits.Close() }
