package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"integration-gateway/platform/fault"
)

// Backup writes a consistent copy of an SQLite database to a file, while it may be in use. The
// file appears when it is complete, checked and on the disk; an existing one is replaced only if
// overwrite says so.
func (db *DB) Backup(ctx context.Context, path string, overwrite bool) (err error) {
	if _, err := os.Stat(path); err == nil && !overwrite {
		return existing(path)
	}
	partial := path + ".partial"
	if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an unfinished backup: %w", err)
	}
	file, err := os.OpenFile(partial, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // SQLite would let others read it
	if err != nil {
		return fmt.Errorf("create the backup: %w", err)
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err != nil {
			_ = os.Remove(partial)
		}
	}()
	if _, err := db.write.ExecContext(ctx, `VACUUM INTO ?`, partial); err != nil {
		return fmt.Errorf("write the backup: %w", db.classify(err))
	}
	if err := CheckFile(ctx, partial); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("write the backup to the disk: %w", err)
	}
	return place(partial, path, overwrite)
}

func existing(path string) error {
	return fault.Conflict.New("file_exists", "%s exists: name another file, or replace it with --force.", path)
}

// place gives a finished file its name.
func place(partial, path string, overwrite bool) error {
	if !overwrite {
		switch err := os.Link(partial, path); { // never replaces one that was made meanwhile
		case err == nil:
			if err := os.Remove(partial); err != nil {
				return fmt.Errorf("name the file: %w", err)
			}
			return syncFolder(path)
		case errors.Is(err, fs.ErrExist):
			return existing(path)
		} // a file system without links
	}
	if err := os.Rename(partial, path); err != nil {
		return fmt.Errorf("name the file: %w", err)
	}
	return syncFolder(path)
}

func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write the folder to the disk: %w", err)
	}
	if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
		return fmt.Errorf("write the folder to the disk: %w", err)
	}
	return nil
}

// CheckFile checks a database file that nobody uses, without changing it: each page and each index of it.
func CheckFile(ctx context.Context, path string) error {
	file, err := openReadOnly(path)
	if err != nil {
		return err
	}
	var found []string
	err = file.SelectContext(ctx, &found, `PRAGMA integrity_check`)
	if err = errors.Join(err, file.Close()); err != nil {
		return fault.Invalid.Wrap(err, "damaged_file", "%s is not a database, or is damaged", path)
	}
	if len(found) != 1 || found[0] != "ok" {
		return fault.Invalid.New("damaged_file", "%s is damaged: %s", path, found[0])
	}
	return nil
}

// Place gives a finished file its name, replacing nothing, and writes both to the disk.
func Place(partial, path string) error { return place(partial, path, false) }
