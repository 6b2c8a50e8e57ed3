package delivery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// Repair puts back what d says is wrong, if it still is, and audits it as
// books.repaired; false when there was nothing to do any more. Whatever a crash or a
// hand in the database did, what it leaves behind is an ordinary job that the relay moves.
func (m *Module) Repair(ctx context.Context, d contract.Damage) (done bool, err error) {
	repair := map[contract.DamageKind]func(context.Context, *database.Tx, contract.Damage) (bool, map[string]any, error){
		contract.DamageMissingJob: m.reopenDestination,
		contract.DamageStatus:     m.deriveAgain,
		contract.DamageLease:      m.requeueExpired,
		contract.DamageStranded:   m.relayStranded,
		contract.DamageReplay:     m.endReplay,
	}[d.Kind]
	if repair == nil {
		return false, fmt.Errorf("repair: there is no damage %q", d.Kind)
	}
	err = m.db.InTx(ctx, func(tx *database.Tx) error {
		var details map[string]any
		if done, details, err = repair(ctx, tx, d); err != nil || !done {
			return err
		}
		details["check"] = d.Kind
		entry := eventEntry(d.EventID, "books.repaired", details)
		entry.Actor = contract.ActorCLI
		return m.auditor.Record(ctx, tx, []contract.AuditEntry{entry})
	})
	if err != nil {
		return false, fmt.Errorf("repair %s of event %s: %w", d.Kind, d.EventID, err)
	}
	return done, nil
}

const selectLastJobSQL = `
SELECT ` + jobColumns + `
FROM   processing_jobs
WHERE  normalized_event_id = $1 AND destination_id = $2
ORDER  BY CASE WHEN status IN ` + live + ` THEN 0 ELSE 1 END, id DESC
LIMIT  1`

// Reopen gives an event a live job for one of its destinations again, where the last job
// there ended without success and nothing followed it. The job goes on in the budget, and
// for the replay request, of the last one. false when there is a live job, or the event
// was received.
func (m *Module) Reopen(ctx context.Context, tx *database.Tx, eventID, destinationID string) (bool, error) {
	states, err := m.events.LockStates(ctx, tx, []string{eventID})
	if err != nil || len(states) == 0 || states[0].Erased {
		return false, err
	}
	j, err := m.following(ctx, tx, eventID, destinationID)
	if err != nil || j == nil {
		return false, err
	}
	if err := m.insertJobs(ctx, tx, []newJob{*j}); err != nil {
		return false, err
	}
	return true, m.deriveAndSave(ctx, tx, states)
}

// following is the job that should have followed a destination's last one; nil when
// there is no need of one.
func (m *Module) following(ctx context.Context, tx *database.Tx, eventID, destinationID string) (*newJob, error) {
	var last job
	err := tx.Get(ctx, &last, selectLastJobSQL, eventID, destinationID)
	first := errors.Is(err, sql.ErrNoRows)
	switch {
	case first:
		last = job{} // sqlx has made its pointers before it found no row
	case err != nil:
		return nil, fmt.Errorf("look up the last job: %w", err)
	default:
		if final, err := endedForGood(ctx, tx, last); err != nil || final || last.Status != failed {
			return nil, err
		}
	}
	number, err := lastNumber(ctx, tx, eventID, destinationID)
	if err != nil {
		return nil, err
	}
	destinations, err := m.directory.get(ctx, []string{destinationID})
	if err != nil {
		return nil, err
	}
	d, known := destinations[destinationID]
	if !known {
		return nil, fault.NotFound.New("destination_not_found", "There is no destination %s.", destinationID)
	}
	next := newJob{id: id.New(), eventID: eventID, integrationID: last.IntegrationID, destinationID: &destinationID,
		replayID: last.ReplayRequestID, queue: m.cfg.Queues.Retry, trigger: contract.TriggerRetry, attemptNo: number + 1,
		budgetStart: last.BudgetStart, correlationID: last.CorrelationID, parked: !d.flows()}
	if !first {
		return &next, nil
	}
	if wanting, err := m.wanting(ctx, eventID, []destination{d}); err != nil || len(wanting) == 0 {
		return nil, err
	}
	stored, err := m.events.Deliverables(ctx, []string{eventID})
	if err != nil || len(stored) == 0 {
		return nil, err
	}
	next.integrationID, next.correlationID = stored[0].IntegrationID, stored[0].CorrelationID
	if number == 0 {
		next.queue, next.trigger = m.cfg.Queues.Process, contract.TriggerWebhook
	}
	return &next, nil
}

const countDeadLettersSQL = `
SELECT count(*) FROM dead_letters WHERE event_id = $1 AND job_id = $2`

// endedForGood reports whether a job's failure was meant to be the end: it was given up
// on, or cancelled.
func endedForGood(ctx context.Context, tx *database.Tx, j job) (bool, error) {
	if j.ErrorMessage != nil && strings.HasPrefix(*j.ErrorMessage, "cancelled by ") {
		return true, nil
	}
	var n int
	if err := tx.Get(ctx, &n, countDeadLettersSQL, j.EventID, j.ID); err != nil {
		return false, fmt.Errorf("look up dead letters: %w", err)
	}
	return n > 0, nil
}

