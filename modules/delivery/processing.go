package delivery

import (
	"context"
	"sync/atomic"
	"time"

	"integration-gateway/platform/batch"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// processingAfter is the delay after which the event of a running attempt is shown as
// processing. Most attempts are shorter, which saves a write.
const processingAfter = 50 * time.Millisecond

// noteProcessing shows the event of a starting attempt as processing if the attempt lasts.
// stop ends that. The worker waits for writes that have begun.
func (w *worker) noteProcessing(c claimed) (stop func()) {
	var ended atomic.Bool
	w.slots.Add(1)
	timer := time.AfterFunc(processingAfter, func() {
		defer w.slots.Done()
		ctx := c.lines(w.life)
		for !ended.Load() {
			_, err := w.m.longRunning.Do(ctx, c.EventID)
			if err == nil {
				return
			}
			w.m.log.WarnContext(ctx, "could not mark an event as processing; its deliveries continue", append(c.logged(), "error", err)...)
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	})
	return func() {
		ended.Store(true)
		if timer.Stop() {
			w.slots.Done()
		}
	}
}

// showProcessing sets the states of those events whose deliveries are still running.
func (m *Module) showProcessing(events []string) []batch.Result[struct{}] {
	ctx, cancel := context.WithTimeout(context.Background(), claimTimeout)
	defer cancel()
	ids := eventIDs(events, func(id string) string { return id })
	err := m.db.InTx(ctx, func(tx *database.Tx) error {
		states, err := m.events.LockStates(ctx, tx, ids)
		if err != nil {
			return err
		}
		jobs, err := latestJobs(ctx, tx, ids)
		if err != nil {
			return err
		}
		var changed []contract.EventState
		for _, s := range states {
			if derive(jobs[s.EventID]) == contract.EventProcessing && s.Status != contract.EventProcessing {
				s.Status, s.UpdatedAt = contract.EventProcessing, tx.Now
				changed = append(changed, s)
			}
		}
		return m.events.SaveStates(ctx, tx, changed)
	})
	results := make([]batch.Result[struct{}], len(events))
	for i := range results {
		results[i].Err = err
	}
	return results
}
