package delivery

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
)

// handleLostQueues publishes again when the broker has lost a queue.
func (m *Module) handleLostQueues(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case queue := <-m.broker.Lost():
			for _, queue := range m.lostQueues(queue) {
				m.publishLost(ctx, queue)
			}
		}
	}
}

// lostQueues returns the first lost queue and those that were lost meanwhile, once each. An
// outage of the database may have kept many signals waiting.
func (m *Module) lostQueues(first broker.Queue) (queues []broker.Queue) {
	lost := map[broker.Queue]bool{first: true}
	for {
		select {
		case queue := <-m.broker.Lost():
			lost[queue] = true
			continue
		default:
		}
		break
	}
	for _, queue := range []broker.Queue{broker.Process, broker.Delayed, broker.Replay} { // messages of the dead queue name no jobs
		if lost[queue] && (queue != broker.Delayed || !lost[broker.Process]) { // a lost process queue covers the delay queues
			queues = append(queues, queue)
		}
	}
	return queues
}

// publishLost publishes again what may have been in a queue. It goes on until that is done, as
// the broker tells of a loss once.
func (m *Module) publishLost(ctx context.Context, queue broker.Queue) {
	m.log.InfoContext(ctx, "a queue is new or came back empty; publishing again what may have been in it", "queue", queue)
	at := m.now()
	for failures := 0; ; failures++ {
		done := m.step(ctx, "publishing again", func(ctx context.Context) error {
			m.publisher.mark(ctx, 0) // what was published a moment ago is lost as well
			return m.republishAll(ctx, queue, at)
		})
		m.step(ctx, "publishing what is due", m.relay)
		if done || !clock.Sleep(ctx, storeRetry.Wait(failures)) {
			return
		}
	}
}

// selectPublishedSQL gives jobs in the order of an index, so that no batch reads those before it again.
const selectPublishedSQL = `
       SELECT normalized_event_id, id FROM processing_jobs
       WHERE  NOT parked AND published_at > $2 AND published_at <= $1 AND %s
       ORDER  BY published_at
       LIMIT  $3%s`

const republishAllSQL = `
UPDATE processing_jobs SET published_at = NULL, wake_at = CASE WHEN scheduled_at > $1 THEN scheduled_at ELSE $1 END
WHERE  (normalized_event_id, id) IN (` + selectPublishedSQL + `)`

// inQueueSQL says which of the published jobs may have a message in a queue.
var inQueueSQL = map[broker.Queue]string{
	broker.Process: "destination_id IS NOT NULL",
	broker.Delayed: "destination_id IS NOT NULL AND scheduled_at > published_at",
	broker.Replay:  "destination_id IS NULL",
}

// republishAll notes as unpublished every job of a queue that was published until then, also those
// that wait for a retry: the relay publishes each when it is due. What was in a delay queue was put
// there lately.
func (m *Module) republishAll(ctx context.Context, queue broker.Queue, until time.Time) error {
	since := time.Unix(0, 0).UTC()
	if queue == broker.Delayed {
		since = until.Add(-2 * broker.MaxDelay)
	}
	for total := 0; ; {
		var n int64
		err := m.db.InTx(ctx, func(tx *database.Tx) (err error) {
			n, err = tx.Exec(ctx, fmt.Sprintf(republishAllSQL, inQueueSQL[queue], tx.Dialect.SkipLocked), until, since, relayAtOnce)
			return err
		})
		if err != nil {
			return fmt.Errorf("note lost jobs: %w", err)
		}
		m.metrics.Republished("queue_lost", int(n))
		if total += int(n); n < relayAtOnce {
			m.log.WarnContext(ctx, "jobs whose messages the broker lost are published again", "queue", queue, "jobs", total)
			return nil
		}
	}
}
