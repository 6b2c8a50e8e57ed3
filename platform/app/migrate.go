package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
)

// MigrateUp migrates the schema to this program's version, printing its progress, and returns
// the version. Before it changes a database file it makes a copy.
func MigrateUp(ctx context.Context, cfg config.Config, log *slog.Logger, out io.Writer) (version uint, err error) {
	if cfg.Database.SQLite() { // only this command creates the file
		if err := os.MkdirAll(filepath.Dir(databaseFile(cfg)), 0o700); err != nil {
			return 0, fmt.Errorf("%s: the database's folder: %w", databaseSetting(cfg), err)
		}
		if err := ownFile(databaseFile(cfg)); err != nil {
			return 0, fmt.Errorf("%s: %w", databaseSetting(cfg), err)
		}
	}
	err = onDatabase(ctx, cfg, log, func(db *database.DB) error {
		if err := migrator(cfg, db, printing(out)).Up(ctx); err != nil {
			return err
		}
		version, _, err = db.MigrationVersion()
		return err
	})
	return version, err
}

// migrator migrates db, and copies a database file before it changes it.
func migrator(cfg config.Config, db *database.DB, say func(string, ...any)) database.Migrator {
	m := database.Migrator{DB: db, Say: say}
	if cfg.Database.SQLite() {
		m.Before = func(ctx context.Context, from, to uint) error {
			return copyBeforeChange(ctx, db, databaseFile(cfg), from, to, say)
		}
	}
	return m
}

func printing(out io.Writer) func(string, ...any) {
	return func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
}

// MigrationPlan prints what MigrateUp would do. It changes nothing.
func MigrationPlan(ctx context.Context, cfg config.Config, log *slog.Logger, out io.Writer) error {
	return onDatabase(ctx, cfg, log, func(db *database.DB) error {
		steps, state, err := database.Migrator{DB: db}.Plan(ctx)
		if err != nil {
			return err
		}
		say := printing(out)
		if len(steps) == 0 {
			say("nothing to do: the schema is at version %d, and this program needs %d", state.Version, state.Needed)
			return nil
		}
		say("from version %d to %d:", state.Version, state.Needed)
		for _, step := range steps {
			say("%6d  %s", step.Version, step.Change)
			switch {
			case cfg.Database.SQLite():
				say("        locks: the file, while the step runs")
			case step.Concurrent:
				say("        locks: %s; it takes long, and can be interrupted and run again", step.Locks)
			default:
				say("        locks: %s", step.Locks)
			}
			if state.Version > 0 && step.MinReader > state.Version {
				say("        stop programs of a version below %d first: they do not work on the result", step.MinReader)
			}
		}
		return nil
	})
}

// MigrateDown reverts so many migrations, 0 for all, and returns the resulting version. If
// data will be lost, it says what and asks for confirmation first.
func MigrateDown(ctx context.Context, cfg config.Config, log *slog.Logger, steps int, out io.Writer, confirm Confirm) (version uint, err error) {
	err = onDatabase(ctx, cfg, log, func(db *database.DB) error {
		tables, err := db.Dropped(steps)
		if err != nil {
			return err
		}
		if len(tables) > 0 {
			if err := printLoss(ctx, db, tables, out); err != nil {
				return err
			}
			if err := confirm(); err != nil {
				return err
			}
		}
		if err := migrator(cfg, db, printing(out)).Down(ctx, steps); err != nil {
			return err
		}
		version, _, err = db.MigrationVersion()
		return err
	})
	return version, err
}

// MigrationVersion returns the schema's version, and whether a migration failed half-way.
func MigrationVersion(ctx context.Context, cfg config.Config, log *slog.Logger) (version uint, dirty bool, err error) {
	err = onDatabase(ctx, cfg, log, func(db *database.DB) error {
		version, dirty, err = db.MigrationVersion()
		return err
	})
	return version, dirty, err
}

// MigrateForce sets the version without running a migration. It says what it does to which
// database and asks for confirmation first.
func MigrateForce(ctx context.Context, cfg config.Config, log *slog.Logger, version int, out io.Writer, confirm Confirm) error {
	return onDatabase(ctx, cfg, log, func(db *database.DB) error {
		name, err := db.Name(ctx)
		if err != nil {
			return err
		}
		now, dirty, err := db.MigrationVersion()
		if err != nil {
			return err
		}
		state := ""
		if dirty {
			state = ", which has not finished"
		}
		if _, err := fmt.Fprintf(out, "The database %s will be marked as version %d; it is at version %d%s. No migration runs.\n", name, version, now, state); err != nil {
			return err
		}
		if err := confirm(); err != nil {
			return err
		}
		return db.MigrateForce(version)
	})
}

// countedEvents is the largest number of events that is counted exactly.
const countedEvents = 100_000

const countEventsSQL = `
SELECT count(*) FROM (SELECT 1 FROM event_states LIMIT $1) AS e`

// printLoss prints what is lost with these tables.
func printLoss(ctx context.Context, db *database.DB, tables []string, out io.Writer) error {
	name, err := db.Name(ctx)
	if err != nil {
		return err
	}
	lost := "no event"
	if slices.Contains(tables, "event_states") {
		var n int
		if err := db.Get(ctx, &n, countEventsSQL, countedEvents+1); err != nil {
			return fmt.Errorf("count events: %w", err)
		}
		switch {
		case n > countedEvents:
			lost = fmt.Sprintf("more than %d events", countedEvents)
		case n == 1:
			lost = "1 event"
		case n > 0:
			lost = fmt.Sprintf("%d events", n)
		}
	}
	columns := len(slices.DeleteFunc(slices.Clone(tables), func(name string) bool { return !strings.Contains(name, ".") }))
	what := fmt.Sprintf("%d tables", len(tables)-columns)
	if columns > 0 {
		what += fmt.Sprintf(" and %d columns", columns)
	}
	_, err = fmt.Fprintf(out, "The database %s will lose %s with %s: %s.\n", name, what, lost, strings.Join(tables, ", "))
	return err
}

func onDatabase(ctx context.Context, cfg config.Config, log *slog.Logger, do func(*database.DB) error) error {
	db, err := openForTool(ctx, cfg, log, toolPatience)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// MigrateQueues gives RabbitMQ's queues the arguments that the configuration declares, with
// their messages, and returns those that had others.
func MigrateQueues(ctx context.Context, cfg config.Config, log *slog.Logger) ([]broker.MigratedQueue, error) {
	opened, err := openBroker(cfg, log, true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.Close() }()
	rabbit, is := opened.(*broker.RabbitMQ)
	if !is {
		return nil, errors.New("RABBITMQ_URL is not set, so there are no queues to migrate")
	}
	return rabbit.MigrateQueues(ctx)
}
