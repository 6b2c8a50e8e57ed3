package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/batch"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/failpoint"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// recordTimeout bounds one transaction of outcomes.
const recordTimeout = 15 * time.Second

// attemptResult is the result of one attempt, before it is stored.
type attemptResult struct {
	claimed
	destination *destination.Destination
	event       contract.Deliverable
	response    response
	chance      float64 // random number for the verdict; drawn once, so that a rerun decides the same
	forgotten   bool    // the event was erased meanwhile: the answer is not stored
}

func (o attemptResult) pair() string { return o.EventID + *o.DestinationID }

// decided is an outcome with its number and its verdict.
type decided struct {
	attemptResult
	number  int
	outcome outcome
	wait    time.Duration
	owned   bool // this process still owned the job, or it succeeded and was unowned
	next    *newJob
}

// recordAll stores a group of outcomes and releases their locks. If one outcome fails the
// group, it stores each separately.
func (m *Module) recordAll(list []attemptResult) []batch.Result[struct{}] {
	results := make([]batch.Result[struct{}], len(list))
	err := m.recordAndUnlock(list)
	if err != nil && len(list) > 1 && !fault.Is(err, fault.Unavailable) {
		for i := range list {
			results[i].Err = m.recordAndUnlock(list[i : i+1])
		}
		return results
	}
	for i := range results {
		results[i].Err = err
	}
	return results
}

func (m *Module) recordAndUnlock(list []attemptResult) error {
	err := m.record(list)
	failpoint.Hit(failpoint.AfterRecord)
	if err != nil {
		return err
	}
	locks := make([]cache.Claim, len(list))
	for i, o := range list {
		locks[i] = o.lock(0)
	}
	m.unlock(locks)
	return nil
}

// unlock releases the locks of recorded and released jobs.
func (m *Module) unlock(locks []cache.Claim) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = m.cache.Release(ctx, locks) // otherwise they expire
}

// record stores attempts, ends their jobs, creates the next ones and updates the events, in
// one transaction.
func (m *Module) record(list []attemptResult) error {
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	ids := eventIDs(list, func(o attemptResult) string { return o.EventID })
	list = slices.SortedFunc(slices.Values(list), func(a, b attemptResult) int { return a.ref().compare(b.ref()) }) // the locking order
	destinationIDs := eventIDs(list, func(o attemptResult) string { return *o.DestinationID })
	_, _ = m.destinations.Get(ctx, destinationIDs) // retries use the latest configuration if possible, else the cached one
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		states, err := m.events.LockStates(ctx, tx, ids)
		if err != nil {
			return err
		}
		known := ofKnown(states, list)
		m.unknown(ctx, len(list)-len(known), "outcomes are of jobs")
		forgetAnswers(states, known)
		decisions, err := m.decide(ctx, tx, known)
		if err != nil {
			return err
		}
		if err := m.endJobs(ctx, tx, decisions); err != nil {
			return err
		}
		if err := m.insertJobs(ctx, tx, nextJobs(decisions)); err != nil {
			return err
		}
		if err := m.insertDeadLetters(ctx, tx, decisions); err != nil {
			return err
		}
		if err := m.moveEvents(ctx, tx, states, decisions); err != nil {
			return err
		}
		if err := tx.Insert(ctx, "delivery_attempts", attemptRows(decisions, tx.Now)); err != nil {
			return err
		}
		tx.AfterCommit(func() { m.countAttempts(decisions) })
		return m.endReplays(ctx, tx, replayIDs(decisions))
	})
}

// ofKnown returns the outcomes whose events exist. A database that lost its history cannot
// store the others.
func ofKnown(states []contract.EventState, list []attemptResult) []attemptResult {
	stored := make(map[string]bool, len(states))
	for _, s := range states {
		stored[s.EventID] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(o attemptResult) bool { return !stored[o.EventID] })
}

const selectLastNumbersSQL = `
SELECT a.normalized_event_id, a.destination_id, max(a.attempt_no) AS last
FROM   delivery_attempts a
JOIN   v ON v.id = a.normalized_event_id
GROUP  BY a.normalized_event_id, a.destination_id`

// decide numbers the attempts and gives each job its verdict.
func (m *Module) decide(ctx context.Context, tx *database.Tx, list []attemptResult) ([]decided, error) {
	var numbers []struct {
		EventID       string `db:"normalized_event_id"`
		DestinationID string `db:"destination_id"`
		Last          int    `db:"last"`
	}
	ids := eventIDs(list, func(o attemptResult) string { return o.EventID })
	if err := tx.SelectRows(ctx, &numbers, database.IDs(ids), selectLastNumbersSQL); err != nil {
		return nil, fmt.Errorf("number attempts: %w", err)
	}
	last := make(map[string]int, len(numbers))
	for _, n := range numbers {
		last[n.EventID+n.DestinationID] = n.Last
	}
	decisions := make([]decided, len(list))
	for i, o := range list {
		last[o.pair()]++
		d := decided{attemptResult: o, number: last[o.pair()]}
		d.outcome, d.wait = verdict(m.policy(o.destination), d.number-o.BudgetStart, o.response, o.chance)
		decisions[i] = d
	}
	return decisions, nil
}

