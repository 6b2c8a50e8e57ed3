package app

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"integration-gateway/platform/config"
)

// lockDatabase makes this process the only one that serves and works on a database file,
// until unlock. The lock ends with the process in any case. For PostgreSQL it does nothing.
func lockDatabase(cfg config.Config) (unlock func(), err error) {
	if !cfg.Database.SQLite() {
		return func() {}, nil
	}
	path := databaseFile(cfg)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("%s: the database's folder: %w", databaseSetting(cfg), err)
	}
	lock := flock.New(path + ".lock")
	locked, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: lock %s: %w", databaseSetting(cfg), path, err)
	case !locked:
		return nil, fmt.Errorf("another gateway is using %s; stop it, or use another folder", path)
	}
	return func() { _ = lock.Unlock() }, nil
}
