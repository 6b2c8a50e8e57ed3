package delivery

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// release says when and how a claimed job is queued again, or that it ends, because nothing can
// ever send it.
type release struct {
	claimed
	delay  time.Duration
	parked bool
	lost   string               // why it ends; "" if it is queued again
	event  contract.Deliverable // of a job that ends, if there is one
}

// What a job lacks that ends without an attempt.
const (
	eventGone       = "the event is not stored any more"
	destinationGone = "the destination's row is gone, so nobody knows where to send the event"
)

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

// giveBack queues a claimed job again, or ends it if it can never be sent.
func (w *worker) giveBack(r release) error {
	if r.lost == "" {
		return w.releaseJobs(r)
	}
	return w.retryUntil(r.claimed, "ending a job", func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.life), claimTimeout)
		defer cancel()
		return w.m.endLost(ctx, r)
	})
}

func (w *worker) releaseJobs(r release) error {
	return w.retryUntil(r.claimed, "releasing a job", func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.life), claimTimeout)
		defer cancel()
		return w.m.releaseJobs(ctx, []release{r})
	})
}

// endLost ends a claimed job for which there is no event or no destination: it becomes a dead
// letter with the reason, if there is an event to send again.
func (m *Module) endLost(ctx context.Context, r release) error {
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		states, err := m.events.LockStates(ctx, tx, []string{r.EventID})
		if err != nil {
			return err
		}
		list := []decided{{attemptResult: attemptResult{claimed: r.claimed, event: r.event, response: response{err: r.lost}},
			number: r.AttemptNo, outcome: exhausted}}
		if err := m.endJobs(ctx, tx, list); err != nil || !list[0].owned {
			return err
		}
		if err := m.endReplays(ctx, tx, replayIDs(list)); err != nil || len(states) == 0 || r.event.EventID == "" {
			return err
		}
		if err := m.insertDeadLetters(ctx, tx, list); err != nil {
			return err
		}
		states[0].LastError = &r.lost
		if err := m.deriveAndSave(ctx, tx, states); err != nil {
			return err
		}
		return m.auditor.Record(ctx, tx, []contract.AuditEntry{list[0].auditEntry(states[0].Status, true, tx.Now)})
	})
}

// releaseUnsure releases the jobs of claims whose answer was lost, so that they need not wait
// until their leases expire.
func (w *worker) releaseUnsure(ctx context.Context) error {
	if len(w.unsure) == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	if err := w.m.releaseJobs(bounded, w.unsure); err != nil {
		return fmt.Errorf("release jobs that may be claimed: %w", err)
	}
	w.unsure = nil
	return nil
}

// releaseAtStop is releaseUnsure for a worker that stops, which makes no further claim: it tries again until the grace period ends.
func (w *worker) releaseAtStop() {
	for failures := 0; ; failures++ {
		err := w.releaseUnsure(w.life)
		if err == nil {
			return
		}
		wait := storeRetry.Wait(failures)
		w.m.log.WarnContext(w.life, "giving jobs back failed; retrying", "jobs", len(w.unsure), "retry_in", wait.String(), "error", err)
		if !clock.Sleep(w.life, wait) {
			return
		}
	}
}
