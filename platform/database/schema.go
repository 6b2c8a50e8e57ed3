package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"integration-gateway/migrations"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// Schema is the state of the database's tables, as a program sees it.
type Schema struct {
	Version   uint // 0 before the first migration
	Needed    uint // by this program
	MinReader uint // the lowest version whose programs work on it
	Dirty     bool // a migration did not finish, or runs now
	// Wrong is what its tables have otherwise than those of its version, or of Needed if that
	// is lower; Slow are the indexes that are missing.
	Wrong, Slow []string
}

// shownDifferences limits the differences in an error.
const shownDifferences = 5

// Err returns an error, with what to do, if this program cannot use the schema. A newer schema
// is accepted if its migrations say that older programs work on it: a rolling upgrade migrates
// first.
func (s Schema) Err() error {
	newer := s.Version > s.Needed
	switch {
	case s.Version == 0:
		return fmt.Errorf("the database's schema is at version 0, but this program needs %d; run: gateway migrate up", s.Needed)
	case newer && s.MinReader > s.Needed:
		return fault.Conflict.New("schema_too_new", "The database's schema is at version %d, on which only programs of version %d and later work; this one is of version %d. "+
			"Run a newer release of the gateway.", s.Version, s.MinReader, s.Needed)
	case s.Dirty && !newer:
		return fmt.Errorf("migration %d has not finished; if no `gateway migrate up` runs now, run it: it continues where the last one stopped", s.Version)
	case len(s.Wrong) > 0:
		return fault.Conflict.New("schema_unknown", "The database's schema says it is at version %d, but no release made it: it has %s. "+
			"It was made by an unreleased version, or changed by hand; use another database, or put it right and run: gateway doctor", s.Version, s.Differences())
	case s.Version < s.Needed:
		return fmt.Errorf("the database's schema is at version %d, but this program needs %d; run: gateway migrate up", s.Version, s.Needed)
	}
	return nil
}

// Differences names the first of what is wrong.
func (s Schema) Differences() string {
	shown := s.Wrong[:min(len(s.Wrong), shownDifferences)]
	text := strings.Join(shown, "; ")
	if more := len(s.Wrong) - len(shown); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// marks are what the database says of its schema.
type marks struct {
	Version   uint
	MinReader uint
	Dirty     bool
}

const selectMinReaderSQL = `
SELECT COALESCE(max(min_reader), 0) FROM schema_changes`

func (db *DB) marks(ctx context.Context) (marks, error) {
	var have struct {
		Version int64 `db:"version"` // below 0 while the first migration is reverted
		Dirty   bool  `db:"dirty"`
	}
	err := db.Get(ctx, &have, `SELECT version, dirty FROM schema_migrations`)
	if err != nil && !errors.Is(err, sql.ErrNoRows) && !isMissingTable(err) {
		return marks{}, fmt.Errorf("read the schema's version: %w", err)
	}
	m := marks{Version: uint(max(have.Version, 0)), Dirty: have.Dirty}
	if err := db.Get(ctx, &m.MinReader, selectMinReaderSQL); err != nil && !isMissingTable(err) && !hasCode(err, "42501") { // a role that was not granted the new table yet
		return marks{}, fmt.Errorf("read what the schema's migrations declare: %w", err)
	}
	return m, nil
}

// Schema examines the schema.
func (db *DB) Schema(ctx context.Context) (Schema, error) {
	return db.schema(ctx, migrations.Files)
}

func (db *DB) schema(ctx context.Context, files fs.FS) (Schema, error) {
	have, err := db.marks(ctx)
	if err != nil {
		return Schema{}, err
	}
	steps, err := migrations.Steps(files, db.Dialect.Name)
	if err != nil {
		return Schema{}, err
	}
	s := Schema{Version: have.Version, MinReader: have.MinReader, Dirty: have.Dirty, Needed: latest(steps)}
	if s.Version == 0 || s.Dirty && s.Version <= s.Needed {
		return s, nil
	}
	s.Wrong, s.Slow, err = db.compare(ctx, files, min(s.Version, s.Needed))
	return s, err
}

func latest(steps []migrations.Step) uint {
	if len(steps) == 0 {
		return 0
	}
	return steps[len(steps)-1].Version
}

// compare compares the database's objects with those of a version.
func (db *DB) compare(ctx context.Context, files fs.FS, version uint) (wrong, slow []string, err error) {
	want, err := migrations.Objects(files, db.Dialect.Name, version)
	if err != nil || len(want) == 0 {
		return nil, nil, err
	}
	have, err := db.Objects(ctx)
	if err != nil {
		return nil, nil, err
	}
	wrong, slow = differences(have, want)
	return wrong, slow, nil
}

// CheckSchema returns an error, with what to do, if this program cannot use the database's
// schema; see Schema.Err.
func (db *DB) CheckSchema(ctx context.Context) error {
	s, err := db.Schema(ctx)
	if err != nil {
		return err
	}
	return s.Err()
}

// schemaCheck is the last result of SchemaReady that was good.
type schemaCheck struct {
	mu   sync.Mutex
	done bool
	of   marks
	at   time.Duration // see clock.Monotonic
}

// examineEvery is how often a running process examines the tables although nothing says that
// they were changed.
const examineEvery = time.Minute

// SchemaReady is CheckSchema for a process that runs: it examines the tables only when what
// the database says of its schema has changed, and otherwise once a minute.
func (db *DB) SchemaReady(ctx context.Context) error {
	have, err := db.marks(ctx)
	if err != nil {
		return err
	}
	c := db.checked
	c.mu.Lock()
	known := c.done && c.of == have && clock.Monotonic()-c.at < examineEvery
	c.done = known
	c.mu.Unlock()
	if known {
		return nil
	}
	if err := db.CheckSchema(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	c.done, c.of, c.at = true, have, clock.Monotonic()
	c.mu.Unlock()
	return nil
}

func isMissingTable(err error) bool {
	return hasCode(err, "42P01") || strings.Contains(err.Error(), "no such table")
}
