package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// dispatchWait is how often a replay checks whether a running attempt has ended.
const dispatchWait = 500 * time.Millisecond

// dispatchReplay creates the jobs of a replay request, with a new attempt budget. It supersedes
// waiting jobs, and waits for running ones.
func (m *Module) dispatchReplay(ctx context.Context, c claimed) error {
	choice, err := m.choice(ctx, c)
	if err != nil {
		return fmt.Errorf("dispatch replay %s: %w", *c.ReplayRequestID, err)
	}
	busy := false
	err = m.db.InTx(ctx, func(tx *database.Tx) error {
		busy = false
		states, err := m.events.LockStates(ctx, tx, []string{c.EventID})
		if err != nil {
			return err
		}
		switch {
		case len(states) == 0:
			return m.refuseDispatch(ctx, tx, c, eventGone)
		case states[0].Erased:
			return m.refuseDispatch(ctx, tx, c, erasedReason)
		}
		orders, err := m.replays.Orders(ctx, tx, []string{*c.ReplayRequestID})
		if err != nil {
			return err
		}
		if len(orders) == 0 { // ended meanwhile
			return m.endDispatch(ctx, tx, c)
		}
		if err := lockLive(ctx, tx, []string{c.EventID}); err != nil {
			return err
		}
		jobs, err := latestJobs(ctx, tx, []string{c.EventID})
		if err != nil {
			return err
		}
		targets := choice.targets(orders[0], jobs[c.EventID])
		if busy = anyRunning(jobs[c.EventID], targets); busy {
			return nil
		}
		if err := m.endDispatch(ctx, tx, c); err != nil {
			return err
		}
		return m.reopen(ctx, tx, c, orders[0], targets, states)
	})
	if err != nil {
		return fmt.Errorf("dispatch replay %s: %w", *c.ReplayRequestID, err)
	}
	if busy {
		return m.releaseJobs(ctx, []release{{claimed: c, delay: dispatchWait}})
	}
	return nil
}

const lockLiveSQL = `
SELECT j.id
FROM   processing_jobs j
JOIN   v ON j.normalized_event_id = v.id
WHERE  j.status IN ` + live + `
ORDER  BY j.normalized_event_id, j.id`

// lockLive keeps workers from claiming the jobs of locked events until the transaction ends.
// Claims lock no states, so a different locking order would deadlock.
func lockLive(ctx context.Context, tx *database.Tx, eventIDs []string) error {
	var ids []string
	if err := tx.SelectRows(ctx, &ids, database.IDs(eventIDs), lockLiveSQL+tx.Dialect.ForUpdate); err != nil {
		return fmt.Errorf("lock jobs: %w", err)
	}
	return nil
}

// choice holds the possible targets of a replay: the destinations of its integration, and
// those whose current filters match.
type choice struct{ all, wanting []*destination.Destination }

// choice reads the filters' input before the transaction begins. Within the transaction each
// replay would hold one connection and wait for another, and several could deadlock.
func (m *Module) choice(ctx context.Context, c claimed) (found choice, err error) {
	events, err := m.events.Deliverables(ctx, []string{c.EventID})
	if err != nil || len(events) == 0 { // erased or removed: dispatchReplay says so
		return found, err
	}
	if found.all, err = m.destinations.Of(ctx, events[0].IntegrationID); err != nil {
		return found, err
	}
	found.wanting, err = m.wanting(ctx, &events[0], found.all)
	return found, err
}

// targets returns the destinations of an order: the one that it names, else all active ones
// that want the event.
func (c choice) targets(o contract.ReplayOrder, jobs []latest) []*destination.Destination {
	from := c.wanting
	if o.DestinationID != nil {
		from = c.all
	}
	var list []*destination.Destination
	for _, d := range from {
		wanted := d.IsActive
		if o.DestinationID != nil {
			wanted = d.ID == *o.DestinationID
		}
		if o.OnlyFailed && !slices.ContainsFunc(jobs, func(j latest) bool { return j.DestinationID == d.ID && j.Status == failed }) {
			wanted = false
		}
		if wanted {
			list = append(list, d)
		}
	}
	return list
}

