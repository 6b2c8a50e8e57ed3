package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migratepostgres "github.com/golang-migrate/migrate/v4/database/postgres"
	migratesqlite "github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"integration-gateway/migrations"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// session is the exclusive right to migrate, with connections of its own.
type session struct {
	Migrator
	steps   []migrations.Step
	migrate *migrate.Migrate
	own     *DB
	conn    *sql.Conn // which holds the lock; nil on SQLite
}

// exec runs a statement on the connection of the migrations.
func (s *session) exec(ctx context.Context, query string, args ...any) error {
	if s.conn == nil {
		_, err := s.own.write.ExecContext(ctx, query, args...)
		return err
	}
	_, err := s.conn.ExecContext(ctx, query, args...)
	return err
}

const (
	migrationTimeout = 15 * time.Minute // one statement of a migration in a transaction
	indexTimeout     = 24 * time.Hour   // of building one index
	migrationLock    = time.Second      // of one try to lock a table
	migratorPolls    = 200 * time.Millisecond
)

// session runs fn while no other process migrates.
func (m Migrator) session(ctx context.Context, fn func(*session) error) (err error) {
	s := &session{Migrator: m}
	if s.Patience == 0 {
		s.Patience = defaultPatience
	}
	if s.steps, err = migrations.Steps(m.files(), m.DB.Dialect.Name); err != nil {
		return err
	}
	source, err := iofs.New(m.files(), m.DB.Dialect.Name)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	s.own, err = Open(Config{URL: m.DB.url, MaxConnections: 3, StatementTimeout: indexTimeout, LockTimeout: migrationLock}, m.DB.now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.own.Close()) }()
	driver, err := s.driver(ctx)
	if err != nil {
		return m.DB.Dialect.classify(err)
	}
	defer func() { err = errors.Join(err, driver.Close()) }()
	if s.migrate, err = migrate.NewWithInstance("iofs", source, m.DB.Dialect.Name, driver); err != nil {
		return fmt.Errorf("prepare the migrations: %w", err)
	}
	return m.DB.Dialect.classify(fn(s))
}

func (s *session) driver(ctx context.Context) (database.Driver, error) {
	if s.own.Dialect.Name != postgres.Name {
		return migratesqlite.WithInstance(s.own.write.DB, &migratesqlite.Config{})
	}
	conn, err := s.own.write.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.lock(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	driver, err := migratepostgres.WithConnection(ctx, conn, &migratepostgres.Config{})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s.conn = conn
	return &stepper{Postgres: driver, session: s, ctx: ctx}, nil
}

const selectMigratorSQL = `
SELECT current_database() AS database, current_schema() AS schema`

// lock waits for other processes that migrate. It asks again and again, because a session that
// waits within a statement would hold up an index build of the one that it waits for.
func (s *session) lock(ctx context.Context, conn *sql.Conn) error {
	var name, schema string
	if err := conn.QueryRowContext(ctx, selectMigratorSQL).Scan(&name, &schema); err != nil {
		return err
	}
	key, err := database.GenerateAdvisoryLockId(name, schema, migratepostgres.DefaultMigrationsTable) // the library's own
	if err != nil {
		return err
	}
	for waited := false; ; waited = true {
		var locked bool
		if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, key).Scan(&locked); err != nil || locked {
			return err
		}
		if !waited {
			s.say("waiting for another process that migrates")
		}
		if !clock.Sleep(ctx, migratorPolls) {
			return fmt.Errorf("wait for another process that migrates: %w", ctx.Err())
		}
	}
}

