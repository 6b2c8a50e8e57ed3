package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"integration-gateway/platform/app/doctor"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// BackupOptions are the options of `gateway backup` and `gateway restore`.
type BackupOptions struct {
	File  string
	Force bool // an existing file may be replaced
	Out   io.Writer
}

// errPostgres says how PostgreSQL is backed up.
var errPostgres = fault.Conflict.New("not_a_file", "The records are in PostgreSQL, which has its own tools: pg_dump --format=custom --file=FILE \"$DATABASE_URL\", "+
	"and into a new database pg_restore --exit-on-error --dbname=NAME FILE. See docs/backup.md.")

// InDataFolder points cfg to the records of `gateway dev` in a folder, whether they exist or not.
func InDataFolder(cfg config.Config, dir string) (config.Config, error) {
	cfg.Database.URL = secret.New("sqlite://" + filepath.Join(dir, databaseName))
	return WithKeyBesideDatabase(cfg)
}

const fileTime = "20060102T150405.000Z"

// Backup copies the records of a database file while they may be in use.
func Backup(ctx context.Context, cfg config.Config, log *slog.Logger, o BackupOptions) error {
	if !cfg.Database.SQLite() {
		return errPostgres
	}
	return onDatabase(ctx, cfg, log, func(db *database.DB) error {
		if err := requireSpace(filepath.Dir(o.File), databaseFile(cfg)); err != nil {
			return err
		}
		if err := db.Backup(ctx, o.File, o.Force); err != nil {
			return err
		}
		info, err := os.Stat(o.File)
		if err != nil {
			return fmt.Errorf("look at the backup: %w", err)
		}
		_, err = fmt.Fprintf(o.Out, "%s: %s, checked\n%s", o.File, doctor.Size(uint64(max(info.Size(), 0))), keyNotice(cfg))
		return err
	})
}

// keyNotice says where the key is that the copy cannot be used without.
func keyNotice(cfg config.Config) string {
	beside := filepath.Join(filepath.Dir(databaseFile(cfg)), secretsKeyFile)
	where := "SECRETS_KEY"
	if _, err := os.Stat(beside); err == nil {
		where = beside
	} else if cfg.SecretsKey.Empty() {
		return "There is no key for secrets: the backup contains them in plain text. Keep it where nobody else can read it.\n"
	}
	return "THE KEY IS NOT IN IT. Keep a copy of " + where + " in another place: without it no stored secret can be read again.\n"
}

// requireSpace refuses to begin a copy that the disk has no room for.
func requireSpace(folder, path string) error {
	need := uint64(64 << 20)
	for _, each := range []string{path, path + "-wal"} {
		if info, err := os.Stat(each); err == nil {
			need += uint64(max(info.Size(), 0))
		}
	}
	free, _, err := doctor.Free(folder)
	if err != nil || free >= need {
		return nil //nolint:nilerr // unknown here: the copy itself fails when the disk is full, and leaves nothing
	}
	return fault.Unavailable.New("disk_full", "%s has %s free, and a copy of %s may need %s: make room, or name another folder.", folder, doctor.Size(free), path, doctor.Size(need))
}

// keptCopies is how many copies from before migrations stay beside a database file.
const keptCopies = 3

// copyBeforeChange copies a database file beside itself before its schema is changed, and
// removes the oldest of such copies.
func copyBeforeChange(ctx context.Context, db *database.DB, path string, from, to uint, say func(string, ...any)) error {
	if err := requireSpace(filepath.Dir(path), path); err != nil {
		return err
	}
	name := fmt.Sprintf("%s.before-%s-v%d-to-v%d", path, clock.System().Format(fileTime), from, to)
	if err := db.Backup(ctx, name, false); err != nil {
		return fmt.Errorf("copy the database before its schema is changed: %w", err)
	}
	say("copied the database to %s; the last %d of such copies are kept", name, keptCopies)
	copies, err := filepath.Glob(strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path) + ".before-*-v*-to-v*[0-9]")
	if err != nil {
		return fmt.Errorf("list the copies: %w", err)
	}
	slices.Sort(copies) // by time
	for _, old := range copies[:max(0, len(copies)-keptCopies)] {
		if err := os.Remove(old); err != nil {
			say("the old copy %s cannot be removed: %s", old, err)
		}
	}
	return nil
}

