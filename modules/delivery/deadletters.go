package delivery

import (
	"context"
	"fmt"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
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

const (
	// maxDeadBody bounds the stored body of an unreadable message; valid ones are far smaller. A
	// message of this length or more cannot be requeued.
	maxDeadBody       = 256 << 10
	deadLettersAtOnce = 32
)

// EmptyDeadQueue moves the dead queue's messages into the table of dead letters until
// ctx ends: a queue cannot be paged, searched or addressed by id. A message is acknowledged
// after the commit; while the database is unavailable it stays in the broker.
//
// A readable message is not a dead letter: the broker dead-lettered it after too many
// redeliveries, and its jobs are published again from the database.
func (m *Module) EmptyDeadQueue(ctx context.Context) error {
	in := make(chan broker.Delivery, deadLettersAtOnce)
	consumed := make(chan error, 1)
	go func() {
		consumed <- m.broker.Consume(ctx, broker.Dead, deadLettersAtOnce, func(d broker.Delivery) { in <- d }) // bounded by the prefetch
	}()
	for {
		select {
		case first := <-in:
			m.storeDeadLetters(ctx, gathered(first, in))
		case err := <-consumed:
			for len(in) > 0 {
				(<-in).Requeue()
			}
			return err
		}
	}
}

func gathered(first broker.Delivery, in <-chan broker.Delivery) []broker.Delivery {
	list := []broker.Delivery{first}
	for len(list) < deadLettersAtOnce {
		select {
		case next := <-in:
			list = append(list, next)
		default:
			return list
		}
	}
	return list
}

// storeDeadLetters stores list and acknowledges it, and retries while the database is
// unavailable. If ctx ends first, the messages are requeued.
func (m *Module) storeDeadLetters(ctx context.Context, list []broker.Delivery) {
	for attempt := 0; ; attempt++ {
		err := m.storeDeadLettersOnce(ctx, list)
		if err == nil {
			for _, d := range list {
				d.Ack()
			}
			return
		}
		wait := storeRetry.Wait(attempt)
		m.log.WarnContext(ctx, "storing dead letters failed; retrying", "messages", len(list), "retry_in", wait.String(), "error", err)
		if !clock.Sleep(ctx, wait) {
			for _, d := range list {
				d.Requeue()
			}
			return
		}
	}
}

func (m *Module) storeDeadLettersOnce(ctx context.Context, list []broker.Delivery) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	var readable []ref
	err := m.db.InTx(bounded, func(tx *database.Tx) error {
		readable = nil
		rows := database.NewRows("id uuid", "kind text", "queue text", "reason text", "body bytea", "attempts bigint", "status text", "created_at timestamptz")
		for _, d := range list {
			refs, problem := parse(d.Body)
			if problem == nil {
				readable = append(readable, refs...)
				continue
			}
			reason := fmt.Sprintf("%s (%d bytes)", problem, len(d.Body))
			rows.Add(id.New(), deadUnreadable, m.cfg.Queues.Dead, destination.Brief(reason), d.Body[:min(len(d.Body), maxDeadBody)], 0, deadOpen, tx.Now)
		}
		return tx.Insert(bounded, "dead_letters", rows)
	})
	if err != nil || len(readable) == 0 {
		return err
	}
	m.log.WarnContext(ctx, "publishing jobs again whose messages the broker dead-lettered", "jobs", len(readable))
	for _, part := range chunks(readable, relayAtOnce) {
		if err := m.unpublished(bounded, part); err != nil {
			return fmt.Errorf("mark jobs as unpublished: %w", err)
		}
	}
	return nil
}
