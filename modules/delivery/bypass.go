package delivery

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
)

const (
	bypassEvery = 250 * time.Millisecond
	bypassPause = time.Second            // where there is nothing to take, or the database is slow
	bypassAfter = 500 * time.Millisecond // since the job was published: the broker's way is the usual one
	bypassBatch = 256
)

const selectStuckSQL = `
SELECT normalized_event_id, id, destination_id
FROM   processing_jobs
WHERE  NOT parked AND published_at < $1 AND (scheduled_at IS NULL OR scheduled_at <= $1) AND %s
ORDER  BY published_at
LIMIT  $2`

// bypasses takes jobs of a queue from the database, beside the broker, until ctx ends.
func (w *worker) bypasses(ctx context.Context, queue broker.Queue) {
	for clock.Sleep(ctx, w.bypass(ctx, queue)) {
	}
}

// bypass takes due jobs from the database, beside the broker. A worker whose host fell
// silent still has its consumers at the broker, which hands messages to them until it
// misses the heartbeats; for that long the other workers do not rely on messages alone. The
// claim decides as always, so a message that comes later finds its job done. It gives when to look again.
func (w *worker) bypass(ctx context.Context, queue broker.Queue) (pause time.Duration) {
	if !w.m.peers.Silent() || len(w.in) > 0 {
		return bypassEvery
	}
	pause, began := bypassPause, w.m.now()
	w.m.step(ctx, "taking jobs from the database", func(ctx context.Context) error {
		var jobs []job
		before := w.m.now().Add(-bypassAfter)
		if err := w.m.db.SelectApart(ctx, &jobs, fmt.Sprintf(selectStuckSQL, inQueueSQL[queue]), before, bypassBatch); err != nil {
			return fmt.Errorf("look up jobs whose messages may be with a silent worker: %w", err)
		}
		if len(jobs) > 0 && w.m.now.Since(began) < bypassEvery {
			pause = bypassEvery
		}
		list := make([]announcement, len(jobs))
		for i, j := range jobs {
			list[i] = announcement{ref: j.ref()}
		}
		messages, _ := compose(list)
		for _, msg := range messages {
			w.receive(broker.Delivery{Body: msg.Body, Ack: func() {}, Requeue: func() {}, Reject: func() {}})
		}
		return nil
	})
	return pause
}
