package app

import (
	"context"
	"errors"
	"log/slog"

	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
)

// MigrateUp brings the schema to this program's version and gives it.
func MigrateUp(ctx context.Context, cfg config.Config, log *slog.Logger) (version uint, err error) {
	err = onDatabase(ctx, cfg, log, func(db *database.DB) error {
		if err := db.MigrateUp(); err != nil {
			return err
		}
		version, _, err = db.MigrationVersion()
		return err
	})
	return version, err
}

// MigrateDown undoes so many migrations, 0 for all, and gives the version then.
func MigrateDown(ctx context.Context, cfg config.Config, log *slog.Logger, steps int) (version uint, err error) {
	err = onDatabase(ctx, cfg, log, func(db *database.DB) error {
		if err := db.MigrateDown(steps); err != nil {
			return err
		}
		version, _, err = db.MigrationVersion()
		return err
	})
	return version, err
}

// MigrationVersion gives the schema's version, and whether a migration failed half-way.
func MigrationVersion(ctx context.Context, cfg config.Config, log *slog.Logger) (version uint, dirty bool, err error) {
	err = onDatabase(ctx, cfg, log, func(db *database.DB) error {
		version, dirty, err = db.MigrationVersion()
		return err
	})
	return version, dirty, err
}

// MigrateForce sets the version without running anything.
func MigrateForce(ctx context.Context, cfg config.Config, log *slog.Logger, version int) error {
	return onDatabase(ctx, cfg, log, func(db *database.DB) error { return db.MigrateForce(version) })
}

func onDatabase(ctx context.Context, cfg config.Config, log *slog.Logger, do func(*database.DB) error) error {
	db, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}
