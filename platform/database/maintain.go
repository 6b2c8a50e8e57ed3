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
	// The advisory locks. Creating partitions is short, so others wait for it; maintenance may be long.
	partitionLock   = 7_307_000
	maintenanceLock = 7_307_001
	// ddlLockTimeout is how long a schema change waits for its lock, during which
	// conflicting lock requests queue behind it; then it releases the lock and retries.
	ddlLockTimeout = time.Second
	ddlAttempts    = 5

	maintenanceTimeout = 5 * time.Minute // one statement
)

// Maintenance is the exclusive right of one process to change partitions, with a connection
// of its own. On SQLite there is nothing to lock, and there are no partitions.
type Maintenance struct {
	db   *DB
	conn *sqlx.Conn // nil on SQLite
}

// Maintain runs fn while no other process maintains the database; ran is false if another
// one does.
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

// onOwnConnection uses no connection of the pools, which are for webhooks. Closing the
// connection releases its locks.
func (db *DB) onOwnConnection(ctx context.Context, fn func(*Maintenance) error) (err error) {
	pool, err := poolPostgres(Config{URL: db.url, StatementTimeout: maintenanceTimeout, LockTimeout: ddlLockTimeout}, 1, nil, newSessions())
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

// CreatePartitions creates the missing partitions and returns their names. Each is created
// separately and then attached, which takes a lock that does not block reads and writes
// (SHARE UPDATE EXCLUSIVE); CREATE TABLE … PARTITION OF would block both.
// https://www.postgresql.org/docs/current/sql-altertable.html
func (db *DB) CreatePartitions(ctx context.Context) (created []string, err error) {
	if db.Dialect.Name != postgres.Name {
		return nil, nil
	}
	if missing, err := db.missingPartitions(ctx); err != nil || len(missing) == 0 {
		return nil, err
	}
	err = db.onOwnConnection(ctx, func(m *Maintenance) error {
		lock := func() error {
			_, err := m.conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, partitionLock)
			return err
		}
		if err := m.retry(lock); err != nil {
			return fmt.Errorf("wait for another process that creates partitions: %w", err)
		}
		missing, err := db.missingPartitions(ctx) // another process may have created them
		for _, p := range missing {
			create := fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL) WITH (fillfactor = %d)", p.Name, p.Table, fillFactor(p.Table))
			if err := m.inTx(ctx, create, p.attach()); err != nil {
				return fmt.Errorf("create the partition %s: %w", p.Name, err)
			}
			created = append(created, p.Name)
		}
		return err
	})
	return created, err
}

// fillFactor is how full, in percent, inserts make a table's pages. Jobs leave room for the next versions
// of their neighbours, which are then in the same page and need no new index entries.
func fillFactor(table string) int {
	if table == "processing_jobs" {
		return 50
	}
	return 100
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

// retry repeats a schema change that did not get its lock in time.
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

const selectStateSQL = `
SELECT c.relispartition AS attached, COALESCE(bool_or(i.inhdetachpending), false) AS pending
FROM   pg_class c
LEFT   JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE  c.oid = to_regclass($1)
GROUP  BY c.relispartition`

type tableState struct{ Attached, Pending bool }

// state reports whether a table is attached to its parent; false if it does not exist.
func (m *Maintenance) state(ctx context.Context, name string) (s tableState, exists bool, err error) {
	err = m.conn.GetContext(ctx, &s, selectStateSQL, name)
	if errors.Is(err, sql.ErrNoRows) {
		return s, false, nil
	}
	return s, err == nil, err
}

// Detach detaches a partition from its table and keeps it, without blocking anyone. An
// interrupted detach is completed. It does nothing if the partition is already detached.
func (m *Maintenance) Detach(ctx context.Context, p Partition) error {
	err := m.retry(func() error {
		s, exists, err := m.state(ctx, p.Name)
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

// Attach attaches a detached partition again, also if a process died in between.
func (m *Maintenance) Attach(ctx context.Context, p Partition) error {
	if _, exists, err := m.state(ctx, p.Name); err != nil || !exists {
		return err
	}
	if err := m.Detach(ctx, p); err != nil { // it may be half detached
		return err
	}
	if err := m.inTx(ctx, p.attach()); err != nil {
		return fmt.Errorf("attach the partition %s: %w", p.Name, err)
	}
	return nil
}

// dropMarker is the comment of a table that is about to be dropped.
const dropMarker = "gateway: to be dropped"

// Drop removes a partition with its rows.
func (m *Maintenance) Drop(ctx context.Context, p Partition) error {
	if _, exists, err := m.state(ctx, p.Name); err != nil || !exists {
		return err
	}
	if err := m.inTx(ctx, fmt.Sprintf("COMMENT ON TABLE %s IS '%s'", p.Name, dropMarker)); err != nil {
		return fmt.Errorf("mark the partition %s: %w", p.Name, err)
	}
	if err := m.Detach(ctx, p); err != nil {
		return err
	}
	return m.drop(ctx, p.Name)
}

const selectMarkedSQL = `
SELECT c.relname FROM pg_class c
WHERE  c.relkind = 'r' AND NOT c.relispartition AND c.oid::regclass::text = c.relname AND obj_description(c.oid, 'pg_class') = $1`

// DropMarked drops the partitions that a dead process had detached in order to drop them.
func (m *Maintenance) DropMarked(ctx context.Context) error {
	if m.conn == nil {
		return nil
	}
	var names []string
	if err := m.conn.SelectContext(ctx, &names, selectMarkedSQL, dropMarker); err != nil {
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
