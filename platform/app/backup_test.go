package app

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

func addEvent(t *testing.T, url string) {
	t.Helper()
	db := testkit.Open(t, url)
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO header_sets (id, source, headers, created_at) SELECT COALESCE(max(id), 0) + 1, 'acme', x'00', '2026-01-01 00:00:00+00:00' FROM header_sets`)
		return err
	}))
}

func ofFile(t *testing.T) (cfg config.Config, path string) {
	t.Helper()
	url := testkit.SQLite(t)
	cfg = devConfig(t)
	cfg.Database.URL = secret.New(url)
	return cfg, databaseFile(cfg)
}

func TestABackupIsRestored(t *testing.T) {
	cfg, path := ofFile(t)
	ctx, url := t.Context(), cfg.Database.URL.Reveal()
	addEvent(t, url)
	file := filepath.Join(t.TempDir(), "copy.db")
	var said bytes.Buffer
	o := BackupOptions{File: file, Out: &said}
	require.NoError(t, Backup(ctx, cfg, quiet, o))
	require.Contains(t, said.String(), "There is no key for secrets")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it holds payloads")
	addEvent(t, url)

	require.True(t, fault.Is(Restore(ctx, cfg, quiet, o), fault.Conflict), "existing records are replaced by force alone")
	unlock, err := lockDatabase(cfg)
	require.NoError(t, err)
	o.Force = true
	require.ErrorContains(t, Restore(ctx, cfg, quiet, o), "in use")
	unlock()
	require.NoError(t, Restore(ctx, cfg, quiet, o))
	require.Equal(t, 1, tableCount(t, testkit.Open(t, url), "header_sets"), "what came after the backup is gone")
	kept, err := filepath.Glob(path + ".replaced-*Z")
	require.NoError(t, err)
	require.Len(t, kept, 1)
	require.Equal(t, 2, tableCount(t, testkit.Open(t, "sqlite://"+kept[0]), "header_sets"), "and kept")
	require.NoFileExists(t, path+".restoring")

	cfg.SecretsKey = secret.New("0123456789abcdef0123456789abcdef")
	require.NoError(t, Backup(ctx, cfg, quiet, BackupOptions{File: file, Force: true, Out: &said}))
	require.Contains(t, said.String(), "THE KEY IS NOT IN IT. Keep a copy of SECRETS_KEY")
}

func TestWhatIsNoBackupIsNotRestored(t *testing.T) {
	cfg, path := ofFile(t)
	addEvent(t, cfg.Database.URL.Reveal())
	folder := t.TempDir()
	write := func(name string, data []byte) string {
		file := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(file, data, 0o600))
		return file
	}
	whole := filepath.Join(folder, "whole.db")
	require.NoError(t, Backup(t.Context(), cfg, quiet, BackupOptions{File: whole, Out: &bytes.Buffer{}}))
	data, err := os.ReadFile(whole)
	require.NoError(t, err)
	inUse := write("in-use.db", data)
	write("in-use.db-wal", nil)
	for name, file := range map[string]string{
		"half a file":       write("half.db", data[:len(data)/2]),
		"another file":      write("text.db", []byte("not a database, but long enough to have a header of a hundred bytes: 0123456789 0123456789 0123456789")),
		"an empty file":     write("empty.db", nil),
		"a database in use": inUse,
		"no file":           filepath.Join(folder, "missing.db"),
	} {
		require.Error(t, Restore(t.Context(), cfg, quiet, BackupOptions{File: file, Force: true, Out: &bytes.Buffer{}}), name)
		require.NoFileExists(t, path+".restoring", name)
	}
	require.Equal(t, 1, tableCount(t, testkit.Open(t, cfg.Database.URL.Reveal()), "header_sets"), "the records are as they were")
}

func TestPostgreSQLIsBackedUpByItsOwnTools(t *testing.T) {
	cfg := devConfig(t)
	cfg.Database.URL = secret.New("postgres://127.0.0.1/gateway")
	for _, do := range []func() error{
		func() error { return Backup(t.Context(), cfg, quiet, BackupOptions{File: "x"}) },
		func() error { return Restore(t.Context(), cfg, quiet, BackupOptions{File: "x"}) },
	} {
		err := do()
		require.ErrorContains(t, err, "pg_dump")
		require.True(t, fault.Is(err, fault.Conflict))
	}
}

func TestADatabaseFileIsCopiedBeforeItsSchemaChanges(t *testing.T) {
	cfg, path := ofFile(t)
	ctx := context.Background()
	addEvent(t, cfg.Database.URL.Reveal())
	yes := func() error { return nil }
	copies := func() []string {
		list, err := filepath.Glob(path + ".before-*")
		require.NoError(t, err)
		return list
	}
	for range keptCopies {
		_, err := MigrateDown(ctx, cfg, quiet, 1, &bytes.Buffer{}, yes)
		require.NoError(t, err)
		_, err = MigrateUp(ctx, cfg, quiet, &bytes.Buffer{})
		require.NoError(t, err)
	}
	require.Len(t, copies(), keptCopies, "older ones are removed")
	require.Equal(t, 1, tableCount(t, testkit.Open(t, "sqlite://"+copies()[0]), "header_sets"))
}

func TestAProcessIsNotReadyOnASchemaThatItCannotUse(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		require.NoError(t, db.SchemaReady(t.Context()))
		require.NoError(t, db.MigrateDown(1))
		require.ErrorContains(t, db.SchemaReady(t.Context()), "run: gateway migrate up")
		require.NoError(t, db.MigrateUp())
		require.NoError(t, db.SchemaReady(t.Context()))
	})
}
