package database

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"

	"integration-gateway/platform/fault"
)

// failures counts failed operations.
type failures struct{ unavailable, conflict, other atomic.Int64 }

// classify classifies an operation's error and counts it, unless it is an ordinary answer:
// no row, a key that exists, or the end of the caller's context.
func (db *DB) classify(err error) error {
	err = db.Dialect.classify(err)
	switch {
	case err == nil, errors.Is(err, sql.ErrNoRows), errors.Is(err, context.Canceled), db.Dialect.isUnique(err):
	case fault.Is(err, fault.Unavailable):
		db.failures.unavailable.Add(1)
	case db.Dialect.isConflict(err):
		db.failures.conflict.Add(1)
	case fault.As(err) == nil: // others come from the code in a transaction
		db.failures.other.Add(1)
	}
	return err
}

// Failures returns how many operations have failed, by kind: unavailable, conflict (a
// deadlock or serialization failure that repeating did not solve) and other.
func (db *DB) Failures() map[string]int64 {
	f := db.failures
	return map[string]int64{"unavailable": f.unavailable.Load(), "conflict": f.conflict.Load(), "other": f.other.Load()}
}

// Pools returns the state of the connection pools: transactions (and rows by key), lists,
// and spare.
func (db *DB) Pools() map[string]sql.DBStats {
	pools := map[string]sql.DBStats{"transactions": db.write.Stats(), "lists": db.read.Stats()}
	if db.spare != db {
		pools["spare"] = db.spare.write.Stats()
	}
	return pools
}
