package delivery

import (
	"context"
	"fmt"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// The kinds of a dead letter.
const (
	deadExhausted  = "exhausted"  // its budget of attempts is used up
	deadRefused    = "refused"    // the destination answered 410
	deadUnreadable = "unreadable" // a message that nobody could parse
)

// The statuses of a dead letter: open → requeued → resolved, or open → resolved where
// somebody replayed the event without it. A requeue that fails again leaves a new open
// one, and the old one requeued.
const (
	deadOpen     = "open"
	deadRequeued = "requeued"
	deadResolved = "resolved" // the destination has received the event since
)

// insertDeadLetters keeps the deliveries that list gave up on, in the transaction that
// ends them, and resolves older ones that list made good.
func (m *Module) insertDeadLetters(ctx context.Context, tx *database.Tx, list []decided) error {
	rows := database.NewRows("id uuid", "kind text", "queue text", "event_id uuid", "destination_id uuid", "job_id uuid",
		"source text", "provider text", "event_type text", "reason text", "attempts bigint", "status text", "created_at timestamptz")
	received := database.NewRows("event_id uuid", "destination_id uuid")
	for _, d := range list {
		kind := ""
		switch {
		case d.fate == delivered && (d.ReplayRequestID != nil || d.BudgetStart > 0): // a first budget has none to resolve
			received.Add(d.EventID, *d.DestinationID)
			continue
		case !d.owned:
			continue
		case d.fate == exhausted:
			kind = deadExhausted
		case d.fate == refused:
			kind = deadRefused
		default:
			continue
		}
		rows.Add(id.New(), kind, m.queueOf(d.Trigger), d.EventID, *d.DestinationID, d.ID, orNull(d.event.Source),
			orNull(d.event.Provider), orNull(d.event.EventType), *d.response.problem(), d.number, deadOpen, tx.Now)
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

// resolveDeadLetters notes which events their destinations have received after all.
func resolveDeadLetters(ctx context.Context, tx *database.Tx, received *database.Rows) error {
	if received.Len() == 0 {
		return nil
	}
	if _, err := tx.ExecRows(ctx, received, resolveDeadLettersSQL, tx.Now); err != nil {
		return fmt.Errorf("resolve dead letters: %w", err)
	}
	return nil
}

// queueOf is the name of the queue that a job with this trigger stands on.
func (m *Module) queueOf(t contract.Trigger) string {
	if t == contract.TriggerRetry {
		return m.cfg.Queues.Retry
	}
	return m.cfg.Queues.Process
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
