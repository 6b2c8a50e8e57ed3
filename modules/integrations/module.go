// Package integrations configures sources: their providers, options, secrets and redactions.
// The API, the command line and files change sources through it; ingestion reads them from
// its snapshot in memory.
//
// It owns integrations and integration_secrets, and their SQL. It does not
// know webhooks and events, and asks for destinations through Deps.
package integrations

import (
	"context"
	"log/slog"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
)

// Config holds the settings of integrations.
type Config struct {
	PublicBaseURL string // the gateway's URL as senders see it, without a final slash; "" if unknown
	// NeedsPublicURL refuses sources whose provider signs the URL if neither they nor
	// PublicBaseURL set it: otherwise the sender would choose it.
	NeedsPublicURL     bool
	MaxSourceBodyBytes int64          // the greatest value that a source may set
	RefusedSecrets     []secret.Value // well-known secrets, which no integration may use
	FlushEvery         time.Duration  // how often match counts are written; default 2 s
	QuarantineTime     time.Duration  // how long refused webhooks are kept; 0 keeps none
}

// Auditor writes the audit trail.
type Auditor interface {
	// Record writes entries in the caller's transaction.
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Destinations configures destinations. Its errors are fault.Invalid, with the invalid fields
// of the destination, and fault.NotFound.
type Destinations interface {
	DestinationCalls
	// Destinations returns the destinations of integrations, as they are shown.
	Destinations(ctx context.Context, integrationIDs []string) ([]contract.Destination, error)
	// CheckDestination validates a new destination without creating it.
	CheckDestination(c contract.DestinationConfig) error
	AddDestination(ctx context.Context, tx *database.Tx, integrationID string, c contract.DestinationConfig) (contract.NewDestination, error)
	ChangeDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, c contract.DestinationConfig) error
	RemoveDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, jobs contract.OpenJobs) error
	// DestinationChanges names the fields that ChangeDestination with c would change.
	DestinationChanges(ctx context.Context, tx *database.Tx, integrationID, destinationID string, c contract.DestinationConfig) ([]string, error)
	// RawDestinations returns the ids of the destinations in raw mode.
	RawDestinations(ctx context.Context, tx *database.Tx, integrationID string) ([]string, error)
	// PauseDestination stops deliveries, until a time if one is given.
	PauseDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, o contract.PauseOrder) error
	// ResumeDestination has deliveries go on.
	ResumeDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string) error
	// RotateSigningSecret returns the new secret, which is not shown again.
	RotateSigningSecret(ctx context.Context, tx *database.Tx, integrationID, destinationID string) (string, error)
	// CloseIntegration cancels the open jobs of an integration's destinations, or lets them
	// finish.
	CloseIntegration(ctx context.Context, tx *database.Tx, integrationID string, jobs contract.OpenJobs) error
}

// Sealer encrypts secrets for the database.
type Sealer interface {
	// Seal encrypts a value for a place; Open decrypts it only for the same place.
	Seal(at secret.Place, value secret.Value) (string, error)
	Open(at secret.Place, stored string) (secret.Value, error)
}

// Deps is everything integrations needs from the outside.
type Deps struct {
	DB           *database.DB
	Log          *slog.Logger
	Now          clock.Now
	Providers    provider.Registry
	Audit        Auditor
	Destinations Destinations
	Sealer       Sealer
}

// Module is integrations.
type Module struct {
	cfg       Config
	d         Deps
	snapshots *snapshots
	matches   *matches
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.FlushEvery == 0 {
		cfg.FlushEvery = 2 * time.Second
	}
	m := &Module{cfg: cfg, d: d, matches: newMatches()}
	m.snapshots = newSnapshots(m.load, d.Now)
	return m
}

// Routes registers the module's routes.
func (m *Module) Routes(r httpapi.Routes) {
	r.Viewer.Scoped().GET("/providers", m.getProviders, providersSpec)
	r.Viewer.Scoped().GET("/integrations", m.getIntegrations, integrationsSpec)
	r.Admin.POST("/integrations", m.postIntegration, createSpec)
	r.Admin.POST("/integrations/apply", m.postApply, applySpec)
	r.Viewer.Scoped().GET("/integrations/:id", m.getIntegration, integrationSpec)
	r.Admin.Scoped().PATCH("/integrations/:id", m.patchIntegration, changeSpec)
	r.Admin.Scoped().DELETE("/integrations/:id", m.deleteIntegration, archiveSpec)
	r.Viewer.Scoped().GET("/integrations/:id/secrets", m.getSecrets, secretsSpec)
	r.Admin.Scoped().POST("/integrations/:id/secrets", m.postSecret, addSecretSpec)
	r.Admin.Scoped().POST("/integrations/:id/rotate-secret", m.postRotation, rotateSecretSpec)
	r.Admin.Scoped().PATCH("/integrations/:id/secrets/:secretId", m.patchSecret, changeSecretSpec)
	r.Admin.Scoped().POST("/integrations/:id/secrets/:secretId/reveal", m.postReveal, revealSpec)
	r.Admin.Scoped().DELETE("/integrations/:id/secrets/:secretId", m.deleteSecret, removeSecretSpec)
	r.Admin.Scoped().POST("/integrations/:id/destinations", m.postDestination, addDestinationSpec)
	r.Admin.Scoped().PATCH("/integrations/:id/destinations/:destinationId", m.patchDestination, changeDestinationSpec)
	r.Admin.Scoped().DELETE("/integrations/:id/destinations/:destinationId", m.deleteDestination, removeDestinationSpec)
	r.Admin.Scoped().POST("/integrations/:id/destinations/:destinationId/rotate-secret", m.rotateSigningSecret, rotateSpec)
	r.Operator.Scoped().POST("/integrations/:id/destinations/:destinationId/pause", m.postPause, pauseSpec)
	r.Operator.Scoped().POST("/integrations/:id/destinations/:destinationId/resume", m.postResume, resumeSpec)
	r.Operator.Scoped().POST("/integrations/:id/destinations/:destinationId/test", m.postTest, testDestinationSpec)
	r.Operator.Scoped().POST("/integrations/:id/destinations/:destinationId/probe", m.postProbe, probeDestinationSpec)
}

// KnowSources loads all sources, so that the first webhook finds them in memory, even if the
// database has become unavailable. From then on Run keeps them up to date.
func (m *Module) KnowSources(ctx context.Context) error { return m.snapshots.refresh(ctx, "") }

// Run keeps the sources in memory up to date and flushes match counts until ctx ends. Then it
// closes the module and logs what could not be written.
func (m *Module) Run(ctx context.Context) error {
	go m.snapshots.follow(ctx)
	flush := time.NewTicker(m.cfg.FlushEvery)
	defer flush.Stop()
	log := m.d.Log.With("module", "integrations")
	for {
		select {
		case <-ctx.Done():
			if err := m.Close(); err != nil { // it does not fail the shutdown
				log.ErrorContext(ctx, "could not write match counts of secrets; the latest are lost", "error", err)
			}
			return nil
		case <-flush.C:
			if err := m.flushMatches(ctx); err != nil {
				log.WarnContext(ctx, "could not write match counts of secrets; they stay in memory for the next try", "error", err)
			}
		}
	}
}

// Close flushes match counts. It returns an error if that fails.
func (m *Module) Close() error { return m.flushMatches(context.Background()) }
