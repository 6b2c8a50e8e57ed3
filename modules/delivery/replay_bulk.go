package delivery

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/modules/delivery/targets"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/tracing"
)

// ReplayTargets returns the deliveries of these events that a bulk replay selects.
func (m *Module) ReplayTargets(ctx context.Context, want contract.ReplayDeliveries, eventIDs []string) (map[string][]string, error) {
	found, err := targets.Of(ctx, m.db, want, eventIDs)
	if err != nil || want.Once {
		return found, err
	}
	var ids []string
	for _, list := range found {
		ids = append(ids, list...)
	}
	slices.Sort(ids)
	_, err = m.destinations.Get(ctx, slices.Compact(ids)) // DispatchAll reads none within its transaction
	return found, err
}

// SendOnce makes one attempt to send an event to a URL that is no destination. It stores
// nothing: not in the event's deliveries, nor in its status. An error says that there was no
// attempt, or that its result is unknown.
func (m *Module) SendOnce(ctx context.Context, s contract.SendOnce) (contract.SentOnce, error) {
	a := attempt{claimed: claimed{job: job{ID: id.New(), EventID: s.EventID, AttemptNo: s.Attempt}}, destination: destination.Once(s.URL, s.Secret)}
	a.span = m.traces.Begin(s.EventID, "replay to a URL", tracing.Internal, m.now())
	defer func() { m.end(a.span) }()
	events, err := m.events.Deliverables(ctx, []string{s.EventID})
	if err != nil {
		return contract.SentOnce{}, err
	}
	if len(events) == 0 {
		gone := "the event was erased, or is not stored any more"
		return contract.SentOnce{Final: true, ErrorKind: httpapi.OrNull(failedUnsent), Error: &gone}, nil
	}
	a.event = events[0]
	if s.Renormalized {
		list, err := m.events.Renormalize(ctx, []string{s.EventID})
		if err != nil {
			return contract.SentOnce{}, err
		}
		if len(list) > 0 {
			a.renormalize(map[string]contract.Renormalized{a.ID: list[0]})
		}
	}
	r, interrupted := m.send(ctx, a)
	if interrupted {
		return contract.SentOnce{}, ctx.Err()
	}
	outcome, wait := verdict(m.policy(a.destination), s.Attempt, r, m.random())
	a.correlationID = a.event.CorrelationID
	m.log.InfoContext(a.lines(ctx), "sent to the URL of a replay", "source", a.event.Source, "event_id", s.EventID,
		"attempt", s.Attempt, "http_status", r.status, "duration_ms", r.duration.Milliseconds(), "outcome", outcome.String(), "error", r.detail)
	return contract.SentOnce{Received: outcome == delivered, Final: outcome != retry, Wait: wait, Status: r.status, ErrorKind: r.kind(), Error: r.problem()}, nil
}

// ReplayDestination returns the integration of a destination, and whether it was removed; "" for
// an unknown one.
func (m *Module) ReplayDestination(ctx context.Context, destinationID string) (integrationID string, removed bool, err error) {
	found, err := m.destinations.Get(ctx, []string{destinationID})
	if d := found[destinationID]; err == nil && d != nil {
		return d.IntegrationID, d.ArchivedAt != nil, nil
	}
	return "", false, err
}

// DispatchAll creates the jobs of a bulk replay's orders, each for one destination, with new
// attempt budgets. It supersedes waiting jobs. What cannot be sent at once, because an attempt is
// running or the destination is not known to be current, goes to the replay queue, one by one.
func (m *Module) DispatchAll(ctx context.Context, tx *database.Tx, orders []contract.ReplayOrder) error {
	events := eventIDs(orders, func(o contract.ReplayOrder) string { return o.EventID })
	states, err := m.events.LockStates(ctx, tx, events)
	if err != nil {
		return err
	}
	if err := lockLive(ctx, tx, events); err != nil {
		return err
	}
	latest, err := latestJobs(ctx, tx, events)
	if err != nil {
		return err
	}
	sendable := make(map[string]bool, len(states))
	for _, s := range states {
		sendable[s.EventID] = !s.Erased
	}
	var now []contract.ReplayOrder
	var later []newJob
	for i, o := range orders {
		d, known := m.destinations.Known(*o.DestinationID)
		if !known || d == nil || d.ArchivedAt != nil || !sendable[o.EventID] || anyRunning(latest[o.EventID], []*destination.Destination{d}) {
			later = append(later, newJob{id: id.New(), eventID: o.EventID, replayID: &orders[i].RequestID, trigger: contract.TriggerReplay, attemptNo: 1})
			continue
		}
		now = append(now, o)
	}
	if err := m.insertJobs(ctx, tx, later); err != nil || len(now) == 0 {
		return err
	}
	return m.reopenAll(ctx, tx, now, states)
}

