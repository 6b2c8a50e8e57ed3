package retention

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

const anyAuditSQL = `
SELECT EXISTS (SELECT 1 FROM audit_entries WHERE id < $1) OR EXISTS (SELECT 1 FROM audit_groups WHERE id < $2)`

const deleteAuditSQL = `
DELETE FROM audit_entries WHERE id IN (SELECT id FROM audit_entries WHERE id < $1 ORDER BY id LIMIT $2)`

const deleteGroupsSQL = `
DELETE FROM audit_groups WHERE id IN (SELECT id FROM audit_groups WHERE id < $1 ORDER BY id LIMIT $2)`

// deleteUnreadableSQL removes unreadable messages, which belong to no event.
const deleteUnreadableSQL = `
DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE id < $1 AND event_id IS NULL ORDER BY id LIMIT $2)`

// deleteOrphans removes old rows that belong to no event.
func (r *removal) deleteOrphans(ctx context.Context, before time.Time) error {
	return r.deleteBatches(ctx, "dead_letters", deleteUnreadableSQL, id.Floor(before))
}

// deleteBatches runs a statement that deletes at most $n rows (its last argument), once per
// transaction, until nothing is left.
func (r *removal) deleteBatches(ctx context.Context, table, query string, args ...any) error {
	for {
		var n int64
		err := r.d.DB.InTx(ctx, func(tx *database.Tx) (err error) {
			n, err = tx.Exec(ctx, query, append(args, r.cfg.Batch)...)
			return err
		})
		if err != nil {
			return fmt.Errorf("delete from %s: %w", table, err)
		}
		if r.rows[table] += n; n < int64(r.cfg.Batch) {
			return nil
		}
	}
}

// The range is given for both tables: PostgreSQL does not infer it from the join.
const selectOldEventsSQL = `
SELECT e.id,
       COALESCE(s.status, 'pending') IN ('pending', 'processing', 'retrying')
       OR EXISTS (SELECT 1 FROM processing_jobs j WHERE j.normalized_event_id = e.id AND j.status IN ('queued', 'running')) AS unfinished
FROM   normalized_events e
LEFT   JOIN event_states s ON s.event_id = e.id AND s.event_id > $1 AND s.event_id < $2
WHERE  e.id > $1 AND e.id < $2
ORDER  BY e.id
LIMIT  $3`

type oldEvent struct {
	ID         string `db:"id"`
	Unfinished bool   `db:"unfinished"`
}

// deleteEvents removes finished events below an id with all their rows, in batches.
func (r *removal) deleteEvents(ctx context.Context, before string) error {
	after := id.Floor(time.UnixMilli(0))
	var any bool
	if err := r.d.DB.Get(ctx, &any, `SELECT EXISTS (SELECT 1 FROM normalized_events WHERE id < $1)`, before); err != nil || !any {
		return err
	}
	if err := r.deleteKeys(ctx, after, before); err != nil {
		return err
	}
	for {
		var old []oldEvent
		err := r.d.DB.InTx(ctx, func(tx *database.Tx) error {
			old = nil
			if err := tx.Select(ctx, &old, selectOldEventsSQL, after, before, r.cfg.Batch); err != nil {
				return err
			}
			return r.deleteFinished(ctx, tx, old)
		})
		if err != nil {
			return fmt.Errorf("delete events: %w", err)
		}
		if len(old) < r.cfg.Batch {
			return r.deleteWebhooks(ctx, before)
		}
		after = old[len(old)-1].ID
	}
}

func (r *removal) deleteFinished(ctx context.Context, tx *database.Tx, old []oldEvent) error {
	ids := database.NewRows("id uuid")
	for _, e := range old {
		if !e.Unfinished {
			ids.Add(e.ID)
		}
	}
	if ids.Len() == 0 {
		return nil
	}
	removed := map[string]int64{}
	for _, t := range []struct{ table, key string }{
		{"dead_letters", "event_id"}, {"replay_requests", "normalized_event_id"}, {"delivery_attempts", "normalized_event_id"},
		{jobsTable, "normalized_event_id"}, {"event_states", "event_id"}, {eventsTable, "id"},
	} {
		n, err := tx.ExecRows(ctx, ids, fmt.Sprintf("DELETE FROM %s WHERE %s IN (SELECT id FROM v)", t.table, t.key))
		if err != nil {
			return fmt.Errorf("from %s: %w", t.table, err)
		}
		removed[t.table] = n
	}
	tx.AfterCommit(func() {
		for table, n := range removed {
			r.rows[table] += n
		}
	})
	return nil
}

const selectOldWebhooksSQL = `
SELECT id FROM webhook_events WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3`

const selectReferencedSQL = `
SELECT webhook_event_id FROM normalized_events WHERE id >= $1 AND id < $2`

// maxEventDelay is how long before or after its webhook's an event's id may be made.
const maxEventDelay = time.Minute

// deleteWebhooks removes webhooks below an id that have no events left.
func (r *removal) deleteWebhooks(ctx context.Context, before string) error {
	after := id.Floor(time.UnixMilli(0))
	for {
		var old, referenced []string
		err := r.d.DB.InTx(ctx, func(tx *database.Tx) error {
			old, referenced = nil, nil
			err := tx.Select(ctx, &old, selectOldWebhooksSQL, after, before, r.cfg.Batch)
			if err != nil || len(old) == 0 {
				return err
			}
			first, last := id.Time(old[0]).Add(-maxEventDelay), id.Time(old[len(old)-1]).Add(maxEventDelay)
			if err := tx.Select(ctx, &referenced, selectReferencedSQL, id.Floor(first), id.Floor(last)); err != nil {
				return err
			}
			return r.deleteUnreferenced(ctx, tx, old, referenced)
		})
		if err != nil {
			return fmt.Errorf("delete webhooks: %w", err)
		}
		if len(old) < r.cfg.Batch {
			return nil
		}
		after = old[len(old)-1]
	}
}

func (r *removal) deleteUnreferenced(ctx context.Context, tx *database.Tx, old, referenced []string) error {
	keep := map[string]bool{}
	for _, w := range referenced {
		keep[w] = true
	}
	ids := database.NewRows("id uuid")
	for _, w := range old {
		if !keep[w] {
			ids.Add(w)
		}
	}
	if ids.Len() == 0 {
		return nil
	}
	n, err := tx.ExecRows(ctx, ids, `DELETE FROM webhook_events WHERE id IN (SELECT id FROM v)`)
	tx.AfterCommit(func() { r.rows["webhook_events"] += n })
	return err
}