func attemptRows(list []decided, at time.Time) *database.Rows {
	rows := database.NewRows("id uuid", "normalized_event_id uuid", "destination_id uuid", "job_id uuid",
		"attempt_no bigint", "status text", "http_status bigint", "response_body text", "error_message text",
		"error_kind text", "duration_ms bigint", "created_at timestamptz").Expect(len(list))
	for _, d := range list {
		result := "failed"
		if d.response.received() {
			result = "success"
		}
		var httpStatus *int
		var body *string
		if d.response.status != 0 {
			httpStatus, body = &d.response.status, &d.response.body
		}
		if d.forgotten {
			body = nil
		}
		rows.Add(id.New(), d.EventID, d.DestinationID, d.ID, d.number, result, httpStatus, body,
			d.response.problem(), d.response.kind(), d.response.duration.Milliseconds(), at)
	}
	return rows
}

// nextJobs returns the retries of the jobs that this process ended and that may be retried.
func nextJobs(list []decided) []newJob {
	var jobs []newJob
	for i, d := range list {
		if !d.owned || d.outcome != retry {
			continue
		}
		next := newJob{id: id.New(), eventID: d.EventID, destinationID: d.DestinationID, replayID: d.ReplayRequestID,
			trigger: contract.TriggerRetry, attemptNo: d.number + 1, budgetStart: d.BudgetStart, delay: d.wait}
		list[i].next = &next
		jobs = append(jobs, next)
	}
	return jobs
}

// moveEvents updates the events' states from their jobs and the new outcomes, and audits the
// changes.
func (m *Module) moveEvents(ctx context.Context, tx *database.Tx, states []contract.EventState, list []decided) error {
	ids := make([]string, len(states))
	byID := make(map[string]*contract.EventState, len(states))
	for i := range states {
		ids[i], byID[states[i].EventID] = states[i].EventID, &states[i]
	}
	jobs, err := latestJobs(ctx, tx, ids)
	if err != nil {
		return err
	}
	for _, d := range list {
		if s := byID[d.EventID]; s != nil {
			s.ProcessingAttempts++
			s.LastProcessedAt = &tx.Now
			if problem := d.response.problem(); problem != nil {
				s.LastError = problem
			}
		}
	}
	for i := range states {
		s := &states[i]
		s.Status, s.UpdatedAt = derive(jobs[s.EventID]), tx.Now
		if s.Status == contract.EventProcessed {
			s.LastError = nil
		}
	}
	if err := m.events.SaveStates(ctx, tx, states); err != nil {
		return err
	}
	last := map[string]int{} // of each event, the outcome that ended it, if any did: its end is audited once
	for i, d := range list {
		if d.owned && d.next == nil {
			last[d.EventID] = i
		}
	}
	var entries []contract.AuditEntry
	for i, d := range list {
		if s := byID[d.EventID]; s != nil && d.owned {
			end, ended := last[d.EventID]
			entries = append(entries, d.auditEntry(s.Status, ended && end == i, tx.Now))
		}
	}
	return m.auditor.Record(ctx, tx, entries)
}

// auditEntry describes the attempt's effect on its event. last says that no other outcome of its
// transaction can be the one that ends the event.
func (d decided) auditEntry(now contract.EventStatus, last bool, at time.Time) contract.AuditEntry {
	action := "event.delivered" // to this destination; others are still open
	details := map[string]any{"destinationId": *d.DestinationID, "jobId": d.ID, "attemptNo": d.number,
		"durationMs": d.response.duration.Milliseconds()}
	if id.Generated(d.event.CorrelationID) { // the trail outlives an erasure
		details["correlationId"] = d.event.CorrelationID
	}
	if d.response.status != 0 {
		details["httpStatus"] = d.response.status
	}
	if problem := d.response.problem(); problem != nil {
		details["error"] = *problem
	}
	if d.ReplayRequestID != nil {
		details["replayRequestId"] = *d.ReplayRequestID
	}
	switch {
	case d.next != nil:
		action = "event.retry_scheduled"
		details["nextJobId"] = d.next.id
		details["nextAttemptAt"] = clock.At(at.Add(d.wait))
		details["delayMs"] = d.wait.Milliseconds()
	case last && now == contract.EventProcessed:
		action = "event.processed"
	case last && now == contract.EventFailed:
		action = "event.failed"
	case d.outcome != delivered:
		action = "event.delivery_failed"
	}
	return eventEntry(d.EventID, action, details)
}
