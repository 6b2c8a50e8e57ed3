package delivery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// Repair fixes the inconsistency d, if it still exists, and audits that as books.repaired. It
// returns false if there is nothing left to do. The result is always an ordinary job that the
// relay publishes.
func (m *Module) Repair(ctx context.Context, d contract.Damage) (done bool, err error) {
	repair := map[contract.DamageKind]func(context.Context, *database.Tx, contract.Damage, circumstances) (bool, map[string]any, error){
		contract.DamageMissingJob:  m.reopenDestination,
		contract.DamageStatus:      m.deriveAgain,
		contract.DamageLease:       m.requeueExpired,
		contract.DamageStranded:    m.relayStranded,
		contract.DamageDestination: m.releaseLost,
		contract.DamageReplay:      m.endReplay,
	}[d.Kind]
	if repair == nil {
		return false, fmt.Errorf("repair: there is no damage %q", d.Kind)
	}
	about, err := m.circumstancesOf(ctx, d)
	if err != nil {
		return false, fmt.Errorf("look into %s of event %s: %w", d.Kind, d.EventID, err)
	}
	err = m.db.InTx(ctx, func(tx *database.Tx) error {
		var details map[string]any
		if done, details, err = repair(ctx, tx, d, about); err != nil || !done {
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

// circumstances are what a repair goes by beside the jobs. They are read before its transaction,
// which would hold one connection while it waited for another.
type circumstances struct {
	event       *contract.Deliverable    // nil where it is not stored any more
	destination *destination.Destination // that misses a job; nil where there is none
	wanted      bool                     // by that destination, or by any
}

func (m *Module) circumstancesOf(ctx context.Context, d contract.Damage) (about circumstances, err error) {
	if d.Kind != contract.DamageMissingJob && d.Kind != contract.DamageStatus {
		return about, nil
	}
	stored, err := m.events.Deliverables(ctx, []string{d.EventID})
	if err != nil {
		return about, err
	}
	if len(stored) > 0 {
		about.event = &stored[0]
	}
	var list []*destination.Destination
	switch {
	case d.Kind == contract.DamageMissingJob:
		var found map[string]*destination.Destination
		found, err = m.destinations.Get(ctx, []string{d.DestinationID})
		list, about.destination = slices.Collect(maps.Values(found)), found[d.DestinationID]
	case about.event != nil:
		list, err = m.destinations.Of(ctx, about.event.IntegrationID)
	}
	if err != nil {
		return about, err
	}
	wanting, err := m.wanting(ctx, about.event, list)
	about.wanted = len(wanting) > 0
	return about, err
}

const selectLastJobSQL = `
SELECT ` + jobColumns + `
FROM   processing_jobs
WHERE  normalized_event_id = $1 AND destination_id = $2
ORDER  BY CASE WHEN status IN ` + live + ` THEN 0 ELSE 1 END, id DESC
LIMIT  1`

// reopenDestination gives an event a live job for one of its destinations again, where the last
// job there ended without success and nothing followed it. The job goes on in the budget, and
// for the replay request, of the last one. false when there is a live job, or the event
// was received.
func (m *Module) reopenDestination(ctx context.Context, tx *database.Tx, d contract.Damage, about circumstances) (bool, map[string]any, error) {
	states, err := m.events.LockStates(ctx, tx, []string{d.EventID})
	if err != nil || len(states) == 0 || states[0].Erased {
		return false, nil, err
	}
	j, err := m.following(ctx, tx, d, about)
	if err != nil || j == nil {
		return false, nil, err
	}
	if err := m.insertJobs(ctx, tx, []newJob{*j}); err != nil {
		return false, nil, err
	}
	return true, map[string]any{"destinationId": d.DestinationID}, m.deriveAndSave(ctx, tx, states)
}

// following is the job that should have followed a destination's last one; nil when
// there is no need of one.
func (m *Module) following(ctx context.Context, tx *database.Tx, d contract.Damage, about circumstances) (*newJob, error) {
	var last job
	err := tx.Get(ctx, &last, selectLastJobSQL, d.EventID, d.DestinationID)
	first := errors.Is(err, sql.ErrNoRows)
	switch {
	case first:
		last = job{} // sqlx sets pointers before it finds no row
	case err != nil:
		return nil, fmt.Errorf("look up the last job: %w", err)
	default:
		if final, err := endedForGood(ctx, tx, last); err != nil || final || last.Status != failed {
			return nil, err
		}
	}
	number, err := lastNumber(ctx, tx, d.EventID, d.DestinationID)
	if err != nil {
		return nil, err
	}
	if about.destination == nil {
		return nil, fault.NotFound.New("destination_not_found", "There is no destination %s.", d.DestinationID)
	}
	next := newJob{id: id.New(), eventID: d.EventID, destinationID: &d.DestinationID, replayID: last.ReplayRequestID,
		trigger: contract.TriggerRetry, attemptNo: number + 1, budgetStart: last.BudgetStart, parked: !about.destination.Flows()}
	if !first {
		return &next, nil
	}
	if !about.wanted || about.event == nil {
		return nil, nil //nolint:nilnil // it needs none
	}
	if number == 0 {
		next.trigger = contract.TriggerWebhook
	}
	return &next, nil
}

const countDeadLettersSQL = `
SELECT count(*) FROM dead_letters WHERE event_id = $1 AND job_id = $2`

// endedForGood reports whether a job's failure is final: it became a dead letter, or was
// cancelled.
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

// deriveAgain sets an event's status by its jobs. One whose jobs are gone must not be taken for one
// that is done.
func (m *Module) deriveAgain(ctx context.Context, tx *database.Tx, d contract.Damage, about circumstances) (bool, map[string]any, error) {
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
	if len(jobs[d.EventID]) == 0 && about.wanted {
		return false, nil, fault.Conflict.New("jobs_gone", "The event has destinations and no job; its status cannot be told from its jobs.")
	}
	states[0].Status, states[0].UpdatedAt = is, tx.Now
	return true, map[string]any{"was": was, "is": is}, m.events.SaveStates(ctx, tx, states)
}

var requeueExpiredSQL = `
UPDATE processing_jobs
SET    ` + releaseStep.setSQL() + `, claim_token = NULL, lease_until = NULL, started_at = NULL, wake_at = $1
WHERE  normalized_event_id = $2 AND id = $3 AND ` + releaseStep.whenSQL() + ` AND (lease_until IS NULL OR lease_until < %s)`

func (m *Module) requeueExpired(ctx context.Context, tx *database.Tx, d contract.Damage, _ circumstances) (bool, map[string]any, error) {
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
UPDATE processing_jobs SET wake_at = CASE WHEN scheduled_at > $1 THEN scheduled_at ELSE $1 END
WHERE  normalized_event_id = $2 AND id = $3 AND ` + queued.isSQL() + ` AND NOT parked AND wake_at IS NULL AND published_at IS NULL`

func (m *Module) relayStranded(ctx context.Context, tx *database.Tx, d contract.Damage, _ circumstances) (bool, map[string]any, error) {
	n, err := tx.Exec(ctx, relayStrandedSQL, tx.Now, d.EventID, d.JobID)
	return n > 0, map[string]any{"jobId": d.JobID}, err
}

var releaseLostSQL = `
UPDATE processing_jobs SET parked = false, wake_at = $1
WHERE  normalized_event_id = $2 AND id = $3 AND ` + queued.isSQL() + ` AND parked
AND    NOT EXISTS (SELECT 1 FROM destinations d WHERE d.id = destination_id)`

// releaseLost has a worker claim a job whose destination is gone, which makes it a dead letter.
func (m *Module) releaseLost(ctx context.Context, tx *database.Tx, d contract.Damage, _ circumstances) (bool, map[string]any, error) {
	n, err := tx.Exec(ctx, releaseLostSQL, tx.Now, d.EventID, d.JobID)
	return n > 0, map[string]any{"jobId": d.JobID, "destinationId": d.DestinationID}, err
}

const countReplayJobsSQL = `
SELECT count(*) AS total, count(*) FILTER (WHERE status IN ` + live + `) AS live, count(*) FILTER (WHERE destination_id IS NOT NULL) AS deliveries
FROM   processing_jobs
WHERE  replay_request_id = $1`

// endReplay gives a request its end: what its deliveries came to, or failed when it has
// none, because the job that should have made them is gone.
func (m *Module) endReplay(ctx context.Context, tx *database.Tx, d contract.Damage, _ circumstances) (bool, map[string]any, error) {
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
