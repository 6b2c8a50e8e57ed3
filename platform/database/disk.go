package database

import sqlite3 "modernc.org/sqlite/lib"

// recordDisk remembers a write that found the disk full.
func (db *DB) recordDisk(err error) error {
	if err != nil && (hasCode(err, "53100") || hasResult(err, sqlite3.SQLITE_FULL)) {
		db.full.Store(true)
	}
	return err
}

// DiskFull reports whether a write found the disk full and ClearDiskFull has not been
// called since.
func (db *DB) DiskFull() bool { return db.full.Load() }

// ClearDiskFull records that a write which needed space has succeeded.
func (db *DB) ClearDiskFull() { db.full.Store(false) }
