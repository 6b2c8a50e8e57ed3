package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migratepostgres "github.com/golang-migrate/migrate/v4/database/postgres"
	migratesqlite "github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"integration-gateway/migrations"
)

// MigrateUp migrates the schema to this binary's version, and creates partitions in
// advance. Several processes may call it at once: one migrates, the others wait.
func (db *DB) MigrateUp() error {
	if err := db.migrate(func(m *migrate.Migrate) error { return m.Up() }); err != nil {
		return err
	}
	_, err := db.CreatePartitions(context.Background())
	return err
}

// MigrateDown reverts so many migrations; 0 reverts all.
func (db *DB) MigrateDown(steps int) error {
	return db.migrate(func(m *migrate.Migrate) error {
		if steps == 0 {
			return m.Down()
		}
		return m.Steps(-steps)
	})
}

// MigrateForce sets the version without running anything, after a half-applied migration
// was repaired by hand.
func (db *DB) MigrateForce(version int) error {
	return db.migrate(func(m *migrate.Migrate) error { return m.Force(version) })
}

// MigrationVersion returns the schema's version, 0 before the first migration, and whether
// a migration failed half-way.
func (db *DB) MigrationVersion() (version uint, dirty bool, err error) {
	err = db.migrate(func(m *migrate.Migrate) error {
		version, dirty, err = m.Version()
		if errors.Is(err, migrate.ErrNilVersion) {
			return nil
		}
		return err
	})
	return version, dirty, err
}

// Schema returns the version of the database's tables, and the one that this binary needs.
func (db *DB) Schema(ctx context.Context) (Schema, error) {
	var have struct {
		Version uint `db:"version"`
		Dirty   bool `db:"dirty"`
	}
	err := db.Get(ctx, &have, `SELECT version, dirty FROM schema_migrations`)
	if err != nil && !errors.Is(err, sql.ErrNoRows) && !isMissingTable(err) {
		return Schema{}, err
	}
	return Schema{have.Version, latestVersion(db.Dialect.Name), have.Dirty}, nil
}

// CheckSchema returns an error, with the command that fixes it, if this binary needs
// another schema. A newer schema is accepted: a rolling upgrade migrates it first.
func (db *DB) CheckSchema(ctx context.Context) error {
	s, err := db.Schema(ctx)
	switch {
	case err != nil:
		return err
	case s.Version < s.Needed:
		return fmt.Errorf("the database's schema is at version %d, but this program needs %d; run: gateway migrate up", s.Version, s.Needed)
	case s.Dirty:
		return fmt.Errorf("migration %d failed half-way; repair the schema, then run: gateway migrate force %d", s.Version, s.Version)
	}
	return nil
}

func isMissingTable(err error) bool {
	return hasCode(err, "42P01") || strings.Contains(err.Error(), "no such table")
}

func latestVersion(dialect string) uint {
	names, _ := fs.Glob(migrations.Files, dialect+"/*.up.sql")
	var latest uint64
	for _, name := range names {
		latest = max(latest, numberOf(dialect, name))
	}
	return uint(latest)
}

// numberOf returns the number of a migration's file; 0 for any other file.
func numberOf(dialect, name string) uint64 {
	number, _, _ := strings.Cut(strings.TrimPrefix(name, dialect+"/"), "_")
	n, _ := strconv.ParseUint(number, 10, 32)
	return n
}

func (db *DB) migrate(run func(*migrate.Migrate) error) (err error) {
	source, err := iofs.New(migrations.Files, db.Dialect.Name)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	// The migrator closes its pool, so it gets its own.
	own, err := Open(Config{URL: db.url, MaxConnections: 3,
		StatementTimeout: migrationTimeout, LockTimeout: migrationTimeout}, db.now)
	if err != nil {
		return err
	}
	driver, err := migrationDriver(own)
	if err != nil {
		_ = own.Close()
		return db.Dialect.classify(err)
	}
	m, err := migrate.NewWithInstance("iofs", source, db.Dialect.Name, driver)
	if err != nil {
		_ = own.Close()
		return fmt.Errorf("prepare the migrations: %w", err)
	}
	m.LockTimeout = migrationTimeout // wait for other migrating processes; the default gives up after 15 s
	defer func() {
		sourceErr, driverErr := m.Close()
		err = errors.Join(err, sourceErr, driverErr)
	}()
	if err := run(m); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func migrationDriver(db *DB) (database.Driver, error) {
	_ = db.read.Close()
	if db.Dialect.Name == postgres.Name {
		return migratepostgres.WithInstance(db.write.DB, &migratepostgres.Config{})
	}
	return migratesqlite.WithInstance(db.write.DB, &migratesqlite.Config{})
}
