// Package gauges measures the state of the records: how much waits, for how long, and what
// is open. It owns the table gauges, and only reads those of other modules.
//
// One process at a time measures, every ten seconds, and stores the result; every process
// reads it and shows the same. So a scrape reads no table, and a process that dies leaves
// nothing undone: the next one that finds the gauges old measures them.
package gauges

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// Config holds the intervals. New replaces zero durations with the defaults.
type Config struct {
	Every time.Duration // between measurements; default 10 s
	Look  time.Duration // between looks for the last result; default 1 s
}

// Metrics shows the gauges.
type Metrics interface {
	Measured(g contract.Gauges)
}

// Deps is everything gauges needs from the outside.
type Deps struct {
	DB      *database.DB
	Log     *slog.Logger
	Now     clock.Now // the database's clock, as the processes agree on it
	Metrics Metrics
	Spool   func() contract.SpoolGauges // what waits at the broker, as this process saw it last; nil for nothing
}

// Module is the gauges module.
type Module struct {
	cfg  Config
	d    Deps
	text string // the readings that are shown
	last atomic.Pointer[contract.Gauges]
}

// Last returns the last measured gauges; false before the first are read.
func (m *Module) Last() (contract.Gauges, bool) {
	g := m.last.Load()
	if g == nil {
		return contract.Gauges{}, false
	}
	return *g, true
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.Every == 0 {
		cfg.Every = 10 * time.Second
	}
	if cfg.Look == 0 {
		cfg.Look = time.Second
	}
	d.Log = d.Log.With("module", "gauges")
	return &Module{cfg: cfg, d: d}
}

// roundTimeout limits one round: all of its queries.
const roundTimeout = 20 * time.Second

// Run shows the gauges, and measures them when it is time, until ctx ends.
func (m *Module) Run(ctx context.Context) error {
	failing := false
	for {
		bounded, cancel := context.WithTimeout(ctx, roundTimeout)
		err := m.round(bounded)
		cancel()
		if err != nil && !failing && ctx.Err() == nil {
			m.d.Log.WarnContext(ctx, "measuring the gauges failed; will retry", "error", err)
		}
		failing = err != nil
		if !clock.Sleep(ctx, m.cfg.Look) {
			return nil
		}
	}
}

const selectGaugesSQL = `
SELECT claimed_at, readings FROM gauges WHERE id = 1`

// claimSQL takes the next measurement, unless another process took it less than an interval
// ago.
const claimSQL = `
INSERT INTO gauges (id, claimed_at, readings) VALUES (1, $1, '')
ON CONFLICT (id) DO UPDATE SET claimed_at = excluded.claimed_at
WHERE  gauges.claimed_at <= $2 OR gauges.claimed_at > $3`

const saveSQL = `
UPDATE gauges SET readings = $1 WHERE id = 1 AND claimed_at = $2`

type row struct {
	ClaimedAt clock.Time `db:"claimed_at"`
	Readings  string     `db:"readings"`
}

// round shows the stored gauges, or measures them if they are old.
func (m *Module) round(ctx context.Context) error {
	var rows []row
	if err := m.d.DB.Select(ctx, &rows, selectGaugesSQL); err != nil {
		return fmt.Errorf("read the gauges: %w", err)
	}
	now := m.d.Now().Truncate(time.Microsecond) // as it is stored
	ahead := now.Add(m.cfg.Every)               // a clock was set back
	if len(rows) == 1 && rows[0].ClaimedAt.After(now.Add(-m.cfg.Every)) && !rows[0].ClaimedAt.After(ahead) {
		return m.show(rows[0].Readings)
	}
	var claimed int64
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) (err error) {
		claimed, err = tx.Exec(ctx, claimSQL, now, now.Add(-m.cfg.Every), ahead)
		return err
	})
	if err != nil {
		return fmt.Errorf("claim the measurement: %w", err)
	}
	if claimed == 0 {
		return nil // another process was faster
	}
	g, err := m.measure(ctx, now)
	if err != nil {
		return err
	}
	text, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("write the gauges: %w", err)
	}
	m.measured(g)
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.Exec(ctx, saveSQL, string(text), now)
		return err
	})
}

func (m *Module) show(readings string) error {
	if readings == "" || readings == m.text {
		return nil // the first measurement is under way, or this one is shown
	}
	var g contract.Gauges
	if err := json.Unmarshal([]byte(readings), &g); err != nil {
		return fmt.Errorf("read the gauges: %w", err)
	}
	m.text = readings
	m.measured(g)
	return nil
}

func (m *Module) measured(g contract.Gauges) {
	m.last.Store(&g)
	m.d.Metrics.Measured(g)
}