func (m *Module) reopenDestination(ctx context.Context, tx *database.Tx, d contract.Damage) (bool, map[string]any, error) {
	done, err := m.Reopen(ctx, tx, d.EventID, d.DestinationID)
	return done, map[string]any{"destinationId": d.DestinationID}, err
}

func (m *Module) deriveAgain(ctx context.Context, tx *database.Tx, d contract.Damage) (bool, map[string]any, error) {
	states, err := m.events.LockStates(ctx, tx, []string{d.EventID})
	if err != nil || len(states) == 0 {
		return false, nil, err
	}
	jobs, err := latestJobs(ctx, tx, []string{d.EventID})
	if err != nil {
		return false, nil, err
	}
	was, is := states[0].Status, derive(jobs[d.EventID])
	if was == is {
		return false, nil, nil
	}
	if len(jobs[d.EventID]) == 0 {
		if err := m.nobodyWants(ctx, d.EventID); err != nil {
			return false, nil, err
		}
	}
	states[0].Status, states[0].UpdatedAt = is, tx.Now
	return true, map[string]any{"was": was, "is": is}, m.events.SaveStates(ctx, tx, states)
}

// nobodyWants is an error unless the event's integration has no destination that wants it:
// an event whose jobs are gone must not be taken for one that is done.
func (m *Module) nobodyWants(ctx context.Context, eventID string) error {
	stored, err := m.events.Deliverables(ctx, []string{eventID})
	if err != nil || len(stored) == 0 {
		return err
	}
	destinations, err := m.directory.of(ctx, stored[0].IntegrationID)
	if err != nil {
		return err
	}
	destinations, err = m.wanting(ctx, eventID, destinations)
	if err == nil && len(destinations) > 0 {
		err = fault.Conflict.New("jobs_gone", "The event has destinations and no job; its status cannot be told from its jobs.")
	}
	return err
}

var requeueExpiredSQL = `
UPDATE processing_jobs
SET    ` + releaseStep.set() + `, claim_token = NULL, lease_until = NULL, started_at = NULL, published_at = NULL, relay_at = $1
WHERE  normalized_event_id = $2 AND id = $3 AND ` + releaseStep.when() + ` AND (lease_until IS NULL OR lease_until < %s)`

func (m *Module) requeueExpired(ctx context.Context, tx *database.Tx, d contract.Damage) (bool, map[string]any, error) {
	states, err := m.events.LockStates(ctx, tx, []string{d.EventID})
	if err != nil {
		return false, nil, err
	}
	n, err := tx.Exec(ctx, fmt.Sprintf(requeueExpiredSQL, tx.Dialect.LeaseNow), tx.Now, d.EventID, d.JobID)
	if err != nil || n == 0 {
		return false, nil, err
	}
	return true, map[string]any{"jobId": d.JobID}, m.deriveAndSave(ctx, tx, states)
}

var relayStrandedSQL = `
UPDATE processing_jobs SET relay_at = CASE WHEN scheduled_at > $1 THEN scheduled_at ELSE $1 END
WHERE  normalized_event_id = $2 AND id = $3 AND ` + queued.known() + ` AND NOT parked AND relay_at IS NULL AND published_at IS NULL`

func (m *Module) relayStranded(ctx context.Context, tx *database.Tx, d contract.Damage) (bool, map[string]any, error) {
	n, err := tx.Exec(ctx, relayStrandedSQL, tx.Now, d.EventID, d.JobID)
	return n > 0, map[string]any{"jobId": d.JobID}, err
}

const countReplayJobsSQL = `
SELECT count(*) AS total, count(*) FILTER (WHERE status IN ` + live + `) AS live, count(*) FILTER (WHERE destination_id IS NOT NULL) AS deliveries
FROM   processing_jobs
WHERE  replay_request_id = $1`

// endReplay gives a request its end: what its deliveries came to, or failed when it has
// none, because the job that should have made them is gone.
func (m *Module) endReplay(ctx context.Context, tx *database.Tx, d contract.Damage) (bool, map[string]any, error) {
	if _, err := m.events.LockStates(ctx, tx, []string{d.EventID}); err != nil {
		return false, nil, err
	}
	var jobs struct{ Total, Live, Deliveries int }
	if err := tx.Get(ctx, &jobs, countReplayJobsSQL, d.ReplayRequestID); err != nil {
		return false, nil, fmt.Errorf("look up replay jobs: %w", err)
	}
	details := map[string]any{"replayRequestId": d.ReplayRequestID}
	switch {
	case jobs.Live > 0:
		return false, nil, nil
	case jobs.Deliveries > 0:
		return true, details, m.endReplays(ctx, tx, []string{d.ReplayRequestID})
	}
	reason := "the job that should have dispatched it is gone; ended by gateway verify --repair"
	return true, details, m.replays.Ended(ctx, tx, []contract.ReplayEnd{{RequestID: d.ReplayRequestID, EventID: d.EventID, Failed: true, Error: &reason}})
}
