package processes

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// row is a process. Its times are from the database's clock.
type row struct {
	ID           string      `db:"id" json:"id"`
	Role         string      `db:"role" json:"role"`
	Version      string      `db:"version" json:"version"`
	Host         string      `db:"host" json:"host"`
	StartedAt    clock.Time  `db:"started_at" json:"startedAt"`
	SeenAt       clock.Time  `db:"seen_at" json:"lastSeenAt"`
	Beats        int64       `db:"beats" json:"-"`
	ClockAheadMS int64       `db:"clock_ahead_ms" json:"clockAheadMs"`
	LostAt       *clock.Time `db:"lost_at" json:"lostAt"`
	StoppedAt    *clock.Time `db:"stopped_at" json:"stoppedAt"`
}

func (m *Module) newRow() row {
	return row{ID: id.New(), Role: m.cfg.Role, Version: m.cfg.Version, Host: m.host}
}

const columns = `id, role, version, host, started_at, seen_at, beats, clock_ahead_ms, lost_at, stopped_at`

// selectOpenSQL selects the running processes, and those considered dead after $1.
const selectOpenSQL = `
SELECT ` + columns + `
FROM   processes
WHERE  stopped_at IS NULL OR lost_at > $1
ORDER  BY id`

const selectRecentSQL = `
SELECT ` + columns + `
FROM   processes
WHERE  stopped_at IS NULL OR stopped_at > $1
ORDER  BY id DESC
LIMIT  1000`

const insertSQL = `
INSERT INTO processes (id, role, version, host, started_at, seen_at, beats, clock_ahead_ms)
VALUES ($1, $2, $3, $4, $5, $5, 1, $6)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, beats = processes.beats + 1` // the answer to the first insert was lost

func insert(ctx context.Context, tx *database.Tx, r row) error {
	if _, err := tx.Exec(ctx, insertSQL, r.ID, r.Role, r.Version, r.Host, tx.Now, r.ClockAheadMS); err != nil {
		return fmt.Errorf("register this process: %w", err)
	}
	return nil
}

const updateHeartbeatSQL = `
UPDATE processes SET seen_at = $2, beats = beats + 1, clock_ahead_ms = $3, filler = NULL
WHERE  id = $1 AND lost_at IS NULL AND stopped_at IS NULL`

// updateHeartbeat returns false if the row is gone, or if others consider this process
// dead.
func updateHeartbeat(ctx context.Context, tx *database.Tx, r row) (bool, error) {
	n, err := tx.Exec(ctx, updateHeartbeatSQL, r.ID, tx.Now, r.ClockAheadMS)
	if err != nil {
		return false, fmt.Errorf("write the heartbeat: %w", err)
	}
	return n == 1, nil
}

const writeFillerSQL = `
UPDATE processes SET filler = $2 WHERE id = $1`

// probeBytes is the size of the write that checks whether a full disk has room again.
const probeBytes = 256 << 10

// writeFiller makes the row large: a small update may fit into an existing page of a full
// disk.
func writeFiller(ctx context.Context, tx *database.Tx, process string) error {
	filler := make([]byte, probeBytes)
	_, _ = rand.Read(filler) // it never fails; random bytes do not compress
	if _, err := tx.Exec(ctx, writeFillerSQL, process, filler); err != nil {
		return fmt.Errorf("check whether the disk has room: %w", err)
	}
	return nil
}

const markLostSQL = `
UPDATE processes SET lost_at = $3 WHERE id = $1 AND beats = $2 AND lost_at IS NULL AND stopped_at IS NULL`

// markLost marks a process as dead, unless it has written a heartbeat since.
func (m *Module) markLost(ctx context.Context, r row) (lost bool, err error) {
	err = m.db.InTx(ctx, func(tx *database.Tx) error {
		n, err := tx.Exec(ctx, markLostSQL, r.ID, r.Beats, tx.Now)
		lost = n == 1
		return err
	})
	return lost, err
}

const markStoppedSQL = `
UPDATE processes SET stopped_at = $2 WHERE id = $1 AND stopped_at IS NULL`

// markStopped records that a process holds no claims any more.
func (m *Module) markStopped(ctx context.Context, process string) error {
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.Exec(ctx, markStoppedSQL, process, tx.Now)
		return err
	})
}

// retainFor is how long an ended process is listed.
const retainFor = 7 * 24 * time.Hour

const pruneSQL = `
DELETE FROM processes
WHERE  stopped_at < $1 AND seen_at < (SELECT max(seen_at) FROM processes)`

// prune deletes processes that ended long ago, but never the one seen last: it shows how
// recent the database is.
func prune(ctx context.Context, tx *database.Tx) error {
	if _, err := tx.Exec(ctx, pruneSQL, tx.Now.Add(-retainFor)); err != nil {
		return fmt.Errorf("delete ended processes: %w", err)
	}
	return nil
}

const selectLastSeenSQL = `
SELECT seen_at FROM processes ORDER BY seen_at DESC LIMIT 1`

const widenRewindSQL = `
UPDATE database_rewinds
SET    lost_from = CASE WHEN lost_from < $1 THEN lost_from ELSE $1 END,
       lost_until = CASE WHEN lost_until > $2 THEN lost_until ELSE $2 END
WHERE  acknowledged_at IS NULL AND lost_from <= $2 AND lost_until >= $1`

const insertRewindSQL = `
INSERT INTO database_rewinds (id, lost_from, lost_until, noticed_at)
VALUES ($1, $2, $3, $4)`
