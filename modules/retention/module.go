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
	Look       time.Duration // while another process removes records: if it dies, this one continues; default 5 s
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
	if cfg.Look == 0 {
		cfg.Look = 5 * time.Second
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
// processes, one does the work; the others look until it has finished, and continue if it died.
func (m *Module) Run(ctx context.Context) error {
	for {
		pause := m.cfg.Every
		removed, err := m.runOnce(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			m.d.Log.ErrorContext(ctx, "maintaining the records failed", "error", err, "retry_in", m.cfg.RetryAfter.String())
			pause = m.cfg.RetryAfter
		case !removed:
			pause = m.cfg.Look
		}
		if !clock.Sleep(ctx, pause) {
			return nil
		}
	}
}

// RunOnce creates missing partitions and removes old records, once. If another process is
// removing records, it leaves that to it.
func (m *Module) RunOnce(ctx context.Context) error {
	_, err := m.runOnce(ctx)
	return err
}

// runOnce is RunOnce. removed is false if another process is removing records.
func (m *Module) runOnce(ctx context.Context) (removed bool, err error) {
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
	return ran, errors.Join(err, removing)
}
