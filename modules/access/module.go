// Package access controls who may use the management API. It owns api_keys: keys with a
// role, optionally restricted to sources, stored as hashes. It also accepts the tokens of
// one OpenID Connect issuer. It never shows a key twice, and it knows nothing of routes:
// each route states the role it needs when it is registered.
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

// Config holds the settings for keys.
type Config struct {
	FlushEvery time.Duration // how often last uses are written; default 5 s
}

// Auditor records audit entries in the transaction of the change that they describe.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Sources is what access needs from the module that owns integrations.
type Sources interface {
	// IntegrationsOf returns the ids of the integrations with these sources, by source.
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

// Module manages the management API's keys.
type Module struct {
	cfg      Config
	d        Deps
	cache    keyCache
	lastUses lastUses
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.FlushEvery == 0 {
		cfg.FlushEvery = 5 * time.Second
	}
	return &Module{cfg: cfg, d: d, lastUses: lastUses{byKey: map[string]time.Time{}}}
}

// Routes registers the module's routes. A key that is restricted to sources may use none of
// them, whatever its role: it could create itself an unrestricted key.
func (m *Module) Routes(r httpapi.Routes) {
	r.Admin.POST("/api-keys", m.post, postSpec)
	r.Admin.GET("/api-keys", m.list, listSpec)
	r.Admin.DELETE("/api-keys/:id", m.delete, deleteSpec)
}

// Run writes the last uses of keys until ctx ends, and then the remaining ones.
func (m *Module) Run(ctx context.Context) error {
	tick := time.NewTicker(m.cfg.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.flushLastUses(ctx)
		case <-tick.C:
		}
		if err := m.flushLastUses(ctx); err != nil {
			m.d.Log.WarnContext(ctx, "writing the last uses of keys failed; they stay in memory", "module", "access", "error", err)
		}
	}
}

// audit records a change of a key under the credential that was used.
func (m *Module) audit(ctx context.Context, tx *database.Tx, action string, k Key) error {
	err := m.d.Audit.Record(ctx, tx, []contract.AuditEntry{{EntityType: "api_key", EntityID: &k.ID, Action: action,
		Actor: httpapi.Actor(ctx), Details: k.details()}})
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return nil
}
