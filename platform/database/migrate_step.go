package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	migratepostgres "github.com/golang-migrate/migrate/v4/database/postgres"

	"integration-gateway/platform/backoff"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// stepper runs migrations on PostgreSQL so that they stop no traffic.
type stepper struct {
	*migratepostgres.Postgres
	*session
	ctx context.Context // of the command; the library passes none
}

// Lock does nothing: the session has the lock.
func (*stepper) Lock() error { return nil }

// Unlock does nothing: the lock ends with the session.
func (*stepper) Unlock() error { return nil }

// Close ends the connection, and with it the lock.
func (s *stepper) Close() error { return s.Postgres.Close() }

// Run runs the statements of one file.
func (s *stepper) Run(migration io.Reader) error {
	text, err := io.ReadAll(migration)
	if err != nil {
		return fmt.Errorf("read a migration: %w", err)
	}
	indexes, err := parseIndexes(string(text))
	if err != nil {
		return err
	}
	if len(indexes) > 0 {
		for _, index := range indexes {
			if err := s.buildIndex(s.ctx, index); err != nil {
				return err
			}
		}
		return nil
	}
	return s.patiently(s.ctx, func() error {
		return s.inTx(s.ctx, "SET LOCAL statement_timeout = "+millis(migrationTimeout), string(text))
	})
}

func (s *session) inTx(ctx context.Context, statements ...string) error {
	tx, err := s.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}

var lockPause = backoff.Exponential{Min: 500 * time.Millisecond, Max: 5 * time.Second}

const selectLongSQL = `
SELECT pid, COALESCE(application_name, '') AS application, EXTRACT(epoch FROM clock_timestamp() - xact_start)::bigint AS seconds
FROM   pg_stat_activity
WHERE  datname = current_database() AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - interval '1 second' AND backend_type = 'client backend'
ORDER  BY xact_start
LIMIT  3`

// patiently repeats a step that did not get its locks in time. In the pauses the traffic that
// queued behind it goes on.
func (s *session) patiently(ctx context.Context, do func() error) error {
	began := clock.Monotonic()
	for attempt := 0; ; attempt++ {
		err := do()
		if !hasCode(err, "55P03", "40P01") {
			return err
		}
		holders := s.holders(ctx)
		if clock.Monotonic()-began > s.Patience {
			return fault.Unavailable.Wrap(err, "schema_locked", "The step did not get its lock within %s, and changed nothing%s", s.Patience, holders)
		}
		s.say("a table is locked; trying again%s", holders)
		if !clock.Sleep(ctx, lockPause.Wait(attempt)) {
			return errors.Join(err, ctx.Err())
		}
	}
}

// holders names the transactions that are open for long.
func (s *session) holders(ctx context.Context) string {
	var long []struct {
		PID         int
		Application string
		Seconds     int64
	}
	if err := s.own.Select(ctx, &long, selectLongSQL); err != nil || len(long) == 0 {
		return ""
	}
	names := make([]string, len(long))
	for i, l := range long {
		names[i] = fmt.Sprintf("process %d (%s) for %d s", l.PID, l.Application, l.Seconds)
	}
	return "; transactions are open of " + strings.Join(names, ", ")
}