// apply takes one step up.
func (s *session) apply(ctx context.Context, step migrations.Step) error {
	s.say("migration %d: %s", step.Version, step.Change)
	began := clock.Monotonic()
	if err := s.declare(ctx, step); err != nil {
		return err
	}
	if err := s.migrate.Steps(1); !done(err) {
		err = fmt.Errorf("migration %d failed: %w", step.Version, err)
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
		defer cancel()
		if failed := s.recover(after); failed != nil {
			return errors.Join(err, failed)
		}
		return fmt.Errorf("%w; run it again when the reason is gone", err)
	}
	if err := s.declare(ctx, step); err != nil { // the step may have made the table
		return err
	}
	s.say("migration %d took %s", step.Version, (clock.Monotonic() - began).Round(time.Millisecond))
	return nil
}

const insertChangeSQL = `
INSERT INTO schema_changes (version, min_reader, title, applied_at)
VALUES ($1, $2, $3, $4)
ON     CONFLICT (version) DO UPDATE SET min_reader = excluded.min_reader, title = excluded.title, applied_at = excluded.applied_at`

// declare records a step, before it is taken too: running programs that cannot work on its
// result must know in time.
func (s *session) declare(ctx context.Context, step migrations.Step) error {
	err := s.exec(ctx, insertChangeSQL, step.Version, step.MinReader, step.Change, s.DB.now())
	if err != nil && !isMissingTable(err) {
		return fmt.Errorf("record migration %d: %w", step.Version, err)
	}
	return nil
}

const deleteChangesSQL = `
DELETE FROM schema_changes WHERE version > $1`

// forget removes the records of later versions.
func (s *session) forget(ctx context.Context, version uint) error {
	err := s.exec(ctx, deleteChangesSQL, version)
	if err != nil && !isMissingTable(err) {
		return fmt.Errorf("remove the records of reverted migrations: %w", err)
	}
	return nil
}

func (s *session) revert(ctx context.Context, steps int) error {
	var err error
	if steps == 0 {
		err = s.migrate.Down()
	} else {
		err = s.migrate.Steps(-steps)
	}
	if !done(err) {
		return fmt.Errorf("migrate: %w", err)
	}
	have, err := s.DB.marks(ctx)
	if err != nil {
		return err
	}
	return s.forget(ctx, have.Version)
}

// below returns the version that so many steps down lead to.
func (s *session) below(version uint, steps int) uint {
	to := uint(0)
	for i, step := range s.steps {
		if step.Version == version && steps > 0 && i >= steps {
			to = s.steps[i-steps].Version
		}
	}
	return to
}

// recover decides what a migration that did not finish has left, by the tables: a step in a
// transaction is there or not, and one that builds indexes is taken up again. It returns an
// error if the tables are those of no version.
func (s *session) recover(ctx context.Context) error {
	have, err := s.DB.marks(ctx)
	if err != nil || !have.Dirty {
		return err
	}
	if needed := latest(s.steps); have.Version > needed {
		return nil // a newer program's
	}
	objects, err := s.DB.Objects(ctx)
	if err != nil {
		return err
	}
	next := s.after(s.steps, have.Version) // on the way down the mark comes before the statements
	for i := len(s.steps) - max(len(next), 1); i >= 0; i-- {
		version := s.steps[i].Version
		want, err := migrations.Objects(s.files(), s.DB.Dialect.Name, version)
		if err != nil {
			return err
		}
		if wrong, slow := differences(objects, want); len(want) > 0 && len(wrong)+len(slow) == 0 {
			return s.settle(ctx, have, int(version)) //nolint:gosec // small
		}
	}
	if empty(objects) {
		return s.settle(ctx, have, -1)
	}
	return fault.Conflict.New("schema_unknown", "Migration %d has not finished, and the tables are those of no version: repair the schema by hand, then run: gateway migrate force VERSION", have.Version)
}

// empty reports whether there is no table that a migration made.
func empty(objects []string) bool {
	for _, object := range objects {
		if tableOf(object) == "installation" {
			return false
		}
	}
	return true
}

func (s *session) settle(ctx context.Context, have marks, version int) error {
	if err := s.migrate.Force(version); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	s.say("migration %d had not finished; by its tables the schema is at version %d", have.Version, max(version, 0))
	return s.forget(ctx, uint(max(version, 0)))
}
