package delivery

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

const (
	// maxDeadBody is what is kept of a message that nobody could read; ours are far
	// smaller. One that has this length or more cannot be requeued.
	maxDeadBody = 256 << 10
	buryAtOnce  = 32
)

// EmptyDeadQueue moves the dead queue's messages into the table of dead letters until
// ctx ends: a queue cannot be paged, searched or addressed by id. A message is
// acknowledged after the commit; while the database is away it stays the broker's.
//
// A message that can be read is no dead letter: the broker gave up on it after too many
// redeliveries, and its jobs are published again from the database.
func (m *Module) EmptyDeadQueue(ctx context.Context) error {
	in := make(chan broker.Delivery, buryAtOnce)
	consumed := make(chan error, 1)
	go func() {
		consumed <- m.broker.Consume(ctx, broker.Dead, buryAtOnce, func(d broker.Delivery) { in <- d }) // never more than are unsettled
	}()
	for {
		select {
		case first := <-in:
			m.bury(ctx, gathered(first, in))
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
	for len(list) < buryAtOnce {
		select {
		case next := <-in:
			list = append(list, next)
		default:
			return list
		}
	}
	return list
}

// bury stores list and acknowledges it, however long the database is away; when ctx ends
// before, the messages go back.
func (m *Module) bury(ctx context.Context, list []broker.Delivery) {
	pause := 100 * time.Millisecond
	for {
		err := m.buryOnce(ctx, list)
		if err == nil {
			for _, d := range list {
				d.Ack()
			}
			return
		}
		m.log.WarnContext(ctx, "storing dead letters failed; their messages wait", "messages", len(list), "retry_in", pause, "error", err)
		select {
		case <-ctx.Done():
			for _, d := range list {
				d.Requeue()
			}
			return
		case <-time.After(pause):
		}
		pause = min(pause*2, 5*time.Second)
	}
}

func (m *Module) buryOnce(ctx context.Context, list []broker.Delivery) error {
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
			rows.Add(id.New(), deadUnreadable, m.cfg.Queues.Dead, brief(reason), d.Body[:min(len(d.Body), maxDeadBody)], 0, deadOpen, tx.Now)
		}
		return tx.Insert(bounded, "dead_letters", rows)
	})
	if err != nil || len(readable) == 0 {
		return err
	}
	m.log.WarnContext(ctx, "messages that the broker gave up on; their jobs are published again", "jobs", len(readable))
	for _, part := range chunks(readable, relayAtOnce) {
		if err := m.unpublished(bounded, part); err != nil {
			return fmt.Errorf("note jobs as unpublished: %w", err)
		}
	}
	return nil
}
