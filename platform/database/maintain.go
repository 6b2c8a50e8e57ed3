package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

const (
	// The advisory locks. Making partitions is short and waited for; maintenance may be long.
	makingLock      = 7_307_000
	maintenanceLock = 7_307_001
	// ddlPatience is how long a change of the schema waits for its lock, while whoever
	// wants a lock that conflicts waits behind it; then it lets go and tries again.
	ddlPatience = time.Second
	ddlAttempts = 5

	maintenanceTimeout = 5 * time.Minute // one statement
)

// Maintenance is the right to change partitions, which one process has at a time, and a
// connection of its own. On SQLite there is nothing to lock, and no partition.
type Maintenance struct {
	db   *DB
	conn *sqlx.Conn // nil on SQLite
}

// Maintain runs fn while no other process maintains the database; ran is false where one
// does.
func (db *DB) Maintain(ctx context.Context, fn func(*Maintenance) error) (ran bool, err error) {
	if db.Dialect.Name != postgres.Name {
		return true, fn(&Maintenance{db: db})
	}
	err = db.onOwnConnection(ctx, func(m *Maintenance) error {
		if err := m.conn.GetContext(ctx, &ran, `SELECT pg_try_advisory_lock($1)`, maintenanceLock); err != nil || !ran {
			return err
		}
		return fn(m)
	})
	return ran, err
}

// onOwnConnection takes no connection of the pools: those are for webhooks. What it locks
// it lets go of with the connection.
func (db *DB) onOwnConnection(ctx context.Context, fn func(*Maintenance) error) (err error) {
	pool, err := poolPostgres(Config{URL: db.url, StatementTimeout: maintenanceTimeout, LockTimeout: ddlPatience}, 1, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	conn, err := pool.Connx(ctx)
	if err != nil {
		return db.Dialect.classify(err)
	}
	defer func() { _ = conn.Close() }()
	return db.Dialect.classify(fn(&Maintenance{db: db, conn: conn}))
}

// MakePartitions makes those that are missing, and gives their names. Each is made apart
// and then attached: that takes a lock which reads and writes of the table do not wait for
// (SHARE UPDATE EXCLUSIVE), where CREATE TABLE … PARTITION OF takes one that all wait for.
// https://www.postgresql.org/docs/current/sql-altertable.html
func (db *DB) MakePartitions(ctx context.Context) (made []string, err error) {
	if db.Dialect.Name != postgres.Name {
		return nil, nil
	}
	if missing, err := db.missingPartitions(ctx); err != nil || len(missing) == 0 {
		return nil, err
	}
	err = db.onOwnConnection(ctx, func(m *Maintenance) error {
		lock := func() error { _, err := m.conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, makingLock); return err }
		if err := m.retry(lock); err != nil {
			return fmt.Errorf("wait for whoever makes partitions: %w", err)
		}
		missing, err := db.missingPartitions(ctx) // another process may have made them
		for _, p := range missing {
			create := fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL)", p.Name, p.Table)
			if err := m.inTx(ctx, create, p.attach()); err != nil {
				return fmt.Errorf("make the partition %s: %w", p.Name, err)
			}
			made = append(made, p.Name)
		}
		return err
	})
	return made, err
}

func (db *DB) missingPartitions(ctx context.Context) ([]Partition, error) {
	have, err := db.Partitions(ctx)
	return MissingPartitions(have, db.now()), err
}

func (p Partition) attach() string {
	from := "MINVALUE"
	if p.From != "" {
		from = "'" + p.From + "'"
	}
	return fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO ('%s')", p.Table, p.Name, from, p.To)
}

// retry runs a change of the schema again where it did not get its lock in time.
func (m *Maintenance) retry(do func() error) (err error) {
	for range ddlAttempts {
		if err = do(); !hasCode(err, "55P03", "40P01") {
			break
		}
	}
	return err
}

func (m *Maintenance) inTx(ctx context.Context, statements ...string) error {
	return m.retry(func() error {
		tx, err := m.conn.BeginTxx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		for _, s := range statements {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return tx.Commit()
	})
}

const selectStandingSQL = `
SELECT c.relispartition AS attached, COALESCE(bool_or(i.inhdetachpending), false) AS pending
FROM   pg_class c
LEFT   JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE  c.oid = to_regclass($1)
GROUP  BY c.relispartition`

type tableStanding struct{ Attached, Pending bool }

// standing says whether a table is attached to its parent; false when it is not there.
func (m *Maintenance) standing(ctx context.Context, name string) (s tableStanding, exists bool, err error) {
	err = m.conn.GetContext(ctx, &s, selectStandingSQL, name)
	if errors.Is(err, sql.ErrNoRows) {
		return s, false, nil
	}
	return s, err == nil, err
}

// Detach takes a partition out of its table and keeps it, without making anybody wait.
// What was interrupted is completed. A partition that is no part of its table stays so.
func (m *Maintenance) Detach(ctx context.Context, p Partition) error {
	err := m.retry(func() error {
		s, exists, err := m.standing(ctx, p.Name)
		if err != nil || !exists || !s.Attached {
			return err
		}
		how := "CONCURRENTLY"
		if s.Pending {
			how = "FINALIZE"
		}
		_, err = m.conn.ExecContext(ctx, fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s %s", p.Table, p.Name, how))
		return err
	})
	if err != nil {
		return fmt.Errorf("detach the partition %s: %w", p.Name, err)
	}
	return nil
}

// Attach puts a partition back that Detach took out, also where a process died between.
func (m *Maintenance) Attach(ctx context.Context, p Partition) error {
	if _, exists, err := m.standing(ctx, p.Name); err != nil || !exists {
		return err
	}
	if err := m.Detach(ctx, p); err != nil { // one that is half detached
		return err
	}
	if err := m.inTx(ctx, p.attach()); err != nil {
		return fmt.Errorf("attach the partition %s: %w", p.Name, err)
	}
	return nil
}

// condemned is the comment of a table that Drop was about to drop.
const condemned = "gateway: to be dropped"

// Drop removes a partition and all that is in it.
func (m *Maintenance) Drop(ctx context.Context, p Partition) error {
	if _, exists, err := m.standing(ctx, p.Name); err != nil || !exists {
		return err
	}
	if err := m.inTx(ctx, fmt.Sprintf("COMMENT ON TABLE %s IS '%s'", p.Name, condemned)); err != nil {
		return fmt.Errorf("mark the partition %s: %w", p.Name, err)
	}
	if err := m.Detach(ctx, p); err != nil {
		return err
	}
	return m.drop(ctx, p.Name)
}

const selectCondemnedSQL = `
SELECT c.relname FROM pg_class c
WHERE  c.relkind = 'r' AND NOT c.relispartition AND c.oid::regclass::text = c.relname AND obj_description(c.oid, 'pg_class') = $1`

// DropCondemned drops what a process that died had detached in order to drop it.
func (m *Maintenance) DropCondemned(ctx context.Context) error {
	if m.conn == nil {
		return nil
	}
	var names []string
	if err := m.conn.SelectContext(ctx, &names, selectCondemnedSQL, condemned); err != nil {
		return fmt.Errorf("look up detached partitions: %w", err)
	}
	for _, name := range names {
		if err := m.drop(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (m *Maintenance) drop(ctx context.Context, name string) error {
	if err := m.inTx(ctx, "DROP TABLE "+name); err != nil {
		return fmt.Errorf("drop the partition %s: %w", name, err)
	}
	return nil
}
