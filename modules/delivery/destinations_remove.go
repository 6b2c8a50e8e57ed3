package delivery

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

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

var cancelSQL = `
UPDATE processing_jobs
SET    ` + endStep.set() + `, completed_at = $1, error_message = $2, relay_at = NULL, parked = false
FROM   v
WHERE  normalized_event_id = v.id AND destination_id = $3 AND ` + endStep.when() + `
RETURNING normalized_event_id, replay_request_id`

// cancelParked ends what waits for a destination that was removed.
func (m *Module) cancelParked(ctx context.Context, d destination) error {
	for {
		n := 0
		err := m.db.InTx(ctx, func(tx *database.Tx) (err error) {
			n, err = m.cancelSome(ctx, tx, d)
			return err
		})
		if err != nil || n < relayAtOnce {
			return err
		}
	}
}

// cancelSome ends the jobs of some events that wait for d, and gives how many events it
// looked at.
func (m *Module) cancelSome(ctx context.Context, tx *database.Tx, d destination) (int, error) {
	var ids []string
	if err := tx.Select(ctx, &ids, selectParkedEventsSQL, d.ID, relayAtOnce); err != nil || len(ids) == 0 {
		return 0, err
	}
	states, err := m.events.LockStates(ctx, tx, ids)
	if err != nil {
		return 0, err
	}
	var ended []struct {
		EventID string         `db:"normalized_event_id"`
		Replay  sql.NullString `db:"replay_request_id"`
	}
	if err := tx.SelectRows(ctx, &ended, database.IDs(ids), cancelSQL, tx.Now, removed, d.ID); err != nil {
		return 0, fmt.Errorf("cancel jobs: %w", err)
	}
	reason, cancelled := removed, map[string]bool{}
	var requests []string
	var entries []contract.AuditEntry
	for _, e := range ended {
		cancelled[e.EventID] = true
		if e.Replay.Valid {
			requests = append(requests, e.Replay.String)
		}
		entries = append(entries, eventEntry(e.EventID, "event.cancelled", map[string]any{"jobs": 1, "destinationId": d.ID, "reason": removed}))
	}
	states = slices.DeleteFunc(states, func(s contract.EventState) bool { return !cancelled[s.EventID] })
	for i := range states {
		states[i].LastError = &reason
	}
	slices.Sort(requests)
	if err := m.endReplays(ctx, tx, slices.Compact(requests)); err != nil {
		return 0, err
	}
	if err := m.deriveAndSave(ctx, tx, states); err != nil {
		return 0, err
	}
	return len(ids), m.auditor.Record(ctx, tx, entries)
}
