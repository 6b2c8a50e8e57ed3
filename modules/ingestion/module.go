// Package ingestion takes webhooks in. It verifies who sent them, maps them to the
// canonical event and stores them once, together with the jobs that will deliver
// them; a 2xx answer promises that commit.
//
// It owns integrations, integration_secrets, webhook_events, idempotency_keys,
// normalized_events, event_states and quarantine, and their SQL. It refuses to know where
// events go and how: it asks for jobs and for their history through Deps.
package ingestion

import (
	"context"
	"errors"
	"log/slog"
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

	MaxSourceBodyBytes int64          // what a source may set as its own
	RefusedSecrets     []secret.Value // secrets that no integration may be given: those that everybody knows
	OwnSecrets         []secret.Value // the gateway's own: headers that hold one are stored without it
	// StoreTimeout bounds the wait of one webhook for its commit, those before it included;
	// default 8 s. Its group may still commit: the sender's next try is then a repeat.
	StoreTimeout time.Duration
	FlushEvery   time.Duration // how often what is kept in memory is written; default 2 s
	Quarantine   Quarantine
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

// Destinations sets up where events go. Errors are fault.Invalid, with the fields of
// the destination that are wrong, or fault.NotFound.
type Destinations interface {
	// CheckDestination finds what is wrong with a new destination, without making it.
	CheckDestination(c contract.DestinationConfig) error
	AddDestination(ctx context.Context, tx *database.Tx, integrationID string, c contract.DestinationConfig) (contract.NewDestination, error)
	ChangeDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, c contract.DestinationConfig) error
	RemoveDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, jobs contract.OpenJobs) error
	// DestinationChanges names the fields that ChangeDestination with c would change.
	DestinationChanges(ctx context.Context, tx *database.Tx, integrationID, destinationID string, c contract.DestinationConfig) ([]string, error)
	// RawDestinations gives the ids of those that are sent the provider's own body.
	RawDestinations(ctx context.Context, tx *database.Tx, integrationID string) ([]string, error)
	// RotateSigningSecret gives the new secret, which is not shown again.
	RotateSigningSecret(ctx context.Context, tx *database.Tx, integrationID, destinationID string) (string, error)
	// CloseIntegration ends what waits for an integration's destinations, or leaves it to
	// be finished.
	CloseIntegration(ctx context.Context, tx *database.Tx, integrationID string, jobs contract.OpenJobs) error
}

// Sealer encrypts secrets for the database.
type Sealer interface {
	Seal(value secret.Value) (string, error)
	Open(stored string) (secret.Value, error)
	// Digest is a keyed hash.
	Digest(text string) string
	// Matches reports, in constant time, whether a digest was made of text, under this key
	// or one before it.
	Matches(text, digest string) bool
}

// Deps is everything ingestion needs from the outside.
type Deps struct {
	DB           *database.DB
	Log          *slog.Logger
	Cache        cache.Cache
	Now          clock.Now
	Providers    provider.Registry
	Audit        Auditor
	Scheduler    Scheduler
	Deliveries   Deliveries
	Destinations Destinations
	Sealer       Sealer
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
	matches *matches
	cell    *cell
	beyond  beyond

	certificates *certificates
}

// The bounds of one commit. A second one runs beside it when so many wait: what a few
// share costs the database much less than one each.
const (
	committers     = 2
	crowd          = 32
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
	m := &Module{cfg: cfg, d: d, matches: newMatches(), cell: newCell(cfg.Quarantine), certificates: newCertificates(d.Fetch, d.Now)}
	m.sources = newSources(m.loadSource, d.Now)
	m.commits = batch.NewGroup(batch.Config[arrival]{
		Runners: committers, Crowd: crowd, MaxItems: maxCommitItems, MaxBytes: maxCommitBytes, Size: arrival.size,
	}, m.commit)
	return m
}

// Routes registers the module's routes.
func (m *Module) Routes(r httpapi.Routes) {
	r.Public.POST("/webhooks/:source", m.postWebhook)
	r.Public.GET("/webhooks/:source", m.getWebhook)
	r.Public.HEAD("/webhooks/:source", m.headWebhook)
	r.Viewer.Scoped().GET("/providers", m.getProviders)
	m.integrationRoutes(r)
	m.quarantineRoutes(r)
	r.Viewer.Scoped().GET("/events", m.getEvents)
	r.Viewer.Scoped().GET("/events/:id", m.getEvent)
	r.Viewer.Scoped().GET("/events/:id/status", m.getStatus)
	r.Viewer.Scoped().GET("/processing-status/:id", m.getStatus)
}

func (m *Module) integrationRoutes(r httpapi.Routes) {
	r.Viewer.Scoped().GET("/integrations", m.getIntegrations)
	r.Admin.POST("/integrations", m.postIntegration)
	r.Viewer.Scoped().GET("/integrations/:id", m.getIntegration)
	r.Admin.Scoped().PATCH("/integrations/:id", m.patchIntegration)
	r.Admin.Scoped().DELETE("/integrations/:id", m.deleteIntegration)
	r.Viewer.Scoped().GET("/integrations/:id/secrets", m.getSecrets)
	r.Admin.Scoped().POST("/integrations/:id/secrets", m.postSecret)
	r.Admin.Scoped().PATCH("/integrations/:id/secrets/:secretId", m.patchSecret)
	r.Admin.Scoped().DELETE("/integrations/:id/secrets/:secretId", m.deleteSecret)
	r.Admin.Scoped().POST("/integrations/:id/destinations", m.postDestination)
	r.Admin.Scoped().PATCH("/integrations/:id/destinations/:destinationId", m.patchDestination)
	r.Admin.Scoped().DELETE("/integrations/:id/destinations/:destinationId", m.deleteDestination)
	r.Admin.Scoped().POST("/integrations/:id/destinations/:destinationId/rotate-secret", m.rotateSigningSecret)
}

// Invalidate makes the next webhook of a source see its integration and secrets as
// they are now. Other processes see a change within a second.
func (m *Module) Invalidate(source string) { m.sources.invalidate(source) }

// Run writes what is kept in memory off the hot path, and removes what has been in
// quarantine for long enough, until ctx ends; then it closes the module.
func (m *Module) Run(ctx context.Context) error {
	tick := time.NewTicker(m.cfg.FlushEvery)
	defer tick.Stop()
	log := m.d.Log.With("module", "ingestion")
	for {
		select {
		case <-ctx.Done():
			return m.Close()
		case <-tick.C:
		}
		if err := m.flushMatches(ctx); err != nil {
			log.WarnContext(ctx, "matches of secrets are kept in memory until they can be written", "error", err)
		}
		if err := m.flushQuarantine(ctx); err != nil {
			log.WarnContext(ctx, "refused requests are kept in memory until they can be written", "error", err)
		}
		if n := m.cell.lost(); n > 0 {
			log.WarnContext(ctx, "refused requests did not fit into quarantine", "requests", n)
		}
	}
}

// Close refuses new webhooks, waits for the commits under way, and writes what is still
// in memory. Its error says that this could not be.
func (m *Module) Close() error {
	m.commits.Close()
	ctx := context.Background()
	return errors.Join(m.flushMatches(ctx), m.flushQuarantine(ctx))
}
