// Package verify checks the books of the system: that every accepted event is at its end
// or has what will bring it there. It owns no table and reads all of them, which no other
// module may; it writes nothing itself, and has what can be put back put back by the
// module that owns it.
//
// Every check is one statement over a range of ids, so that it sees one moment of the
// database, and a database of any size is read in pieces. What changed within the grace
// time is left out: the system may be running.
package verify

import (
	"context"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// Repairer puts one piece of damage right, if it is still there; false when it is not.
type Repairer interface {
	Repair(ctx context.Context, d contract.Damage) (done bool, err error)
}

// Queues tells how many messages wait in a queue.
type Queues interface {
	Depth(ctx context.Context, queue broker.Queue) (int, error)
}

// Config is how the books are read. New replaces zero values with the defaults, but for
// Grace and Limit.
type Config struct {
	Grace   time.Duration // what changed since is left out
	Limit   int           // problems that are listed for each check; all are counted
	Batch   int           // events in one statement; default 2000
	Repair  bool
	DepthIn time.Duration // how long the broker may take; default 5 s
}

// Deps is everything verify needs from the outside.
type Deps struct {
	DB       *database.DB
	Now      clock.Now
	Repairer Repairer // nil where nothing is repaired
	Queues   Queues   // nil without a broker
}

// Module verifies.
type Module struct {
	cfg Config
	d   Deps
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.Batch == 0 {
		cfg.Batch = 2000
	}
	if cfg.DepthIn == 0 {
		cfg.DepthIn = 5 * time.Second
	}
	return &Module{cfg: cfg, d: d}
}
