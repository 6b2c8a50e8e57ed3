package delivery

import (
	"context"
	"database/sql"
	"fmt"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// erasedReason is the reason of the cancelled deliveries of an erased event.
const erasedReason = "cancelled by an erasure: the event's payload is gone"

const endErasedSQL = `
UPDATE processing_jobs
SET    %s, completed_at = $1, error_message = $2, wake_at = NULL, published_at = NULL, parked = false, claim_token = NULL,
       lease_until = NULL
FROM   v
WHERE  normalized_event_id = v.id AND %s
RETURNING normalized_event_id, replay_request_id`

const forgetAnswersSQL = `
UPDATE delivery_attempts SET response_body = NULL
WHERE  normalized_event_id IN (SELECT id FROM v) AND response_body IS NOT NULL`

const forgetDeadLettersSQL = `
DELETE FROM dead_letters WHERE event_id IN (SELECT id FROM v)`

// Forget ends the deliveries and replays of events that are about to be erased, and deletes
// stored answers and dead letters. The caller has locked the states in tx; Forget changes
// them. A running attempt is not interrupted, but its answer is not stored and it is not
// retried.
func (m *Module) Forget(ctx context.Context, tx *database.Tx, states []contract.EventState) (gone contract.ErasureCounts, err error) {
	if len(states) == 0 {
		return gone, nil
	}
	eventIDs := make([]string, len(states))
	for i, s := range states {
		eventIDs[i] = s.EventID
	}
	ended, err := m.endErased(ctx, tx, eventIDs)
	if err != nil {
		return gone, err
	}
	gone.Deliveries = len(ended)
	reason := erasedReason
	for i := range states {
		if ended.of(states[i].EventID) {
			states[i].LastError = &reason
		}
	}
	if err := m.replays.Ended(ctx, tx, ended.replays()); err != nil {
		return gone, err
	}
	for _, part := range []struct {
		what, query string
		count       *int
	}{
		{"answers", forgetAnswersSQL, &gone.Answers}, {"dead letters", forgetDeadLettersSQL, &gone.DeadLetters},
	} {
		n, err := tx.ExecRows(ctx, database.IDs(eventIDs), part.query)
		if err != nil {
			return gone, fmt.Errorf("forget %s: %w", part.what, err)
		}
		*part.count = int(n)
	}
	return gone, m.deriveAndSave(ctx, tx, states)
}

// endedJobs are the jobs that an erasure ended.
type endedJobs []struct {
	EventID   string         `db:"normalized_event_id"`
	RequestID sql.NullString `db:"replay_request_id"`
}

func (m *Module) endErased(ctx context.Context, tx *database.Tx, eventIDs []string) (all endedJobs, err error) {
	if err := lockLive(ctx, tx, eventIDs); err != nil {
		return nil, err
	}
	for _, s := range []step{endStep, failStep} {
		var some endedJobs
		if err := tx.SelectRows(ctx, &some, database.IDs(eventIDs), fmt.Sprintf(endErasedSQL, s.setSQL(), s.whenSQL()), tx.Now, erasedReason); err != nil {
			return nil, fmt.Errorf("end the jobs of erased events: %w", err)
		}
		all = append(all, some...)
	}
	return all, nil
}

func (l endedJobs) of(eventID string) bool {
	for _, j := range l {
		if j.EventID == eventID {
			return true
		}
	}
	return false
}

// replays returns the results of the jobs' replay requests, once each.
func (l endedJobs) replays() []contract.ReplayEnd {
	var ends []contract.ReplayEnd
	seen := map[string]bool{}
	reason := erasedReason
	for _, j := range l {
		if j.RequestID.Valid && !seen[j.RequestID.String] {
			seen[j.RequestID.String] = true
			ends = append(ends, contract.ReplayEnd{RequestID: j.RequestID.String, EventID: j.EventID, Failed: true, Error: &reason})
		}
	}
	return ends
}

// forgetAnswers marks the outcomes whose events were erased during the attempt.
func forgetAnswers(states []contract.EventState, list []attemptResult) {
	erased := map[string]bool{}
	for _, s := range states {
		if s.Erased {
			erased[s.EventID] = true
		}
	}
	for i := range list {
		list[i].forgotten = erased[list[i].EventID]
	}
}

// refuseDispatch ends a replay of an event that was erased meanwhile, or that has no state: what
// was sent for it could not be recorded, and would be sent for ever.
func (m *Module) refuseDispatch(ctx context.Context, tx *database.Tx, c claimed, reason string) error {
	if err := m.endDispatch(ctx, tx, c); err != nil {
		return err
	}
	return m.replays.Ended(ctx, tx, []contract.ReplayEnd{{RequestID: *c.ReplayRequestID, EventID: c.EventID, Failed: true, Error: &reason}})
}
