package database

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"integration-gateway/platform/clock"
)

// sqliteNow is written as the driver writes times, so that the two compare.
const sqliteNow = `strftime('%Y-%m-%d %H:%M:%f+00:00', 'now'`

var sqliteDialect = Dialect{
	Name:     "sqlite",
	LeaseNow: sqliteNow + `)`,
	Like:     "LIKE",
	// SQLite looks parameters up by walking their list, so a statement's time grows
	// with the square of their number; its bound is 32,766. https://sqlite.org/limits.html
	maxCells: 500,
	leaseIn: func(millis string) string {
		return sqliteNow + `, ((` + millis + `) / 1000.0) || ' seconds')`
	},
	relation:   valuesList,
	classify:   classifySQLite,
	isConflict: func(err error) bool { return hasResult(err, sqlite3.SQLITE_BUSY) },
	isUnique: func(err error) bool {
		e, ok := asError[*sqlite.Error](err)
		return ok && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
	},
}

func openSQLite(cfg Config, now clock.Now) (*DB, error) {
	path := strings.TrimPrefix(cfg.URL, "sqlite://")
	if path == "" {
		return nil, fmt.Errorf("the database URL names no file; write sqlite://path/to/gateway.db")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("the database's folder: %w", err)
	}
	write, err := sql.Open("sqlite", sqliteDSN(path, false))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", sqliteDSN(path, true))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	read.SetMaxOpenConns(max(4, runtime.NumCPU()))
	return &DB{Dialect: sqliteDialect, url: cfg.URL, now: now,
		write: sqlx.NewDb(write, "sqlite"), read: sqlx.NewDb(read, "sqlite")}, nil
}

// sqliteDSN sets what durability and concurrency need on every connection.
func sqliteDSN(path string, readOnly bool) string {
	q := url.Values{}
	for _, pragma := range []string{
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		"temp_store(MEMORY)", "cache_size(-16000)",
	} {
		q.Add("_pragma", pragma)
	}
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	}
	q.Set("_txlock", "immediate")
	q.Set("_time_format", "sqlite")
	q.Set("_timezone", "UTC")
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func hasResult(err error, code int) bool {
	e, ok := asError[*sqlite.Error](err)
	return ok && e.Code()&0xff == code
}

// classifySQLite tells an outage from a mistake. https://sqlite.org/rescode.html
func classifySQLite(err error) error {
	switch {
	case err == nil:
		return nil
	case transient(err), hasResult(err, sqlite3.SQLITE_BUSY), hasResult(err, sqlite3.SQLITE_LOCKED),
		hasResult(err, sqlite3.SQLITE_FULL), hasResult(err, sqlite3.SQLITE_IOERR), hasResult(err, sqlite3.SQLITE_CANTOPEN),
		hasResult(err, sqlite3.SQLITE_INTERRUPT):
		return unavailable(err)
	}
	return err
}

// valuesList renders r as VALUES, one parameter a cell.
func valuesList(r *Rows, args []any) (string, []any) {
	if r.Len() == 0 {
		return "SELECT " + strings.TrimSuffix(strings.Repeat("NULL, ", len(r.columns)), ", ") + " WHERE false", args
	}
	var b strings.Builder
	b.WriteString("VALUES ")
	for row := range r.Len() {
		if row > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for col := range r.columns {
			if col > 0 {
				b.WriteString(", ")
			}
			args = append(args, r.values[col][row])
			fmt.Fprintf(&b, "$%d", len(args))
		}
		b.WriteByte(')')
	}
	return b.String(), args
}
