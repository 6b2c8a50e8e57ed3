package delivery

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
)

// removed is the reason of jobs whose destination was removed. It has the prefix of every
// intended cancellation.
const removed = "cancelled by the removal of its destination"

const parkAllSQL = `
UPDATE processing_jobs SET parked = true, wake_at = NULL, published_at = NULL
WHERE  (normalized_event_id, id) IN (
       SELECT normalized_event_id, id FROM processing_jobs
       WHERE  completed_at IS NULL AND status = 'queued' AND NOT parked AND destination_id = $1
       ORDER  BY normalized_event_id, id%s)`

// RemoveDestination archives a destination: it gets no new jobs, jobs says whether its open
// ones are finished or cancelled, and its history stays. The relay cancels jobs within a
// second or two; a job that another process creates in that time is cancelled when it is due.
// A running attempt is not interrupted.
func (m *Module) RemoveDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, jobs contract.OpenJobs) error {
	if err := checkOpenJobs(jobs); err != nil {
		return err
	}
	if err := m.Archive(ctx, tx, integrationID, destinationID, jobs); err != nil {
		return err
	}
	return m.holdJobs(ctx, tx, []string{destinationID}, jobs)
}

// CloseIntegration archives all destinations of an integration that is archived itself.
func (m *Module) CloseIntegration(ctx context.Context, tx *database.Tx, integrationID string, jobs contract.OpenJobs) error {
	if err := checkOpenJobs(jobs); err != nil {
		return err
	}
	ids, err := m.ArchiveAll(ctx, tx, integrationID, jobs)
	if err != nil {
		return err
	}
	return m.holdJobs(ctx, tx, ids, jobs)
}

func checkOpenJobs(jobs contract.OpenJobs) error {
	if jobs == contract.FinishJobs || jobs == contract.CancelJobs {
		return nil
	}
	return fault.Invalid.New("bad_open_jobs", "Must be finish or cancel: what to do with the open jobs.").At("openJobs")
}

// holdJobs parks the queued jobs of archived destinations that are to be cancelled, which the
// relay does.
func (m *Module) holdJobs(ctx context.Context, tx *database.Tx, destinationIDs []string, jobs contract.OpenJobs) error {
	if jobs != contract.CancelJobs {
		return nil
	}
	for _, id := range destinationIDs {
		if _, err := tx.Exec(ctx, fmt.Sprintf(parkAllSQL, tx.Dialect.ForUpdate), id); err != nil {
			return fmt.Errorf("hold the jobs of destination %s: %w", id, err)
		}
	}
	return nil
}

const selectParkedEventsSQL = `
SELECT normalized_event_id
FROM   processing_jobs
WHERE  parked AND status = 'queued' AND destination_id = $1
ORDER  BY normalized_event_id
LIMIT  $2`

var cancelSQL = `
UPDATE processing_jobs
SET    ` + endStep.setSQL() + `, completed_at = $1, error_message = $2, wake_at = NULL, published_at = NULL, parked = false
FROM   v
WHERE  normalized_event_id = v.id AND destination_id = $3 AND ` + endStep.whenSQL() + `
RETURNING normalized_event_id, replay_request_id`

// cancelParked cancels the parked jobs of a removed destination.
func (m *Module) cancelParked(ctx context.Context, d *destination.Destination) error {
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

// cancelSome cancels the waiting jobs for d of some events, and returns the number of events
// it examined.
func (m *Module) cancelSome(ctx context.Context, tx *database.Tx, d *destination.Destination) (int, error) {
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
