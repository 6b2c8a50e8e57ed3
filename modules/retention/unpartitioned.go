package retention

import (
	"context"
	"fmt"

	"integration-gateway/platform/database"
)

const deleteReplaysSQL = `
DELETE FROM replay_requests WHERE id IN (
       SELECT id FROM replay_requests WHERE normalized_event_id >= $1 AND normalized_event_id < $2 LIMIT $3)`

const deleteDeadLettersSQL = `
DELETE FROM dead_letters WHERE id IN (
       SELECT id FROM dead_letters WHERE event_id >= $1 AND event_id < $2 LIMIT $3)`

const deleteRepeatsSQL = `
DELETE FROM webhook_repeats WHERE (event_id, webhook_event_id) IN (
       SELECT event_id, webhook_event_id FROM webhook_repeats WHERE webhook_event_id >= $1 AND webhook_event_id < $2 LIMIT $3)`

// deleteUnpartitioned removes rows of a range of events from tables without partitions.
func (r *removal) deleteUnpartitioned(ctx context.Context, rng idRange) error {
	if err := r.deleteBatches(ctx, "replay_requests", deleteReplaysSQL, rng.from, rng.to); err != nil {
		return err
	}
	if err := r.deleteBatches(ctx, "dead_letters", deleteDeadLettersSQL, rng.from, rng.to); err != nil {
		return err
	}
	if err := r.deleteBatches(ctx, "webhook_repeats", deleteRepeatsSQL, rng.from, rng.to); err != nil {
		return err
	}
	return r.deleteKeys(ctx, rng.from, rng.to)
}

// goneOnlySQL keeps the keys of events that are kept, whatever the reason.
const goneOnlySQL = `
AND    NOT EXISTS (SELECT 1 FROM normalized_events e WHERE e.id = idempotency_keys.event_id)`

// deleteKeys removes the idempotency keys of a range of events, after these. It scans the whole table
// once, in physical order, one chunk per transaction: an index would slow down every
// webhook.
func (r *removal) deleteKeys(ctx context.Context, from, to string) error {
	scan := postgresKeyScan
	if r.d.DB.Dialect.Name == "sqlite" {
		scan = sqliteKeyScan
	}
	var end int64
	if err := r.d.DB.Get(ctx, &end, scan.end); err != nil {
		return fmt.Errorf("look up the end of the idempotency keys: %w", err)
	}
	for start := int64(0); start <= end; start += scan.chunk {
		err := r.d.DB.InTx(ctx, func(tx *database.Tx) error {
			n, err := tx.Exec(ctx, scan.remove, start, start+scan.chunk, from, to)
			tx.AfterCommit(func() { r.rows["idempotency_keys"] += n })
			return err
		})
		if err != nil {
			return fmt.Errorf("delete idempotency keys: %w", err)
		}
	}
	return nil
}

// tableScan describes how a table is scanned in chunks, in physical order.
type tableScan struct {
	end, remove string
	chunk       int64
}

// https://www.postgresql.org/docs/current/ddl-system-columns.html
var postgresKeyScan = tableScan{
	end: `SELECT pg_relation_size('idempotency_keys') / current_setting('block_size')::bigint`,
	remove: `
DELETE FROM idempotency_keys
WHERE  ctid >= ('(' || CAST($1 AS bigint) || ',0)')::tid AND ctid < ('(' || CAST($2 AS bigint) || ',0)')::tid AND event_id >= $3 AND event_id < $4` + goneOnlySQL,
	chunk: 64, // of 8 KiB
}

// https://www.sqlite.org/rowidtable.html
var sqliteKeyScan = tableScan{
	end: `SELECT COALESCE(max(rowid), 0) FROM idempotency_keys`,
	remove: `
DELETE FROM idempotency_keys
WHERE  rowid >= $1 AND rowid < $2 AND event_id >= $3 AND event_id < $4` + goneOnlySQL,
	chunk: 1000,
}
