package delivery

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/database"
)

// release says when and how a claimed job is queued again.
type release struct {
	claimed
	delay  time.Duration
	parked bool
}

var releaseSQL = `
UPDATE processing_jobs
SET    ` + releaseStep.setSQL() + `, claim_token = NULL, lease_until = NULL, started_at = NULL, parked = v.park, scheduled_at = v.due,
       wake_at = v.wake
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.id = v.id AND claim_token = v.token AND ` + releaseStep.whenSQL()

const lockJobsSQL = `
SELECT j.id
FROM   processing_jobs j
JOIN   v ON j.normalized_event_id = v.event_id AND j.id = v.id
ORDER  BY j.normalized_event_id, j.id`

// releaseJobs queues claimed jobs again without counting an attempt. It first locks them,
// whatever their status, to wait for a running claim whose answer was lost.
func (m *Module) releaseJobs(ctx context.Context, list []release) error {
	if len(list) == 0 {
		return nil
	}
	ids := eventIDs(list, func(r release) string { return r.EventID })
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		states, err := m.events.LockStates(ctx, tx, ids)
		if err != nil {
			return err
		}
		refs := make([]ref, len(list))
		for i, r := range list {
			refs[i] = r.ref()
		}
		var locked []string
		if err := tx.SelectRows(ctx, &locked, refRows(refs), lockJobsSQL+tx.Dialect.ForUpdate); err != nil {
			return fmt.Errorf("lock jobs: %w", err)
		}
		rows := database.NewRows("event_id uuid", "id uuid", "token uuid", "park boolean", "due timestamptz", "wake timestamptz")
		var announcements []announcement
		for _, r := range list {
			a := m.announcement(r.ref(), tx.Now, r.delay)
			rows.Add(r.EventID, r.ID, r.token, r.parked, tx.Now.Add(r.delay), orNull(a.wakeAt, r.parked))
			if !r.parked {
				announcements = append(announcements, a)
			}
		}
		if _, err := tx.ExecRows(ctx, rows, releaseSQL); err != nil {
			return fmt.Errorf("release jobs: %w", err)
		}
		tx.AfterCommit(func() { m.publisher.announce(announcements) })
		return m.deriveAndSave(ctx, tx, states)
	})
}
