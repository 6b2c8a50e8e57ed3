package database

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
)

// reading is the server's clock at a moment of this process's life.
type reading struct {
	server time.Time
	at     time.Duration // by clock.Monotonic
}

func (r reading) now() time.Time {
	return r.server.Add(clock.Monotonic() - r.at).UTC().Truncate(time.Microsecond)
}

// maxDrift is how far the server's clock may deviate from the expected time before it is
// corrected. A correction is a jump, which distorts measured durations.
const maxDrift = 5 * time.Millisecond

// Now returns the time of the database server's clock, estimated from the last SyncClock
// and the time since. All processes of an installation agree on it, whatever their
// machines' clocks are. Before the first SyncClock, and on SQLite, it is this machine's
// time.
func (db *DB) Now() time.Time {
	if r := db.clock.Load(); r != nil {
		return r.now()
	}
	return db.now()
}

// SyncClock reads the server's clock and returns how far this machine's is ahead of it,
// negative if it is behind.
func (db *DB) SyncClock(ctx context.Context) (ahead time.Duration, err error) {
	if db.Dialect.Name != postgres.Name {
		return 0, nil
	}
	var server time.Time
	before := clock.Monotonic()
	if err := db.Get(ctx, &server, `SELECT clock_timestamp()`); err != nil {
		return 0, fmt.Errorf("read the database's clock: %w", err)
	}
	trip := clock.Monotonic() - before
	r := reading{server: server.Add(trip / 2), at: before + trip}
	if had := db.clock.Load(); had == nil || had.now().Sub(r.now()).Abs() > maxDrift+trip/2 {
		db.clock.Store(&r)
	}
	return db.now().Sub(r.now()), nil
}
