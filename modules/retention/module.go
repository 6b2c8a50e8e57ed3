// Package retention keeps the records within bounds: it makes the partitions that rows to
// come will need, and removes what is older than it must be kept. It owns no table and
// removes from all that grow, which no other module may; it never removes an event that
// is not at its end, nor what belongs to one.
//
// On PostgreSQL whole partitions go, without anybody waiting; on SQLite, and in the
// partition of what is older than all others, rows in small transactions.
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

// Config says how long records are kept; 0 keeps them for ever. New replaces the other
// zero values with the defaults.
type Config struct {
	Events time.Duration // and all that belongs to them; at least as long as repeats are known
	Audit  time.Duration

	Every time.Duration // default an hour
	Again time.Duration // after a failure; default a minute
	Batch int           // rows removed in one transaction; default 200
}

// Deps is everything retention needs from the outside.
type Deps struct {
	DB    *database.DB
	Log   *slog.Logger
	Now   clock.Now
	Audit Auditor
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
	if cfg.Again == 0 {
		cfg.Again = time.Minute
	}
	if cfg.Batch == 0 {
		cfg.Batch = 200
	}
	d.Log = d.Log.With("module", "retention")
	return &Module{cfg: cfg, d: d}
}

// Run maintains the records at once and then from time to time, until ctx ends. Of
// several processes one does it.
func (m *Module) Run(ctx context.Context) error {
	for {
		pause := m.cfg.Every
		if err := m.Tend(ctx); err != nil && ctx.Err() == nil {
			m.d.Log.ErrorContext(ctx, "maintaining the records failed", "error", err, "retry_in", m.cfg.Again.String())
			pause = m.cfg.Again
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// Tend makes the partitions that are missing and removes what is too old, once. Where
// another process is at it, it leaves the removing to that one.
func (m *Module) Tend(ctx context.Context) error {
	made, err := m.d.DB.MakePartitions(ctx)
	if len(made) > 0 {
		m.d.Log.InfoContext(ctx, "made partitions", "partitions", made)
	}
	_, removing := m.d.DB.Maintain(ctx, func(k *database.Maintenance) error {
		r := &removal{Module: m, keep: k, rows: map[string]int64{}}
		return errors.Join(r.run(ctx), r.note(ctx))
	})
	if removing != nil {
		removing = fmt.Errorf("remove what is too old: %w", removing)
	}
	return errors.Join(err, removing)
}
