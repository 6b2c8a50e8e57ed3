package delivery

import (
	"context"
	"fmt"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// The kinds of a dead letter.
const (
	deadExhausted  = "exhausted"  // its attempt budget is used up
	deadRefused    = "refused"    // the destination answered 410
	deadUnreadable = "unreadable" // a message that could not be parsed
)

// The statuses of a dead letter: open → requeued → resolved, or open → resolved if the event
// was replayed otherwise. If a requeue fails again, the old dead letter stays requeued and a
// new open one is created.
const (
	deadOpen     = "open"
	deadRequeued = "requeued"
	deadResolved = "resolved" // the destination has received the event since
)

// insertDeadLetters stores the exhausted and refused deliveries of list, in the transaction
// that ends them, and resolves the dead letters of deliveries that succeeded.
func (m *Module) insertDeadLetters(ctx context.Context, tx *database.Tx, list []decided) error {
	rows := database.NewRows("id uuid", "kind text", "queue text", "event_id uuid", "destination_id uuid", "job_id uuid",
		"source text", "provider text", "event_type text", "reason text", "attempts bigint", "status text", "created_at timestamptz")
	received := database.NewRows("event_id uuid", "destination_id uuid")
	for _, d := range list {
		kind := ""
		switch {
		case d.outcome == delivered && (d.ReplayRequestID != nil || d.BudgetStart > 0): // a first budget has none to resolve
			received.Add(d.EventID, *d.DestinationID)
			continue
		case !d.owned:
			continue
		case d.outcome == exhausted:
			kind = deadExhausted
		case d.outcome == refused:
			kind = deadRefused
		default:
			continue
		}
		rows.Add(id.New(), kind, m.queueOf(d.DestinationID, d.Trigger), d.EventID, *d.DestinationID, d.ID, httpapi.OrNull(d.event.Source),
			httpapi.OrNull(d.event.Provider), httpapi.OrNull(d.event.EventType), *d.response.problem(), d.number, deadOpen, tx.Now)
	}
	if err := tx.Insert(ctx, "dead_letters", rows); err != nil {
		return err
	}
	return resolveDeadLetters(ctx, tx, received)
}

const resolveDeadLettersSQL = `
UPDATE dead_letters SET status = 'resolved', resolved_at = $1
FROM   v
WHERE  dead_letters.event_id = v.event_id AND dead_letters.destination_id = v.destination_id AND status IN ('open', 'requeued')`

// resolveDeadLetters resolves the dead letters of events that their destinations received.
func resolveDeadLetters(ctx context.Context, tx *database.Tx, received *database.Rows) error {
	if received.Len() == 0 {
		return nil
	}
	if _, err := tx.ExecRows(ctx, received, resolveDeadLettersSQL, tx.Now); err != nil {
		return fmt.Errorf("resolve dead letters: %w", err)
	}
	return nil
}

// queueOf returns the name of the queue for jobs with this destination, nil for a replay to be
// dispatched, and this trigger.
func (m *Module) queueOf(destinationID *string, t contract.Trigger) string {
	switch {
	case destinationID == nil:
		return m.cfg.Queues.Replay
	case t == contract.TriggerRetry:
		return m.cfg.Queues.Retry
	}
	return m.cfg.Queues.Process
}
