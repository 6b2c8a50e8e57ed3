package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// dispatchWait is how long a replay waits before it looks again whether the attempt
// under way has ended.
const dispatchWait = 500 * time.Millisecond

// dispatch carries a replay request out: jobs with a new budget of attempts for its
// destinations. What waits there is superseded; for what runs, the request waits.
func (m *Module) dispatch(ctx context.Context, c claimed) error {
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
		if len(states) > 0 && states[0].Erased {
			return m.refuseErased(ctx, tx, c)
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
		return m.giveBack(ctx, []release{{claimed: c, delay: dispatchWait}})
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
// Claims hold no states: in another order than theirs the two would wait for each other.
func lockLive(ctx context.Context, tx *database.Tx, eventIDs []string) error {
	var ids []string
	if err := tx.SelectRows(ctx, &ids, database.IDs(eventIDs), lockLiveSQL+tx.Dialect.ForUpdate); err != nil {
		return fmt.Errorf("lock jobs: %w", err)
	}
	return nil
}

// choice is where a replayed event may go: the destinations of its integration, and those
// of them that want it by their filters as they are now.
type choice struct{ all, wanting []destination }

// choice reads what filters look at before the transaction begins. Within it each replay
// would hold one connection and wait for another, and some of them at once for ever.
func (m *Module) choice(ctx context.Context, c claimed) (found choice, err error) {
	if found.all, err = m.directory.of(ctx, c.IntegrationID); err != nil {
		return found, err
	}
	found.wanting, err = m.wanting(ctx, c.EventID, found.all)
	return found, err
}

// targets gives the destinations that an order goes to: the one that it names, else all
// active ones that want the event.
func (c choice) targets(o contract.ReplayOrder, jobs []latest) []destination {
	from := c.wanting
	if o.DestinationID != nil {
		from = c.all
	}
	var list []destination
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

// wanting gives those of a list of destinations that want a stored event.
func (m *Module) wanting(ctx context.Context, eventID string, list []destination) ([]destination, error) {
	if !slices.ContainsFunc(list, func(d destination) bool { return d.Filter != "" }) {
		return list, nil
	}
	events, err := m.events.Deliverables(ctx, []string{eventID})
	if err != nil || len(events) == 0 {
		return list, err
	}
	var original *contract.Original
	if slices.ContainsFunc(list, func(d destination) bool { return asksHeaders(d.Filter) }) {
		originals, err := m.events.Originals(ctx, []string{eventID})
		if err != nil {
			return nil, err
		}
		if len(originals) > 0 {
			original = &originals[0]
		}
	}
	wanting, _ := route(list, fact(events[0], original))
	return wanting, nil
}

func anyRunning(jobs []latest, targets []destination) bool {
	return slices.ContainsFunc(jobs, func(j latest) bool {
		return j.Status == running && slices.ContainsFunc(targets, func(d destination) bool { return d.ID == j.DestinationID })
	})
}

// reopen supersedes what waits for the targets and makes their new jobs.
func (m *Module) reopen(ctx context.Context, tx *database.Tx, c claimed, o contract.ReplayOrder, targets []destination, states []contract.EventState) error {
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
		jobs[i] = newJob{id: id.New(), eventID: c.EventID, integrationID: c.IntegrationID, destinationID: &d.ID,
			replayID: &o.RequestID, queue: m.cfg.Queues.Process, trigger: contract.TriggerReplay,
			attemptNo: last + 1, budgetStart: last, correlationID: c.CorrelationID, parked: !d.flows()}
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
UPDATE processing_jobs SET ` + succeedStep.set() + `, completed_at = $4, lease_until = NULL, claim_token = NULL
WHERE  normalized_event_id = $1 AND id = $2 AND claim_token = $3 AND ` + succeedStep.when()

// endDispatch ends the job on the replay queue. An error means that the lease ran
// out and somebody else has it.
func (m *Module) endDispatch(ctx context.Context, tx *database.Tx, c claimed) error {
	n, err := tx.Exec(ctx, endDispatchSQL, c.EventID, c.ID, c.token, tx.Now)
	if err == nil && n == 0 {
		err = fmt.Errorf("the lease of job %s ran out", c.ID)
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
