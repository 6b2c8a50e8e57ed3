// Package database is the system of record: PostgreSQL in production, SQLite for the
// embedded default. One SQL text serves both. Dialect holds the few differences, and Rows
// passes many rows to a statement.
//
// Errors that mean "the database is unavailable" are returned as fault.Unavailable;
// sql.ErrNoRows is returned unchanged.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"integration-gateway/platform/backoff"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// Config names the database and its timeouts.
type Config struct {
	URL              string        // postgres://… or sqlite://path
	MaxConnections   int           // PostgreSQL only; default 20
	StatementTimeout time.Duration // default 10 s; a hung server's connection is abandoned soon after
	LockTimeout      time.Duration // default 5 s, so that one frozen process does not stop the others
}

// DB holds two connection pools. Get and Select read lists, SelectRows reads rows by key,
// SelectApart reads configuration, InTx writes.
type DB struct {
	Dialect Dialect
	url     string
	now     clock.Now
	write   *sqlx.DB
	read    *sqlx.DB

	prepared      *statements // of the write pool
	preparedReads *statements // of the pool that SelectRows uses

	spare  *DB                      // see Spare
	server func() string            // see Server
	clock  *atomic.Pointer[reading] // see Now
	full   *atomic.Bool             // the last write found the disk full

	failures *failures
	checked  *schemaCheck // see SchemaReady
}

func newDB(d Dialect, url string, now clock.Now, write, read *sqlx.DB) *DB {
	db := &DB{Dialect: d, url: url, now: now, write: write, read: read,
		prepared: newStatements(write), preparedReads: newStatements(read),
		server: func() string { return "" }, clock: &atomic.Pointer[reading]{}, full: &atomic.Bool{}, failures: &failures{}, checked: &schemaCheck{}}
	db.spare = db
	return db
}

// Spare returns the same database over a connection reserved for what must not wait for a
// free one: a process's heartbeat. On SQLite it is the DB itself.
func (db *DB) Spare() *DB { return db.spare }

// Server identifies the running server that the connections lead to; "" before the first
// connection, and on SQLite. A different value means a failover or a restart.
func (db *DB) Server() string { return db.server() }

// Open prepares the pools without connecting. An error means that the URL is invalid.
func Open(cfg Config, now clock.Now) (*DB, error) {
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = 20
	}
	if cfg.StatementTimeout == 0 {
		cfg.StatementTimeout = 10 * time.Second
	}
	if cfg.LockTimeout == 0 {
		cfg.LockTimeout = 5 * time.Second
	}
	scheme, _, _ := strings.Cut(cfg.URL, "://")
	switch scheme {
	case "postgres", "postgresql":
		return openPostgres(cfg, now)
	case "sqlite":
		return openSQLite(cfg, now)
	}
	return nil, fmt.Errorf("the database URL's scheme is %q; use postgres:// or sqlite://", scheme)
}

// Close ends all connections.
func (db *DB) Close() error {
	err := errors.Join(db.read.Close(), db.write.Close())
	if db.spare != db {
		err = errors.Join(err, db.spare.write.Close())
	}
	return err
}

// Ping checks that the database answers.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return db.Get(ctx, &one, `SELECT 1`)
}

var reconnect = backoff.Exponential{Min: 100 * time.Millisecond, Max: 5 * time.Second}

// WaitReady pings with growing pauses until the database answers or ctx ends, and logs that
// it is waiting.
func (db *DB) WaitReady(ctx context.Context, log *slog.Logger) error {
	for attempt := 0; ; attempt++ {
		ping, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := db.Ping(ping)
		cancel()
		if err == nil {
			return nil
		}
		wait := reconnect.Wait(attempt)
		log.WarnContext(ctx, "waiting for the database", "error", err, "retry_in", wait.String())
		if !clock.Sleep(ctx, wait) {
			return fmt.Errorf("the database never answered: %w", err)
		}
	}
}

// Get reads one row into dest; sql.ErrNoRows if there is none.
func (db *DB) Get(ctx context.Context, dest any, query string, args ...any) error {
	return db.classify(db.read.GetContext(ctx, dest, query, args...))
}

