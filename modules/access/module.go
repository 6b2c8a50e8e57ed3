// Package access says who may use the management API. It owns api_keys: keys with a role
// and, where wanted, confined to sources, kept as hashes; beside them it knows the tokens
// of one issuer. It refuses to show a key a second time, and it knows nothing of routes:
// each says at its registration which role it needs.
package access

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// Config is what can be chosen about keys.
type Config struct {
	FlushEvery time.Duration // how often the last uses are written; default 5 s
}

// Auditor keeps what happened, in the transaction in which it happened.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Sources is what access needs of whoever keeps integrations.
type Sources interface {
	// IntegrationsOf gives the ids of the integrations that have these sources, by source.
	IntegrationsOf(ctx context.Context, sources []string) (map[string]string, error)
}

// Deps is everything access needs from the outside.
type Deps struct {
	DB      *database.DB
	Log     *slog.Logger
	Now     clock.Now
	Audit   Auditor
	Sources Sources
}

// Module is the management API's keys.
type Module struct {
	cfg  Config
	d    Deps
	live live
	uses uses
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.FlushEvery == 0 {
		cfg.FlushEvery = 5 * time.Second
	}
	return &Module{cfg: cfg, d: d, uses: uses{of: map[string]time.Time{}}}
}

// Routes registers the module's routes. A key that is confined to sources may use none of
// them, whatever its role: it could make itself one that is not.
func (m *Module) Routes(r httpapi.Routes) {
	r.Admin.POST("/api-keys", m.post)
	r.Admin.GET("/api-keys", m.list)
	r.Admin.DELETE("/api-keys/:id", m.delete)
}

// Run writes when keys were last used, until ctx ends, and then what is left.
func (m *Module) Run(ctx context.Context) error {
	tick := time.NewTicker(m.cfg.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.flushUses(ctx)
		case <-tick.C:
		}
		if err := m.flushUses(ctx); err != nil {
			m.d.Log.WarnContext(ctx, "the last uses of keys are kept in memory until they can be written", "module", "access", "error", err)
		}
	}
}

// audit records what became of a key, under the credential that was used.
func (m *Module) audit(ctx context.Context, tx *database.Tx, action string, k Key) error {
	err := m.d.Audit.Record(ctx, tx, []contract.AuditEntry{{EntityType: "api_key", EntityID: &k.ID, Action: action,
		Actor: httpapi.Actor(ctx), Details: k.details()}})
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return nil
}
