// Package figures counts what happens: webhooks by source, and attempts by destination, in
// rows for each minute that are merged to hours. It owns figures_minutes, figures_hours and
// figures_merge. Everything that it answers comes from these few rows, never from the
// records, so that answers are as fast with ten million events as with ten.
//
// The hot path adds to counters in memory, which are stored every few seconds, and once more
// when the process stops. A row holds what its process has counted in its minute so far and is
// replaced as a whole: storing it twice counts nothing twice. A process that is killed loses
// what it counted since it last stored, at most Config.FlushEvery and the duration of one
// transaction, or the time since the database was last there. Nothing else is lost, and
// nothing is counted before it is committed.
package figures

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// Config holds the intervals. New replaces zero values with the defaults.
type Config struct {
	FlushEvery time.Duration // default 5 s
	MergeEvery time.Duration // default a minute
	FreshFor   time.Duration // how long an answer is used again; default 2 s
	Minutes    time.Duration // how long minutes are kept; default 30 days
	Hours      time.Duration // how long hours are kept; default 400 days
}

// Gauges gives the last measured state of the records; false if there is none.
type Gauges interface {
	Last() (contract.Gauges, bool)
}

// Deps is everything figures needs from the outside.
type Deps struct {
	DB     *database.DB
	Log    *slog.Logger
	Now    clock.Now
	Gauges Gauges
}

// Module is the figures module.
type Module struct {
	cfg      Config
	d        Deps
	recorder *recorder

	reading sync.Mutex // held while the snapshot is read
	last    *snapshot
	older   *olderSums
	wanted  time.Time // when somebody last asked for a snapshot

	measuring sync.Mutex // held while the disk is measured
	disk      atomic.Pointer[diskUse]

	preparing sync.Mutex // held while older sums are read, for an answer or ahead of it
	hours     map[[2]time.Time]hourSums
	finished  finished

	accepted lastAccepted
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	defaults := func(of *time.Duration, value time.Duration) {
		if *of == 0 {
			*of = value
		}
	}
	defaults(&cfg.FlushEvery, 5*time.Second)
	defaults(&cfg.MergeEvery, time.Minute)
	defaults(&cfg.FreshFor, 2*time.Second)
	defaults(&cfg.Minutes, 30*24*time.Hour)
	defaults(&cfg.Hours, 400*24*time.Hour)
	d.Log = d.Log.With("module", "figures")
	return &Module{cfg: cfg, d: d, recorder: newRecorder(), hours: map[[2]time.Time]hourSums{}}
}

// Routes registers the module's routes.
func (m *Module) Routes(r httpapi.Routes) {
	r.Viewer.Scoped().GET("/stats", m.stats, statsSpec)
	r.Viewer.Scoped().GET("/stats/series", m.series, seriesSpec)
}

// The limits of one round, and of the last one when the process stops.
const (
	roundTimeout = 20 * time.Second
	lastTimeout  = 3 * time.Second
)

// Run stores the figures and merges them until ctx ends, and then stores what is left.
func (m *Module) Run(ctx context.Context) error {
	failing := false
	try := func(ctx context.Context, limit time.Duration, round func(context.Context) error) {
		bounded, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		err := round(bounded)
		if err != nil && !failing && ctx.Err() == nil {
			m.d.Log.WarnContext(ctx, "storing the figures failed; will retry", "error", err)
		}
		failing = err != nil
	}
	merged := clock.Monotonic() - m.cfg.MergeEvery
	for clock.Sleep(ctx, m.cfg.FlushEvery) {
		try(ctx, roundTimeout, m.flush)
		if !failing {
			try(ctx, roundTimeout, m.prepare)
		}
		if clock.Monotonic()-merged >= m.cfg.MergeEvery && !failing {
			try(ctx, roundTimeout, m.merge)
			merged = clock.Monotonic()
		}
	}
	try(context.WithoutCancel(ctx), lastTimeout, m.flush)
	return nil
}
