package delivery

import (
	"context"
	"sync/atomic"
	"time"

	"integration-gateway/platform/batch"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/telemetry"
)

// processingAfter is how long an attempt may last before its event is shown as processing.
// Most have ended by then, and a state that nobody would see is not written.
const processingAfter = 50 * time.Millisecond

// noteProcessing has the event of an attempt that begins shown as processing, if it
// lasts; stop says that it has ended. The worker waits for what it began.
func (w *worker) noteProcessing(c claimed) (stop func()) {
	var ended atomic.Bool
	w.turns.Add(1)
	timer := time.AfterFunc(processingAfter, func() {
		defer w.turns.Done()
		ctx := telemetry.WithCorrelation(w.life, c.CorrelationID)
		for !ended.Load() {
			_, err := w.m.lasting.Do(ctx, c.EventID)
			if err == nil {
				return
			}
			w.m.log.WarnContext(ctx, "showing an event as processing failed; its deliveries go on", "event_id", c.EventID, "error", err)
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
			w.turns.Done()
		}
	}
}

// showProcessing sets the states of those events whose deliveries are still under way.
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
