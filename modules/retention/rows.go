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

const selectOldEventsSQL = `
SELECT e.id FROM normalized_events e WHERE e.id > $1 AND e.id < $2 ORDER BY e.id LIMIT $3`

// Whoever makes a job for an event has locked its state or its row before.
const (
	lockStatesSQL = `
SELECT s.event_id FROM event_states s WHERE s.event_id IN (SELECT id FROM v) ORDER BY s.event_id`
	lockEventsSQL = `
SELECT e.id FROM normalized_events e WHERE e.id IN (SELECT id FROM v) ORDER BY e.id`
)

const selectFinishedSQL = `
SELECT e.id
FROM   v
JOIN   normalized_events e ON e.id = v.id
JOIN   event_states s ON s.event_id = v.id
WHERE  s.status NOT IN ('pending', 'processing', 'retrying')
AND    NOT EXISTS (SELECT 1 FROM processing_jobs j WHERE j.normalized_event_id = e.id AND j.completed_at IS NULL)`

// finished locks events and returns those that are finished. What is read before the lock may have
// changed by the time of the removal: a replay may have begun.
func finished(ctx context.Context, tx *database.Tx, eventIDs []string) (ids []string, err error) {
	var locked []string
	for _, query := range []string{lockStatesSQL, lockEventsSQL} {
		if err := tx.SelectRows(ctx, &locked, database.IDs(eventIDs), query+tx.Dialect.ForUpdate); err != nil {
			return nil, fmt.Errorf("lock events: %w", err)
		}
	}
	if err := tx.SelectRows(ctx, &ids, database.IDs(eventIDs), selectFinishedSQL); err != nil {
		return nil, fmt.Errorf("look for finished events: %w", err)
	}
	return ids, nil
}

// deleteEvents removes finished events below an id with all their rows, in batches.
func (r *removal) deleteEvents(ctx context.Context, before string) error {
	after := id.Floor(time.UnixMilli(0))
	var any bool
	if err := r.d.DB.Get(ctx, &any, `SELECT EXISTS (SELECT 1 FROM normalized_events WHERE id < $1)`, before); err != nil || !any {
		return err
	}
	first := after
	for {
		var old []string
		err := r.d.DB.InTx(ctx, func(tx *database.Tx) error {
			old = nil
			if err := tx.Select(ctx, &old, selectOldEventsSQL, after, before, r.cfg.Batch); err != nil || len(old) == 0 {
				return err
			}
			return r.deleteFinished(ctx, tx, old)
		})
		if err != nil {
			return fmt.Errorf("delete events: %w", err)
		}
		if len(old) < r.cfg.Batch {
			break
		}
		after = old[len(old)-1]
	}
	if err := r.deleteKeys(ctx, first, before); err != nil { // an interrupted round's are removed by the next
		return err
	}
	return r.deleteWebhooks(ctx, before)
}

// deleteFinished removes those of these events that are finished, with their rows.
func (r *removal) deleteFinished(ctx context.Context, tx *database.Tx, old []string) error {
	done, err := finished(ctx, tx, old)
	if err != nil || len(done) == 0 {
		return err
	}
	ids := database.IDs(done)
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
	if _, err := tx.ExecRows(ctx, ids, `DELETE FROM webhook_repeats WHERE webhook_event_id IN (SELECT id FROM v)`); err != nil {
		return fmt.Errorf("their repeats: %w", err)
	}
	n, err := tx.ExecRows(ctx, ids, `DELETE FROM webhook_events WHERE id IN (SELECT id FROM v)`)
	tx.AfterCommit(func() { r.rows["webhook_events"] += n })
	return err
}