// Select reads all rows into dest.
func (db *DB) Select(ctx context.Context, dest any, query string, args ...any) error {
	return db.classify(db.read.SelectContext(ctx, dest, query, args...))
}

// SelectApart is Select by the connections that transactions use: for what must go on while
// lists take all of theirs.
func (db *DB) SelectApart(ctx context.Context, dest any, query string, args ...any) error {
	return db.classify(db.preparedReads.db.SelectContext(ctx, dest, query, args...))
}

// SelectRows reads all rows of a query that joins v; see Tx.SelectRows.
func (db *DB) SelectRows(ctx context.Context, dest any, r *Rows, query string, args ...any) error {
	text, all, fixed := db.Dialect.with(r, query, args)
	pool := db.preparedReads
	if fixed && pool.get(text) == nil {
		pool.prepare(ctx)
	}
	if fixed {
		if stmt := pool.get(text); stmt != nil { //nolint:sqlclosecheck // it stays prepared
			return db.classify(stmt.SelectContext(ctx, dest, all...))
		}
	}
	return db.classify(pool.db.SelectContext(ctx, dest, text, all...))
}

// maxTxAttempts limits how often a transaction is retried after a deadlock or a
// serialization failure.
const maxTxAttempts = 4

// InTx runs fn in a transaction and commits it unless fn fails. After a deadlock or a
// serialization failure fn runs again from the start, so its only effects must be in the
// transaction and in variables that it sets again.
func (db *DB) InTx(ctx context.Context, fn func(tx *Tx) error) error {
	var err error
	for range maxTxAttempts {
		if err = db.inTx(ctx, fn); !db.Dialect.isConflict(err) {
			break
		}
	}
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		err = ctx.Err() // ctx ended the transaction
	}
	return db.classify(db.recordDisk(err))
}

func (db *DB) inTx(ctx context.Context, fn func(tx *Tx) error) error {
	tx := &Tx{Dialect: db.Dialect, Now: db.Now(), db: db}
	tx.begin = func() (*sqlx.Tx, error) { return db.write.BeginTxx(ctx, nil) }
	defer tx.rollback() // also if fn panics: on SQLite all writers would wait for ever
	if db.Dialect.combine == nil {
		if _, err := tx.begun(); err != nil {
			return err
		}
	}
	if err := fn(tx); err != nil {
		if tx.failed != nil && errors.Is(err, tx.failed) {
			return tx.failed // without the name of the statement that brought it to light
		}
		return err
	}
	if err := tx.commit(ctx); err != nil {
		return err
	}
	for _, f := range tx.after {
		f()
	}
	db.prepared.prepare(ctx)
	return nil
}

// WriteRows is SelectRows for a writing statement that is its own transaction: one round
// trip instead of three. dest points to a slice, which is overwritten.
func (db *DB) WriteRows(ctx context.Context, dest any, r *Rows, query string, args ...any) error {
	text, all, fixed := db.Dialect.with(r, query, args)
	if fixed && db.prepared.get(text) == nil {
		db.prepared.prepare(ctx)
	}
	run := func() error { return db.write.SelectContext(ctx, dest, text, all...) }
	if fixed {
		if stmt := db.prepared.get(text); stmt != nil { //nolint:sqlclosecheck // it stays prepared
			run = func() error { return stmt.SelectContext(ctx, dest, all...) }
		}
	}
	var err error
	for range maxTxAttempts {
		reflect.ValueOf(dest).Elem().SetZero() // drops results from before a deadlock
		if err = run(); !db.Dialect.isConflict(err) {
			break
		}
	}
	return db.classify(db.recordDisk(err))
}

// UnavailableReason is the reason of the errors that say that the database is unavailable.
const UnavailableReason = "database_unavailable"

// unavailable is the error of an outage.
func unavailable(err error) error {
	return fault.Unavailable.Wrap(err, UnavailableReason, "The database is unavailable.").After(5 * time.Second)
}

// transient reports outages that look the same with every driver.
func transient(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sql.ErrConnDone)
}
