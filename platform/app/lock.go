package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"integration-gateway/platform/config"
)

// lockDatabase makes this process the only one that serves and works on a database
// file, until unlock. The lock goes with the process, however it ends. For
// PostgreSQL it does nothing.
func lockDatabase(cfg config.Config) (unlock func(), err error) {
	if !cfg.Database.SQLite() {
		return func() {}, nil
	}
	path := strings.TrimPrefix(cfg.Database.URL.Reveal(), "sqlite://")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("the database's folder: %w", err)
	}
	lock := flock.New(path + ".lock")
	locked, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w", path, err)
	case !locked:
		return nil, fmt.Errorf("another gateway is using %s; stop it, or give this one a folder of its own", path)
	}
	return func() { _ = lock.Unlock() }, nil
}