// supersedeSQL ends the waiting jobs that replays take the place of.
var supersedeSQL = `
UPDATE processing_jobs
SET    ` + endStep.setSQL() + `, completed_at = $1, error_message = $2 || CAST(v.request_id AS text), wake_at = NULL, published_at = NULL, parked = false
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.destination_id = v.destination_id AND ` + endStep.whenSQL() + `
RETURNING replay_request_id`

const selectReplayNumbersSQL = `
SELECT v.request_id, COALESCE(max(a.attempt_no), 0) AS number
FROM   v
LEFT   JOIN delivery_attempts a ON a.normalized_event_id = v.event_id AND a.destination_id = v.destination_id
WHERE  v.request_id IS NOT NULL
GROUP  BY v.request_id`

// reopenAll is reopen for many orders of locked events, each for one known destination.
func (m *Module) reopenAll(ctx context.Context, tx *database.Tx, orders []contract.ReplayOrder, states []contract.EventState) error {
	rows := database.NewRows("event_id uuid", "destination_id uuid", "request_id uuid").Expect(len(orders))
	for _, o := range orders {
		rows.Add(o.EventID, *o.DestinationID, o.RequestID)
	}
	var owners []sql.NullString
	if err := tx.SelectRows(ctx, &owners, rows, supersedeSQL, tx.Now, "superseded by replay "); err != nil {
		return fmt.Errorf("supersede waiting jobs: %w", err)
	}
	var numbers []struct {
		RequestID string `db:"request_id"`
		Number    int    `db:"number"`
	}
	if err := tx.SelectRows(ctx, &numbers, rows, selectReplayNumbersSQL); err != nil {
		return fmt.Errorf("look up attempt numbers: %w", err)
	}
	last := make(map[string]int, len(numbers))
	for _, n := range numbers {
		last[n.RequestID] = n.Number
	}
	jobs := make([]newJob, len(orders))
	for i, o := range orders {
		d, _ := m.destinations.Known(*o.DestinationID)
		number := last[o.RequestID]
		jobs[i] = newJob{id: id.New(), eventID: o.EventID, destinationID: o.DestinationID, replayID: &orders[i].RequestID, trigger: contract.TriggerReplay,
			attemptNo: number + 1, budgetStart: number, parked: d == nil || !d.Flows()}
	}
	if err := m.insertJobs(ctx, tx, jobs); err != nil {
		return err
	}
	if err := m.replays.Dispatched(ctx, tx, orders); err != nil {
		return err
	}
	var superseded []string
	for _, owner := range owners {
		if owner.Valid {
			superseded = append(superseded, owner.String)
		}
	}
	slices.Sort(superseded)
	if err := m.endReplays(ctx, tx, slices.Compact(superseded)); err != nil {
		return err
	}
	return m.deriveAndSave(ctx, tx, states)
}

var cancelReplaysSQL = `
UPDATE processing_jobs
SET    ` + endStep.setSQL() + `, completed_at = $1, error_message = $2, wake_at = NULL, published_at = NULL, parked = false
FROM   v
WHERE  normalized_event_id = v.event_id AND replay_request_id = v.request_id AND ` + endStep.whenSQL() + `
RETURNING normalized_event_id, destination_id, replay_request_id`

// CancelReplays ends the waiting jobs of these requests, and returns their number. Running
// attempts are not interrupted.
func (m *Module) CancelReplays(ctx context.Context, tx *database.Tx, list []contract.ReplayCancel, reason string) (int, error) {
	events := eventIDs(list, func(c contract.ReplayCancel) string { return c.EventID })
	states, err := m.events.LockStates(ctx, tx, events)
	if err != nil {
		return 0, err
	}
	if err := lockLive(ctx, tx, events); err != nil {
		return 0, err
	}
	rows := database.NewRows("event_id uuid", "request_id uuid")
	for _, c := range list {
		rows.Add(c.EventID, c.RequestID)
	}
	var ended []struct {
		EventID       string  `db:"normalized_event_id"`
		DestinationID *string `db:"destination_id"`
		RequestID     string  `db:"replay_request_id"`
	}
	if err := tx.SelectRows(ctx, &ended, rows, cancelReplaysSQL, tx.Now, reason); err != nil {
		return 0, fmt.Errorf("cancel replays: %w", err)
	}
	var undispatched []contract.ReplayEnd
	var requests []string
	open := map[string]bool{}
	for _, e := range ended {
		if e.DestinationID == nil {
			undispatched = append(undispatched, contract.ReplayEnd{RequestID: e.RequestID, EventID: e.EventID, Failed: true, Error: &reason})
			continue
		}
		requests, open[e.EventID] = append(requests, e.RequestID), true
	}
	states = slices.DeleteFunc(states, func(s contract.EventState) bool { return !open[s.EventID] })
	for i := range states {
		states[i].LastError = &reason
	}
	slices.Sort(requests)
	if err := m.endReplays(ctx, tx, slices.Compact(requests)); err != nil {
		return 0, err
	}
	if err := m.replays.Ended(ctx, tx, undispatched); err != nil {
		return 0, err
	}
	return len(ended), m.deriveAndSave(ctx, tx, states)
}