// wanting returns those of a list of destinations that want a stored event; all if there is none.
func (m *Module) wanting(ctx context.Context, event *contract.Deliverable, list []*destination.Destination) ([]*destination.Destination, error) {
	if event == nil || !slices.ContainsFunc(list, func(d *destination.Destination) bool { return d.Filter != "" }) {
		return list, nil
	}
	var original *contract.Original
	if slices.ContainsFunc(list, func(d *destination.Destination) bool { return asksHeaders(d.Filter) }) {
		originals, err := m.events.Originals(ctx, []string{event.EventID})
		if err != nil {
			return nil, err
		}
		if len(originals) > 0 {
			original = &originals[0]
		}
	}
	wanting, _ := route(list, m.ask(ctx, list, fact(*event, original)))
	return wanting, nil
}

func anyRunning(jobs []latest, targets []*destination.Destination) bool {
	return slices.ContainsFunc(jobs, func(j latest) bool {
		return j.Status == running && slices.ContainsFunc(targets, func(d *destination.Destination) bool { return d.ID == j.DestinationID })
	})
}

// reopen supersedes the targets' waiting jobs and creates their new ones.
func (m *Module) reopen(ctx context.Context, tx *database.Tx, c claimed, o contract.ReplayOrder, targets []*destination.Destination, states []contract.EventState) error {
	if len(targets) == 0 {
		reason := "there is no destination to send the event to, or none that wants it"
		if o.OnlyFailed {
			reason = "no destination's last delivery of the event failed"
		}
		return m.replays.Ended(ctx, tx, []contract.ReplayEnd{{RequestID: o.RequestID, EventID: o.EventID, Failed: true, Error: &reason}})
	}
	ids := make([]string, len(targets))
	for i, d := range targets {
		ids[i] = d.ID
	}
	_, superseded, err := m.endWaiting(ctx, tx, o.EventID, ids, "superseded by replay "+o.RequestID)
	if err != nil {
		return err
	}
	jobs := make([]newJob, len(targets))
	for i, d := range targets {
		last, err := lastNumber(ctx, tx, c.EventID, d.ID)
		if err != nil {
			return err
		}
		jobs[i] = newJob{id: id.New(), eventID: c.EventID, destinationID: &d.ID, replayID: &o.RequestID, trigger: contract.TriggerReplay,
			attemptNo: last + 1, budgetStart: last, parked: !d.Flows()}
	}
	if err := m.insertJobs(ctx, tx, jobs); err != nil {
		return err
	}
	if err := m.replays.Dispatched(ctx, tx, []contract.ReplayOrder{o}); err != nil {
		return err
	}
	if err := m.endReplays(ctx, tx, superseded); err != nil {
		return err
	}
	return m.deriveAndSave(ctx, tx, states)
}

var endDispatchSQL = `
UPDATE processing_jobs SET ` + succeedStep.setSQL() + `, completed_at = $4, wake_at = NULL, lease_until = NULL, claim_token = NULL
WHERE  normalized_event_id = $1 AND id = $2 AND claim_token = $3 AND ` + succeedStep.whenSQL()

// endDispatch ends the job on the replay queue. An error means that the lease expired and
// another worker may have the job.
func (m *Module) endDispatch(ctx context.Context, tx *database.Tx, c claimed) error {
	n, err := tx.Exec(ctx, endDispatchSQL, c.EventID, c.ID, c.token, tx.Now)
	if err == nil && n == 0 {
		err = fmt.Errorf("the lease of job %s expired", c.ID)
	}
	return err
}

const selectLastNumberSQL = `
SELECT COALESCE(max(attempt_no), 0)
FROM   delivery_attempts
WHERE  normalized_event_id = $1 AND destination_id = $2`

func lastNumber(ctx context.Context, tx *database.Tx, eventID, destinationID string) (n int, err error) {
	return n, tx.Get(ctx, &n, selectLastNumberSQL, eventID, destinationID)
}
