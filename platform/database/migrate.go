package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/golang-migrate/migrate/v4"

	"integration-gateway/migrations"
	"integration-gateway/platform/fault"
)

// Migrator migrates a database's schema. Several processes may use one at once on PostgreSQL:
// one migrates, the others wait.
type Migrator struct {
	DB    *DB
	Files fs.FS // nil for the program's own migrations
	// Say reports progress in sentences; nil for nobody.
	Say func(format string, args ...any)
	// Before is called before a database that has tables is changed, with its version and the
	// one that follows; an error stops the migration. Nil for nothing.
	Before func(ctx context.Context, from, to uint) error
	// Patience is how long a step tries to get its locks; 0 for 10 minutes. Each try waits
	// for a second only, because whatever needs the table queues behind it.
	Patience time.Duration
}

const defaultPatience = 10 * time.Minute

func (m Migrator) files() fs.FS {
	if m.Files == nil {
		return migrations.Files
	}
	return m.Files
}

func (m Migrator) say(format string, args ...any) {
	if m.Say != nil {
		m.Say(format, args...)
	}
}

// MigrateUp migrates the schema to this program's version, and creates partitions in
// advance.
func (db *DB) MigrateUp() error { return Migrator{DB: db}.Up(context.Background()) }

// MigrateDown reverts so many migrations; 0 reverts all.
func (db *DB) MigrateDown(steps int) error {
	return Migrator{DB: db}.Down(context.Background(), steps)
}

// MigrationVersion returns the schema's version, 0 before the first migration, and whether
// a migration has not finished.
func (db *DB) MigrationVersion() (version uint, dirty bool, err error) {
	have, err := db.marks(context.Background())
	return have.Version, have.Dirty, err
}

// Up migrates to this program's version and creates partitions. It continues a migration that
// was interrupted. It leaves a newer schema alone, which is an error only if this program
// cannot work on it, and refuses tables that no release made.
func (m Migrator) Up(ctx context.Context) error {
	err := m.session(ctx, func(s *session) error {
		if err := s.recover(ctx); err != nil {
			return err
		}
		state, err := m.DB.schema(ctx, m.files())
		if err != nil {
			return err
		}
		if state.Version > state.Needed {
			if err := state.Err(); err != nil {
				return err
			}
			m.say("the schema is at version %d, newer than version %d of this program, which works on it; nothing was changed", state.Version, state.Needed)
			return nil
		}
		if err := m.refuse(ctx, state); err != nil {
			return err
		}
		pending := m.after(s.steps, state.Version)
		if len(pending) > 0 && state.Version > 0 && m.Before != nil {
			if err := m.Before(ctx, state.Version, state.Needed); err != nil {
				return err
			}
		}
		for _, step := range pending {
			if err := s.apply(ctx, step); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || m.Files != nil {
		return err
	}
	_, err = m.DB.CreatePartitions(ctx)
	return err
}

// refuse returns an error for tables that no release made, before anything is changed.
func (m Migrator) refuse(ctx context.Context, state Schema) error {
	if len(state.Wrong) > 0 {
		return state.Err()
	}
	if state.Version > 0 {
		return nil
	}
	steps, err := migrations.Steps(m.files(), m.DB.Dialect.Name)
	if err != nil || len(steps) == 0 {
		return err
	}
	want, err := migrations.Objects(m.files(), m.DB.Dialect.Name, steps[0].Version)
	if err != nil {
		return err
	}
	have, err := m.DB.Objects(ctx)
	if err != nil {
		return err
	}
	for _, object := range want {
		if table := tableOf(object); table != "" && slices.ContainsFunc(have, func(o string) bool { return tableOf(o) == table }) {
			return fault.Conflict.New("schema_unknown", "The database has a table %s, but no version of a schema: it is not a new database, and not one of the gateway. Use another.", table)
		}
	}
	return nil
}

func (m Migrator) after(steps []migrations.Step, version uint) []migrations.Step {
	at := slices.IndexFunc(steps, func(s migrations.Step) bool { return s.Version > version })
	if at < 0 {
		return nil
	}
	return steps[at:]
}

// Plan returns the steps that Up would take. It changes nothing.
func (m Migrator) Plan(ctx context.Context) ([]migrations.Step, Schema, error) {
	state, err := m.DB.schema(ctx, m.files())
	if err != nil {
		return nil, state, err
	}
	steps, err := migrations.Steps(m.files(), m.DB.Dialect.Name)
	if err != nil || len(state.Wrong) > 0 {
		return nil, state, errors.Join(err, state.Err())
	}
	from := state.Version
	if state.Dirty && from > 0 && from <= state.Needed { // it is taken up again
		from--
	}
	return m.after(steps, from), state, nil
}

// Down reverts so many migrations; 0 reverts all.
func (m Migrator) Down(ctx context.Context, steps int) error {
	return m.session(ctx, func(s *session) error {
		if err := s.recover(ctx); err != nil {
			return err
		}
		have, err := m.DB.marks(ctx)
		if err != nil {
			return err
		}
		if needed := latest(s.steps); have.Version > needed {
			return fault.Conflict.New("schema_too_new", "The schema is at version %d, and this program knows only the migrations up to %d: revert the newer ones with the release that made them.", have.Version, needed)
		}
		if have.Version > 0 && m.Before != nil {
			if err := m.Before(ctx, have.Version, s.below(have.Version, steps)); err != nil {
				return err
			}
		}
		return s.revert(ctx, steps)
	})
}

// MigrateForce sets the version without running anything, after a schema was repaired by hand.
func (db *DB) MigrateForce(version int) error {
	m := Migrator{DB: db}
	return m.session(context.Background(), func(s *session) error {
		if version == 0 {
			version = -1 // the migrator's "none"
		}
		if err := s.migrate.Force(version); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		return s.forget(context.Background(), uint(max(version, 0)))
	})
}

// done says that the migrator found nothing to do.
func done(err error) bool { return err == nil || errors.Is(err, migrate.ErrNoChange) }
