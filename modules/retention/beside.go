package retention

import (
	"context"
	"fmt"

	"integration-gateway/platform/database"
)

const deleteReplaysOfSQL = `
DELETE FROM replay_requests WHERE id IN (
       SELECT id FROM replay_requests WHERE normalized_event_id >= $1 AND normalized_event_id < $2 LIMIT $3)`

const deleteDeadOfSQL = `
DELETE FROM dead_letters WHERE id IN (
       SELECT id FROM dead_letters WHERE event_id >= $1 AND event_id < $2 LIMIT $3)`

// deleteBeside removes what belongs to a range of events and is in no partition.
func (r *removal) deleteBeside(ctx context.Context, s span) error {
	if err := r.deleteBatches(ctx, "replay_requests", deleteReplaysOfSQL, s.from, s.to); err != nil {
		return err
	}
	if err := r.deleteBatches(ctx, "dead_letters", deleteDeadOfSQL, s.from, s.to); err != nil {
		return err
	}
	return r.deleteKeys(ctx, s.from, s.to)
}

// A key stays with an event that stays.
const finished = `
AND    NOT EXISTS (SELECT 1 FROM event_states s WHERE s.event_id = idempotency_keys.event_id AND s.status IN ('pending', 'processing', 'retrying'))`

// deleteKeys removes the idempotency keys of a range of events. There is no index for it,
// which every webhook would pay for: the table is walked once, in its own order, a piece
// in each transaction.
func (r *removal) deleteKeys(ctx context.Context, from, to string) error {
	table := keysOfPostgres
	if r.d.DB.Dialect.Name == "sqlite" {
		table = keysOfSQLite
	}
	var end int64
	if err := r.d.DB.Get(ctx, &end, table.end); err != nil {
		return fmt.Errorf("look up the end of the idempotency keys: %w", err)
	}
	for piece := int64(0); piece <= end; piece += table.piece {
		err := r.d.DB.InTx(ctx, func(tx *database.Tx) error {
			n, err := tx.Exec(ctx, table.remove, piece, piece+table.piece, from, to)
			tx.AfterCommit(func() { r.rows["idempotency_keys"] += n })
			return err
		})
		if err != nil {
			return fmt.Errorf("delete idempotency keys: %w", err)
		}
	}
	return nil
}

// walk is how a table is gone through in pieces, in the order in which it lies.
type walk struct {
	end, remove string
	piece       int64
}

// https://www.postgresql.org/docs/current/ddl-system-columns.html
var keysOfPostgres = walk{
	end: `SELECT pg_relation_size('idempotency_keys') / current_setting('block_size')::bigint`,
	remove: `
DELETE FROM idempotency_keys
WHERE  ctid >= ('(' || CAST($1 AS bigint) || ',0)')::tid AND ctid < ('(' || CAST($2 AS bigint) || ',0)')::tid AND event_id >= $3 AND event_id < $4` + finished,
	piece: 64, // of 8 KiB
}

// https://www.sqlite.org/rowidtable.html
var keysOfSQLite = walk{
	end: `SELECT COALESCE(max(rowid), 0) FROM idempotency_keys`,
	remove: `
DELETE FROM idempotency_keys
WHERE  rowid >= $1 AND rowid < $2 AND event_id >= $3 AND event_id < $4` + finished,
	piece: 1000,
}
