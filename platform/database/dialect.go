package database

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Dialect holds the differences between the two engines.
type Dialect struct {
	Name       string // "postgres" or "sqlite"; also the folder of its migrations
	ForUpdate  string // locks the selected rows; SQLite has a single writer, so there is nothing to lock
	SkipLocked string // the same, skipping locked rows
	ForShare   string // keeps the selected rows from being changed
	KeepEvent  string // keeps the selected rows of e from being deleted, and nothing else
	LeaseNow   string // the database's clock, only for leases
	Like       string // case-insensitive LIKE; use with ESCAPE '\'
	HashText   string // the format of SQL for what an index has in place of a long text: its hash, or its beginning

	leaseIn   func(millis string) string
	bytesHold func(column, part string) string
	oneByte   string // the format of a literal of one byte
	// relation renders rows before a query, and numbers the parameters of both. fixed says
	// that the same text is used again with other rows.
	relation func(r *Rows, query string, args []any) (body, numbered string, all []any, fixed bool)
	split    func(r *Rows) []*Rows // splits r into inserts of one statement each; none for an empty r
	// combine joins statements that do not need each other's rows into one; nil if they
	// should run separately.
	combine  func(list []write) (text string, args []any)
	classify func(error) error
	estimate func(ctx context.Context, db *DB, from string, f *Filter) (int, error) // of the rows that match f
	// isConflict reports that a transaction lost against another and can be retried;
	// isUnique that a unique constraint refused a row.
	isConflict, isUnique func(error) bool
}

// LeaseIn returns SQL for the database's clock plus millis, an SQL expression of an
// integer.
func (d Dialect) LeaseIn(millis string) string { return d.leaseIn(millis) }

// BytesHold returns SQL for whether the bytes of a column contain part, an SQL expression of
// bytes, at any offset.
func (d Dialect) BytesHold(column, part string) string { return d.bytesHold(column, part) }

// Byte returns a literal of one byte.
func (d Dialect) Byte(b byte) string { return fmt.Sprintf(d.oneByte, b) }

// IsUnique reports whether err says that a unique constraint refused a row.
func (d Dialect) IsUnique(err error) bool { return err != nil && d.isUnique(err) }

// Contains returns the pattern for Like that finds text literally anywhere.
func Contains(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}

func asError[E error](err error) (E, bool) {
	var e E
	ok := errors.As(err, &e)
	return e, ok
}
