package database

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// Tx is a transaction. Changes that must commit together take one as a parameter.
//
// On PostgreSQL, Insert and Write are deferred until the next statement or the commit, and
// share its round trip. A transaction begins with its first statement that is not deferred;
// one without any is a single statement.
type Tx struct {
	Dialect Dialect
	Now     time.Time // the start of the transaction, by the application's clock
	db      *DB
	begin   func() (*sqlx.Tx, error)
	tx      *sqlx.Tx // nil until begun
	waiting []write
	failed  error // of what waited
	after   []func()
}

// write is a statement without a result, and its relation v.
type write struct {
	rows  *Rows
	query string
}

var target = regexp.MustCompile(`(?i)^\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)`)

// table returns the table that w writes to.
func (w write) table() string {
	if found := target.FindStringSubmatch(w.query); found != nil {
		return found[1]
	}
	return "a table"
}

// AfterCommit runs f after the transaction is committed, and never if it is not.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// Get reads one row into dest; sql.ErrNoRows if there is none.
func (tx *Tx) Get(ctx context.Context, dest any, query string, args ...any) error {
	open, err := tx.open(ctx)
	if err != nil {
		return err
	}
	return open.GetContext(ctx, dest, query, args...)
}

// Select reads all rows into dest. A statement with RETURNING may write.
func (tx *Tx) Select(ctx context.Context, dest any, query string, args ...any) error {
	open, err := tx.open(ctx)
	if err != nil {
		return err
	}
	return open.SelectContext(ctx, dest, query, args...)
}

// Exec runs a statement and returns the number of affected rows.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if _, err := tx.open(ctx); err != nil {
		return 0, err
	}
	return tx.run(ctx, query, args, false)
}

// SelectRows is Select for a statement that uses r as the relation v, with r's columns.
// args are $1, $2 …; r takes the numbers after them.
func (tx *Tx) SelectRows(ctx context.Context, dest any, r *Rows, query string, args ...any) error {
	open, err := tx.open(ctx)
	if err != nil {
		return err
	}
	text, all, fixed := tx.Dialect.with(r, query, args)
	if stmt := tx.stmt(ctx, text, fixed); stmt != nil { //nolint:sqlclosecheck // it ends with the transaction
		return stmt.SelectContext(ctx, dest, all...)
	}
	return open.SelectContext(ctx, dest, text, all...)
}

// ExecRows is Exec for a statement that uses r as the relation v.
func (tx *Tx) ExecRows(ctx context.Context, r *Rows, query string, args ...any) (int64, error) {
	if _, err := tx.open(ctx); err != nil {
		return 0, err
	}
	text, all, fixed := tx.Dialect.with(r, query, args)
	return tx.run(ctx, text, all, fixed)
}

// Insert writes all of r into table, at the latest with the commit; see Tx. It does nothing
// if r is empty.
func (tx *Tx) Insert(ctx context.Context, table string, r *Rows) error {
	cols := strings.Join(r.names(), ", ")
	for _, part := range tx.Dialect.split(r) {
		query := "INSERT INTO " + table + " (" + cols + ") SELECT " + cols + " FROM v"
		if tx.Dialect.combine != nil {
			tx.waiting = append(tx.waiting, write{part, query})
			continue
		}
		if _, err := tx.ExecRows(ctx, part, query); err != nil {
			return fmt.Errorf("write %s: %w", table, err)
		}
	}
	return nil
}

// Write is ExecRows for a statement whose count is not needed. It runs after the deferred
// statements, and may itself be deferred; see Tx.
func (tx *Tx) Write(ctx context.Context, r *Rows, query string) error {
	if tx.Dialect.combine == nil {
		_, err := tx.ExecRows(ctx, r, query)
		return err
	}
	if len(tx.waiting) > 0 { // combined statements do not see each other's rows
		if _, err := tx.open(ctx); err != nil {
			return err
		}
	}
	tx.waiting = append(tx.waiting, write{r, query})
	return nil
}

// open returns the transaction, begun and with all deferred statements written.
func (tx *Tx) open(ctx context.Context) (*sqlx.Tx, error) {
	open, err := tx.begun()
	if err != nil || len(tx.waiting) == 0 {
		return open, err
	}
	return open, tx.writeWaiting(func(text string, args []any) error {
		_, err := tx.run(ctx, text, args, true)
		return err
	})
}

// writeWaiting passes the deferred writes to run. Its error names the tables written to and is
// kept, because it does not concern the next statement.
func (tx *Tx) writeWaiting(run func(text string, args []any) error) error {
	list := tx.waiting
	tx.waiting = nil
	if err := run(tx.Dialect.combine(list)); err != nil {
		tx.failed = fmt.Errorf("write %s: %w", failedTables(list, err), err)
	}
	return tx.failed
}

func (tx *Tx) begun() (*sqlx.Tx, error) {
	if tx.tx != nil {
		return tx.tx, nil
	}
	began, err := tx.begin()
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	tx.tx = began
	return began, nil
}

// run runs a statement in the begun transaction, and returns the number of affected rows.
func (tx *Tx) run(ctx context.Context, text string, args []any, fixed bool) (int64, error) {
	var res sql.Result
	var err error
	if stmt := tx.stmt(ctx, text, fixed); stmt != nil { //nolint:sqlclosecheck // it ends with the transaction
		res, err = stmt.ExecContext(ctx, args...)
	} else {
		res, err = tx.tx.ExecContext(ctx, text, args...)
	}
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// stmt returns the prepared statement of a reused text; nil for other texts, and the first
// time.
func (tx *Tx) stmt(ctx context.Context, text string, fixed bool) *sqlx.Stmt {
	if !fixed {
		return nil
	}
	stmt := tx.db.prepared.get(text)
	if stmt == nil {
		return nil
	}
	return tx.tx.StmtxContext(ctx, stmt)
}

// commit writes the deferred statements and commits; if nothing was begun, both are one
// statement.
func (tx *Tx) commit(ctx context.Context) error {
	if tx.tx != nil {
		if _, err := tx.open(ctx); err != nil {
			return err
		}
		if err := tx.tx.Commit(); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		return nil
	}
	if len(tx.waiting) == 0 {
		return nil
	}
	return tx.writeWaiting(func(text string, args []any) (err error) {
		if stmt := tx.db.prepared.get(text); stmt != nil { //nolint:sqlclosecheck // it stays for the next
			_, err = stmt.ExecContext(ctx, args...)
		} else {
			_, err = tx.db.write.ExecContext(ctx, text, args...)
		}
		return err
	})
}

// rollback ends an uncommitted transaction; otherwise it does nothing.
func (tx *Tx) rollback() {
	if tx.tx != nil {
		_ = tx.tx.Rollback()
	}
}
