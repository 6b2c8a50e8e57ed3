package database

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// Tx is a transaction. What must commit together takes one as a parameter.
//
// On PostgreSQL what Insert and Write are given waits for the next statement or for the
// commit, and goes in one round trip with what else waits. A transaction begins with its
// first statement that does not wait: one that has none is a single statement.
type Tx struct {
	Dialect Dialect
	Now     time.Time // the moment the transaction began, by the application's clock
	db      *DB
	begin   func() (*sqlx.Tx, error)
	tx      *sqlx.Tx // nil until begun
	waiting []write
	after   []func()
}

// write is a statement without a result, and its relation v.
type write struct {
	rows  *Rows
	query string
}

// AfterCommit runs f once the transaction is committed, and never when it is not.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// Get reads one row into dest; sql.ErrNoRows when there is none.
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

// Exec runs a statement and gives the number of rows it touched.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if _, err := tx.open(ctx); err != nil {
		return 0, err
	}
	return tx.run(ctx, query, args, false)
}

// SelectRows is Select for a statement that uses r as the relation v, with r's
// columns. args are $1, $2 …; r takes the numbers behind them.
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

// Insert writes all of r into table, at the latest with the commit; see Tx. Nothing
// happens when r is empty.
func (tx *Tx) Insert(ctx context.Context, table string, r *Rows) error {
	cols := strings.Join(r.names(), ", ")
	for _, part := range tx.Dialect.parts(r) {
		query := "INSERT INTO " + table + " (" + cols + ") SELECT " + cols + " FROM v"
		if tx.Dialect.together != nil {
			tx.waiting = append(tx.waiting, write{part, query})
			continue
		}
		if _, err := tx.ExecRows(ctx, part, query); err != nil {
			return fmt.Errorf("insert into %s: %w", table, err)
		}
	}
	return nil
}

// Write is ExecRows for a statement that nobody needs the count of. It comes after all that
// waits, and may wait itself; see Tx.
func (tx *Tx) Write(ctx context.Context, r *Rows, query string) error {
	if tx.Dialect.together == nil {
		_, err := tx.ExecRows(ctx, r, query)
		return err
	}
	if len(tx.waiting) > 0 { // statements that go together do not see each other's rows
		if _, err := tx.open(ctx); err != nil {
			return err
		}
	}
	tx.waiting = append(tx.waiting, write{r, query})
	return nil
}

// open is the transaction, begun, with all that waits written.
func (tx *Tx) open(ctx context.Context) (*sqlx.Tx, error) {
	open, err := tx.begun()
	if err != nil || len(tx.waiting) == 0 {
		return open, err
	}
	text, args := tx.Dialect.together(tx.waiting)
	tx.waiting = nil
	_, err = tx.run(ctx, text, args, true)
	return open, err
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

// run runs a statement in the begun transaction, and gives the number of rows it touched.
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

// stmt is the prepared statement of a text that comes again; nil for others, and when
// it is met for the first time.
func (tx *Tx) stmt(ctx context.Context, text string, fixed bool) *sqlx.Stmt {
	if !fixed {
		return nil
	}
	stmt := tx.db.prepared.of(text)
	if stmt == nil {
		return nil
	}
	return tx.tx.StmtxContext(ctx, stmt)
}

// commit writes what waits and commits; where nothing was begun both are one statement.
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
	text, args := tx.Dialect.together(tx.waiting)
	var err error
	if stmt := tx.db.prepared.of(text); stmt != nil { //nolint:sqlclosecheck // it stays for the next
		_, err = stmt.ExecContext(ctx, args...)
	} else {
		_, err = tx.db.write.ExecContext(ctx, text, args...)
	}
	return err
}

// rollback ends a transaction that was not committed; else it does nothing.
func (tx *Tx) rollback() {
	if tx.tx != nil {
		_ = tx.tx.Rollback()
	}
}
