// Package audit keeps what happened: an append-only record of every step of an
// event, of every replay, and, in sum, of the requests that were refused. It owns
// audit_entries. It never changes or removes an entry, and it refuses details that
// are not a JSON object.
package audit

import (
	"log/slog"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// Config says how often refusals are written and how long the last write may take.
type Config struct {
	FlushEvery    time.Duration // default 500 ms
	ShutdownGrace time.Duration // default 5 s
}

// Deps is everything audit needs from the outside.
type Deps struct {
	DB  *database.DB
	Log *slog.Logger
	Now clock.Now
}

// Module is the audit trail.
type Module struct {
	cfg      Config
	db       *database.DB
	log      *slog.Logger
	now      clock.Now
	refusals *tally
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.FlushEvery == 0 {
		cfg.FlushEvery = 500 * time.Millisecond
	}
	if cfg.ShutdownGrace == 0 {
		cfg.ShutdownGrace = 5 * time.Second
	}
	return &Module{cfg: cfg, db: d.DB, log: d.Log.With("module", "audit"), now: d.Now, refusals: newTally()}
}

// Routes registers the module's routes.
func (m *Module) Routes(r httpapi.Routes) {
	r.Viewer.GET("/audit-entries", m.list)
}
