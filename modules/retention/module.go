// Package retention limits the size of the records: it creates partitions in advance, and
// removes records past their retention. It owns no table, and as the only module may delete
// from all growing tables. It never removes an unfinished event or its rows.
//
// On PostgreSQL it drops whole partitions without blocking anyone. On SQLite, and in the
// partition that holds everything older than the others, it deletes rows in small
// transactions.
package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// Auditor writes audit entries with the rows of a transaction.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Trail is what retention tells the audit trail.
type Trail interface {
	// Retain seals that entries from before a time may be missing, and removes the seals that have none left.
	Retain(ctx context.Context, before time.Time) error
}

// Config says how long records are kept; 0 keeps them for ever. New replaces the other zero
// values with the defaults.
type Config struct {
	Events time.Duration // events and their rows; at least as long as duplicates are detected
	Audit  time.Duration

	Every      time.Duration // default an hour
	RetryAfter time.Duration // after a failure; default a minute
	Batch      int           // rows removed in one transaction; default 200
}

// Deps is everything retention needs from the outside.
type Deps struct {
	DB    *database.DB
	Log   *slog.Logger
	Now   clock.Now
	Audit Auditor
	Trail Trail
	// Succeeded is told when a round is complete. Nil is allowed.
	Succeeded func(at time.Time)
}

// Module maintains the records.
type Module struct {
	cfg Config
	d   Deps
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.Every == 0 {
		cfg.Every = time.Hour
	}
	if cfg.RetryAfter == 0 {
		cfg.RetryAfter = time.Minute
	}
	if cfg.Batch == 0 {
		cfg.Batch = 200
	}
	if d.Succeeded == nil {
		d.Succeeded = func(time.Time) {}
	}
	d.Log = d.Log.With("module", "retention")
	return &Module{cfg: cfg, d: d}
}

// Run maintains the records immediately and then periodically, until ctx ends. Of several
// processes, one does the work.
func (m *Module) Run(ctx context.Context) error {
	for {
		pause := m.cfg.Every
		if err := m.RunOnce(ctx); err != nil && ctx.Err() == nil {
			m.d.Log.ErrorContext(ctx, "maintaining the records failed", "error", err, "retry_in", m.cfg.RetryAfter.String())
			pause = m.cfg.RetryAfter
		}
		if !clock.Sleep(ctx, pause) {
			return nil
		}
	}
}

// RunOnce creates missing partitions and removes old records, once. If another process is
// removing records, it leaves that to it.
func (m *Module) RunOnce(ctx context.Context) error {
	made, err := m.d.DB.CreatePartitions(ctx)
	if len(made) > 0 {
		m.d.Log.InfoContext(ctx, "created partitions", "partitions", made)
	}
	ran, removing := m.d.DB.Maintain(ctx, func(k *database.Maintenance) error {
		r := &removal{Module: m, maintenance: k, rows: map[string]int64{}}
		return errors.Join(r.run(ctx), r.record(ctx))
	})
	if removing != nil {
		removing = fmt.Errorf("remove old records: %w", removing)
	}
	if ran && err == nil && removing == nil {
		m.d.Succeeded(m.d.Now())
	}
	return errors.Join(err, removing)
}
