// Package verify checks the consistency of the records: every accepted event is finished,
// or something will finish it. It owns consistency_checks, and as the only module reads all
// tables. It changes no other: the module that owns a record repairs it.
//
// Every check is one statement over a range of ids, so it sees one snapshot of the
// database, and a large database is read in parts. Changes within the grace period are
// ignored, since the system may be running.
package verify

import (
	"context"
	"log/slog"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// Repairer repairs one piece of damage, if it still exists; false if it does not.
type Repairer interface {
	Repair(ctx context.Context, d contract.Damage) (done bool, err error)
}

// Queues returns the number of messages in a queue.
type Queues interface {
	Depth(ctx context.Context, queue broker.Queue) (int, error)
}

// Config holds the settings of a check. New replaces zero values with the defaults, except
// for Grace and Limit.
type Config struct {
	Grace        time.Duration // changes within it are ignored
	Limit        int           // problems listed per check; all are counted
	Batch        int           // events in one statement; default 2000
	Repair       bool
	DepthTimeout time.Duration // for the broker's queue depths; default 5 s
	// Share is the part of the time in which a check reads: after each piece it pauses
	// accordingly. 0 and 1 are all of it.
	Share float64
	// Every is how often Watch checks; 0 never.
	Every time.Duration
	Look  time.Duration // how often Watch looks whether a check is due; default 10 s
}

// Deps is everything verify needs from the outside.
type Deps struct {
	DB       *database.DB
	Now      clock.Now
	Repairer Repairer     // nil if nothing is repaired
	Queues   Queues       // nil without a broker
	Log      *slog.Logger // for Watch
}

// Module verifies.
type Module struct {
	cfg     Config
	d       Deps
	process string                                              // that watches
	after   func(ctx context.Context, took time.Duration) error // each piece
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.Batch == 0 {
		cfg.Batch = 2000
	}
	if cfg.DepthTimeout == 0 {
		cfg.DepthTimeout = 5 * time.Second
	}
	if cfg.Look == 0 {
		cfg.Look = 10 * time.Second
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Module{cfg: cfg, d: d, process: id.New(), after: func(context.Context, time.Duration) error { return nil }}
}
