// Package database is the system of record: PostgreSQL in production, SQLite
// for the embedded default. One SQL text serves both; the few words that differ
// are fields of Dialect, and rows go in bulk through Rows.
//
// Errors that mean "the database does not answer now" come out as
// fault.Unavailable; sql.ErrNoRows passes unchanged.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// Config says which database and how patient to be with it.
type Config struct {
	URL              string        // postgres://… or sqlite://path
	MaxConnections   int           // PostgreSQL only; default 20
	StatementTimeout time.Duration // default 10 s; a hung server is given up on soon after
	LockTimeout      time.Duration // default 5 s, so that one frozen process does not stop the others
}

// DB is two pools of connections. Lists go through Get and Select, rows by key through
// SelectRows, writes through InTx.
type DB struct {
	Dialect Dialect
	url     string
	now     clock.Now
	write   *sqlx.DB
	read    *sqlx.DB

	prepared      *statements // of write
	preparedReads *statements // of the pool that SelectRows reads from
}

func newDB(d Dialect, url string, now clock.Now, write, read *sqlx.DB) *DB {
	return &DB{Dialect: d, url: url, now: now, write: write, read: read,
		prepared: newStatements(write), preparedReads: newStatements(read)}
}

// Open prepares a pool; it does not connect. Its error means that the URL is wrong.
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
	return errors.Join(db.read.Close(), db.write.Close())
}

// Ping asks the database for an answer.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return db.Get(ctx, &one, `SELECT 1`)
}

// WaitReady pings with growing pauses until the database answers or ctx ends,
// and says in the log that it is waiting.
func (db *DB) WaitReady(ctx context.Context, log *slog.Logger) error {
	pause := 100 * time.Millisecond
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := db.Ping(attempt)
		cancel()
		if err == nil {
			return nil
		}
		log.WarnContext(ctx, "waiting for the database", "error", err, "retry_in", pause.String())
		select {
		case <-ctx.Done():
			return fmt.Errorf("the database never answered: %w", err)
		case <-time.After(pause):
		}
		pause = min(pause*2, 5*time.Second)
	}
}

// Get reads one row into dest; sql.ErrNoRows when there is none.
func (db *DB) Get(ctx context.Context, dest any, query string, args ...any) error {
	return db.Dialect.classify(db.read.GetContext(ctx, dest, query, args...))
}

// Select reads all rows into dest.
func (db *DB) Select(ctx context.Context, dest any, query string, args ...any) error {
	return db.Dialect.classify(db.read.SelectContext(ctx, dest, query, args...))
}

// SelectRows reads all rows of a query that joins v; see Tx.SelectRows.
func (db *DB) SelectRows(ctx context.Context, dest any, r *Rows, query string, args ...any) error {
	text, all, fixed := db.Dialect.with(r, query, args)
	pool := db.preparedReads
	if fixed && pool.of(text) == nil {
		pool.prepare(ctx)
	}
	if fixed {
		if stmt := pool.of(text); stmt != nil { //nolint:sqlclosecheck // it stays for the next
			return db.Dialect.classify(stmt.SelectContext(ctx, dest, all...))
		}
	}
	return db.Dialect.classify(pool.db.SelectContext(ctx, dest, text, all...))
}

// attempts is how often a transaction that the database chose as a deadlock's
// victim is begun anew.
const attempts = 4

// InTx runs fn in a transaction and commits it unless fn fails. fn may run again
// from the start after a deadlock or a serialization failure, so it keeps its
// effects to the transaction and to variables that it sets anew.
func (db *DB) InTx(ctx context.Context, fn func(tx *Tx) error) error {
	var err error
	for range attempts {
		if err = db.inTx(ctx, fn); !db.Dialect.isConflict(err) {
			break
		}
	}
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		err = ctx.Err() // which ended the transaction
	}
	return db.Dialect.classify(err)
}

func (db *DB) inTx(ctx context.Context, fn func(tx *Tx) error) error {
	tx := &Tx{Dialect: db.Dialect, Now: db.now(), db: db}
	tx.begin = func() (*sqlx.Tx, error) { return db.write.BeginTxx(ctx, nil) }
	defer tx.rollback() // also when fn panics: on SQLite all writers would wait for ever
	if db.Dialect.together == nil {
		if _, err := tx.begun(); err != nil {
			return err
		}
	}
	if err := fn(tx); err != nil {
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

// WriteRows is SelectRows for a statement that writes and is a transaction of its own: one
// round trip instead of three. dest is a slice's address, and set anew.
func (db *DB) WriteRows(ctx context.Context, dest any, r *Rows, query string, args ...any) error {
	text, all, fixed := db.Dialect.with(r, query, args)
	if fixed && db.prepared.of(text) == nil {
		db.prepared.prepare(ctx)
	}
	run := func() error { return db.write.SelectContext(ctx, dest, text, all...) }
	if fixed {
		if stmt := db.prepared.of(text); stmt != nil { //nolint:sqlclosecheck // it stays for the next
			run = func() error { return stmt.SelectContext(ctx, dest, all...) }
		}
	}
	var err error
	for range attempts {
		reflect.ValueOf(dest).Elem().SetZero() // of what came before a deadlock
		if err = run(); !db.Dialect.isConflict(err) {
			break
		}
	}
	return db.Dialect.classify(err)
}

// unavailable is what an outage looks like to the modules.
func unavailable(err error) error {
	return fault.Unavailable.Wrap(err, "database_unavailable", "The database does not answer.").After(5 * time.Second)
}

// transient reports the outages that look alike on every driver.
func transient(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sql.ErrConnDone)
}
