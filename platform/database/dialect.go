package database

import (
	"context"
	"errors"
	"strings"
)

// Dialect holds the words in which the two engines differ.
type Dialect struct {
	Name       string // "postgres" or "sqlite"; also the folder of its migrations
	ForUpdate  string // locks the selected rows; SQLite has a single writer, so there is nothing to lock
	SkipLocked string // the same, passing over rows that are locked
	LeaseNow   string // the database's clock, for leases alone
	Like       string // case-insensitive LIKE; use with ESCAPE '\'

	leaseIn func(millis string) string
	// relation renders rows before a query, and numbers the parameters of both. fixed
	// says that the text comes again with other rows.
	relation func(r *Rows, query string, args []any) (body, numbered string, all []any, fixed bool)
	parts    func(r *Rows) []*Rows // what one statement each inserts; none of an empty r
	// together makes one statement of several that do not need each other's rows; nil where
	// each had better run by itself.
	together func(list []write) (text string, args []any)
	classify func(error) error
	estimate func(ctx context.Context, db *DB, from string, f *Filter) (int, error) // of the rows that f means
	// isConflict reports that a transaction lost against another and may be
	// begun anew; isUnique that a unique constraint refused a row.
	isConflict, isUnique func(error) bool
}

// LeaseIn is the SQL for the database's clock plus so many milliseconds, an SQL
// expression of an integer.
func (d Dialect) LeaseIn(millis string) string { return d.leaseIn(millis) }

// IsUnique reports whether err says that a unique constraint refused a row.
func (d Dialect) IsUnique(err error) bool { return err != nil && d.isUnique(err) }

// Contains is the pattern for Like that finds text literally anywhere.
func Contains(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}

func asError[E error](err error) (E, bool) {
	var e E
	ok := errors.As(err, &e)
	return e, ok
}