// Restore replaces a database file with a backup, while no gateway uses it. The replaced file
// is kept under another name.
func Restore(ctx context.Context, cfg config.Config, log *slog.Logger, o BackupOptions) (err error) {
	if !cfg.Database.SQLite() {
		return errPostgres
	}
	path := databaseFile(cfg)
	unlock, err := lockDatabase(cfg)
	if err != nil {
		return fault.Conflict.Wrap(err, "in_use", "The database is in use")
	}
	defer unlock()
	_, exists := os.Stat(path)
	if exists == nil && !o.Force {
		return fault.Conflict.New("file_exists", "%s exists: restore with --force, which keeps it under another name.", path)
	}
	restored := path + ".restoring"
	defer func() {
		for _, each := range []string{restored, restored + "-wal", restored + "-shm"} {
			_ = os.Remove(each)
		}
	}()
	version, err := takeBackup(ctx, cfg, log, o.File, restored)
	if err != nil {
		return err
	}
	if exists == nil {
		kept := path + ".replaced-" + clock.System().Format(fileTime)
		if err := setAside(path, kept); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(o.Out, "the replaced records are in %s\n", kept); err != nil {
			return err
		}
	}
	if err := database.Place(restored, path); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.Out, "%s: restored, at schema version %d\n%s%s", path, version, keyNeeded(cfg),
		"Events that were accepted after the backup are gone; what it does not know as delivered is delivered again.\nCheck it: gateway verify\n")
	return err
}

func keyNeeded(cfg config.Config) string {
	if cfg.SecretsKey.Empty() {
		return "THE KEY IS NOT IN THE BACKUP: if its secrets are encrypted, put their key into " + filepath.Join(filepath.Dir(databaseFile(cfg)), secretsKeyFile) +
			", or set SECRETS_KEY, before you start the gateway.\n"
	}
	return ""
}

// takeBackup copies a backup to path, and checks that it holds records that this program can
// use.
func takeBackup(ctx context.Context, cfg config.Config, log *slog.Logger, file, path string) (version uint, err error) {
	if _, err := os.Stat(file + "-wal"); err == nil {
		return 0, fault.Invalid.New("not_a_backup", "%s-wal exists, so %s is a database in use and not a backup: make one with gateway backup.", file, file)
	}
	if err := copyFile(file, path); err != nil {
		return 0, err
	}
	if err := database.CheckFile(ctx, path); err != nil {
		return 0, fmt.Errorf("the backup %s: %w", file, err)
	}
	own := cfg
	own.Database.URL = secret.New("sqlite://" + path)
	db, err := openDatabase(ctx, own, log)
	if err != nil {
		return 0, err
	}
	state, err := db.Schema(ctx)
	if err = errors.Join(err, db.Close()); err != nil {
		return 0, err
	}
	switch {
	case state.Version == 0:
		return 0, fault.Invalid.New("not_a_backup", "%s holds no records of a gateway.", file)
	case state.Version >= state.Needed || len(state.Wrong) > 0:
		return state.Version, state.Err()
	}
	return state.Version, nil // gateway dev migrates it, or `migrate up`
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return fault.NotFound.Wrap(err, "no_backup", "The backup cannot be read")
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copy the backup: %w", err)
	}
	_, err = io.Copy(target, source)
	if err = errors.Join(err, target.Sync(), target.Close()); err != nil {
		return fmt.Errorf("copy the backup: %w", err)
	}
	return nil
}

// setAside renames a database with the files that belong to it.
func setAside(path, kept string) error {
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(path+suffix, kept+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep the replaced records: %w", err)
		}
	}
	return nil
}
