package delivery

import (
	"context"
	"fmt"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
)

// removed is why a job ended whose destination was removed. It starts as every end does
// that somebody meant.
const removed = "cancelled by the removal of its destination"

const archiveSQL = `
UPDATE destinations SET archived_at = $2, open_jobs = $3, updated_at = $2
WHERE  id = $1`

const parkAllSQL = `
UPDATE processing_jobs SET parked = true, relay_at = NULL
WHERE  (normalized_event_id, id) IN (
       SELECT normalized_event_id, id FROM processing_jobs
       WHERE  status = 'queued' AND NOT parked AND destination_id = $1
       ORDER  BY normalized_event_id, id%s)`

// RemoveDestination archives a destination: no new job is made for it, its open ones are
// finished or cancelled as jobs says, and its history stays. The relay cancels
// jobs within a second or two, and one that another process made in that time when it is
// due; an attempt under way ends by itself.
func (m *Module) RemoveDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, jobs contract.OpenJobs) error {
	if err := checkOpenJobs(jobs); err != nil {
		return err
	}
	d, err := m.locked(ctx, tx, integrationID, destinationID)
	if err != nil {
		return err
	}
	return m.archive(ctx, tx, d, jobs)
}

// CloseIntegration archives all destinations of an integration that is archived itself.
func (m *Module) CloseIntegration(ctx context.Context, tx *database.Tx, integrationID string, jobs contract.OpenJobs) error {
	if err := checkOpenJobs(jobs); err != nil {
		return err
	}
	var list []destination
	if err := tx.Select(ctx, &list, selectOpenDestinationsSQL+tx.Dialect.ForUpdate, integrationID); err != nil {
		return fmt.Errorf("read the destinations of integration %s: %w", integrationID, err)
	}
	for _, d := range list {
		if err := m.archive(ctx, tx, d, jobs); err != nil {
			return err
		}
	}
	return nil
}

const selectOpenDestinationsSQL = `
SELECT ` + destinationColumns + `
FROM   destinations d
WHERE  d.integration_id = $1 AND d.archived_at IS NULL
ORDER  BY d.id`

func checkOpenJobs(jobs contract.OpenJobs) error {
	if jobs == contract.FinishJobs || jobs == contract.CancelJobs {
		return nil
	}
	return fault.Invalid.New("bad_open_jobs", "Say what becomes of the open jobs: finish or cancel.").At("openJobs")
}

func (m *Module) archive(ctx context.Context, tx *database.Tx, d destination, jobs contract.OpenJobs) error {
	if _, err := tx.Exec(ctx, archiveSQL, d.ID, tx.Now, string(jobs)); err != nil {
		return fmt.Errorf("archive destination %s: %w", d.ID, err)
	}
	if jobs == contract.CancelJobs {
		if _, err := tx.Exec(ctx, fmt.Sprintf(parkAllSQL, tx.Dialect.ForUpdate), d.ID); err != nil {
			return fmt.Errorf("hold the jobs of destination %s: %w", d.ID, err)
		}
	}
	return m.changed(ctx, tx, d, "destination.removed", map[string]any{"openJobs": jobs})
}

const selectParkedEventsSQL = `
SELECT normalized_event_id
FROM   processing_jobs
WHERE  parked AND status = 'queued' AND destination_id = $1
ORDER  BY normalized_event_id
LIMIT  $2`

// cancelParked ends, in batches, what waits for a destination that was removed.
func (m *Module) cancelParked(ctx context.Context, d destination) error {
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		var ids []string
		if err := tx.Select(ctx, &ids, selectParkedEventsSQL, d.ID, relayAtOnce); err != nil || len(ids) == 0 {
			return err
		}
		states, err := m.events.LockStates(ctx, tx, ids)
		if err != nil {
			return err
		}
		var entries []contract.AuditEntry
		var requests []string
		for i, s := range states {
			n, owners, err := m.endWaiting(ctx, tx, s.EventID, []string{d.ID}, removed)
			if err != nil {
				return err
			}
			if n == 0 {
				continue // ended meanwhile
			}
			requests = append(requests, owners...)
			reason := removed
			states[i].LastError = &reason
			entries = append(entries, eventEntry(s.EventID, "event.cancelled", map[string]any{"jobs": n, "destinationId": d.ID, "reason": removed}))
		}
		if err := m.endReplays(ctx, tx, requests); err != nil {
			return err
		}
		if err := m.deriveAndSave(ctx, tx, states); err != nil {
			return err
		}
		return m.auditor.Record(ctx, tx, entries)
	})
}
