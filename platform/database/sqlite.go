package database

import (
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"integration-gateway/platform/clock"
)

// sqliteNow has the driver's time format, so that the two compare.
const sqliteNow = `strftime('%Y-%m-%d %H:%M:%f+00:00', 'now'`

var sqliteDialect = Dialect{
	Name:     "sqlite",
	LeaseNow: sqliteNow + `)`,
	Like:     "LIKE",
	HashText: "substr(%s, 1, 100)",
	leaseIn: func(millis string) string {
		return sqliteNow + `, ((` + millis + `) / 1000.0) || ' seconds')`
	},
	bytesHold: func(column, part string) string {
		return "instr(" + column + ", " + part + ") > 0"
	},
	oneByte:    "x'%02x'",
	relation:   valuesList,
	split:      powersOfTwo,
	classify:   classifySQLite,
	estimate:   estimateSQLite,
	isConflict: func(err error) bool { return hasResult(err, sqlite3.SQLITE_BUSY) },
	isUnique: func(err error) bool {
		e, ok := asError[*sqlite.Error](err)
		return ok && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
	},
}

func openSQLite(cfg Config, now clock.Now) (*DB, error) {
	path := strings.TrimPrefix(cfg.URL, "sqlite://")
	if path == "" {
		return nil, fmt.Errorf("the database URL has no file; write sqlite://path/to/gateway.db")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the database's folder: %w", err)
	}
	write, err := sql.Open("sqlite", sqliteDSN(path, false))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", sqliteDSN(path, true))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), write.Close())
	}
	read.SetMaxOpenConns(max(4, runtime.NumCPU()))
	return newDB(sqliteDialect, cfg.URL, now, sqlx.NewDb(write, "sqlite"), sqlx.NewDb(read, "sqlite")), nil
}

// openReadOnly opens a file that nobody uses, and leaves no other file beside it.
func openReadOnly(path string) (*sqlx.DB, error) {
	file, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro&immutable=1")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return sqlx.NewDb(file, "sqlite"), nil
}

// sqliteDSN sets the options for durability and concurrency on every connection.
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

// classifySQLite distinguishes outages from errors of this program. https://sqlite.org/rescode.html
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

// maxRows is the largest number of rows of a prepared statement. SQLite allows 32,766
// parameters in one. https://sqlite.org/limits.html
const maxRows = 256

// valuesList renders r as VALUES, one parameter per cell. Up to maxRows rows, the number is
// rounded up to a power of two with rows of NULL, which equal nothing, so that a few texts
// serve all sizes. The cells have no names and so come first: SQLite looks a name ($7, ?7)
// up in a linear list, and a statement's time would grow quadratically.
func valuesList(r *Rows, query string, args []any) (body, numbered string, all []any, fixed bool) {
	if r.Len() == 0 {
		return "SELECT " + strings.TrimSuffix(strings.Repeat("NULL, ", len(r.columns)), ", ") + " WHERE false", query, args, false
	}
	rows := r.Len()
	if fixed = rows <= maxRows; fixed {
		rows = 1 << bits.Len(uint(rows-1)) //nolint:gosec // at least 0
	}
	all = make([]any, rows*len(r.columns), rows*len(r.columns)+len(args))
	for i := range r.columns {
		r.columns[i].values(func(row int, value any) { all[row*len(r.columns)+i] = value })
	}
	one := ",(" + strings.Repeat(",?", len(r.columns))[1:] + ")"
	return "VALUES " + strings.Repeat(one, rows)[1:], renumber(query, len(all)), append(all, args...), fixed
}

// renumber raises the numbers of a query's parameters.
func renumber(query string, by int) string {
	var b strings.Builder
	b.Grow(len(query) + 16)
	for {
		before, after, more := strings.Cut(query, "$")
		b.WriteString(before)
		if !more {
			return b.String()
		}
		digits := 0
		for digits < len(after) && after[digits] >= '0' && after[digits] <= '9' {
			digits++
		}
		b.WriteByte('$')
		if n, err := strconv.Atoi(after[:digits]); err == nil { // otherwise it is not a parameter
			b.WriteString(strconv.Itoa(n + by))
		}
		query = after[digits:]
	}
}

// powersOfTwo splits r so that each part has a number of rows that stays prepared, and
// needs no row of NULL.
func powersOfTwo(r *Rows) []*Rows {
	var parts []*Rows
	for from := 0; from < r.Len(); {
		rows := min(maxRows, 1<<(bits.Len(uint(r.Len()-from))-1)) //nolint:gosec // at least 1
		parts = append(parts, r.slice(from, from+rows))
		from += rows
	}
	return parts
}
