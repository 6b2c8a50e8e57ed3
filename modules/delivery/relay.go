package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/database"
)

const (
	relayAtOnce    = 500 // jobs in one transaction of the relay
	reconcileEvery = 10 * time.Second
	relayTimeout   = 30 * time.Second
)

// Relay moves what nothing else moves, in every process, until ctx ends: it publishes
// what was stored, publishes what is due and was not, queues what ran past its lease,
// brings back what was parked, and publishes again what the broker lost.
func (m *Module) Relay(ctx context.Context) error {
	var loops errgroup.Group
	loops.Go(func() error { m.publisher.run(ctx); return nil })
	loops.Go(func() error { every(ctx, markEvery, func() { m.publisher.mark(ctx, m.cfg.RelayGrace/2) }); return nil })
	loops.Go(func() error { every(ctx, m.cfg.RelayEvery, func() { m.relayTick(ctx) }); return nil })
	loops.Go(func() error {
		every(ctx, reconcileEvery, func() { m.step(ctx, "reconciling", m.reconcile) })
		return nil
	})
	loops.Go(func() error { m.heedLosses(ctx); return nil })
	return loops.Wait()
}

// every runs do at once and then after each pause, until ctx ends.
func every(ctx context.Context, pause time.Duration, do func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		do()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m *Module) relayTick(ctx context.Context) {
	m.step(ctx, "queueing jobs past their lease", m.sweep)
	m.step(ctx, "bringing parked jobs back", m.unpark)
	m.step(ctx, "publishing what is due", m.relay)
}

// step runs one of the relay's duties within its time and logs its failure; the next
// tick tries again.
func (m *Module) step(ctx context.Context, what string, do func(context.Context) error) {
	bounded, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	if err := do(bounded); err != nil && ctx.Err() == nil {
		m.log.WarnContext(ctx, what+" failed", "error", err)
	}
}

var takeDueSQL = `
UPDATE processing_jobs SET published_at = $1, relay_at = NULL
WHERE  (normalized_event_id, id) IN (
       SELECT normalized_event_id, id FROM processing_jobs
       WHERE  status = 'queued' AND relay_at <= $1
       ORDER  BY relay_at
       LIMIT  $2%s)
RETURNING ` + jobColumns

// relay publishes jobs that are due and were not published. They are marked first,
// in a transaction of their own, so that no lock waits for the broker and several
// relays do not take the same ones; the mark of what failed is taken back.
func (m *Module) relay(ctx context.Context) error {
	if m.broker.Ping(ctx) != nil {
		return nil // it says so itself; marking would only be work
	}
	for {
		var jobs []job
		err := m.db.InTx(ctx, func(tx *database.Tx) error {
			jobs = nil
			return tx.Select(ctx, &jobs, fmt.Sprintf(takeDueSQL, tx.Dialect.SkipLocked), tx.Now, relayAtOnce)
		})
		if err != nil || len(jobs) == 0 {
			return err
		}
		list := make([]announcement, len(jobs))
		for i, j := range jobs {
			list[i] = announcement{ref: j.ref()}
		}
		if err := m.relayAll(ctx, list); err != nil {
			return err
		}
		m.log.InfoContext(ctx, "published jobs that were due and not published", "jobs", len(jobs))
		if len(jobs) < relayAtOnce {
			return nil
		}
	}
}

func (m *Module) relayAll(ctx context.Context, list []announcement) error {
	done, err := m.publisher.send(ctx, list)
	if err == nil {
		return nil
	}
	safe := make(map[string]bool, len(done))
	for _, a := range done {
		safe[a.ref.JobID] = true
	}
	var back []ref
	for _, a := range list {
		if !safe[a.ref.JobID] {
			back = append(back, a.ref)
		}
	}
	unmark, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	if unmarkErr := m.unpublished(unmark, back); unmarkErr != nil {
		return fmt.Errorf("publish: %w; and to note it: %w", err, unmarkErr)
	}
	return fmt.Errorf("publish: %w", err)
}

var unpublishedSQL = `
UPDATE processing_jobs SET published_at = NULL, relay_at = $1
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.id = v.id AND ` + queued.known() + ` AND NOT parked`

// unpublished notes that no message stands for these jobs.
func (m *Module) unpublished(ctx context.Context, refs []ref) error {
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecRows(ctx, refRows(refs), unpublishedSQL, tx.Now)
		return err
	})
}

// watermark is how far this process has seen the process queue claimed, in the time
// at which messages entered it.
type watermark struct {
	mu sync.Mutex
	at time.Time
}

// raise notes a claimed job that was published, and due, at these times.
func (w *watermark) raise(published, due time.Time) {
	at := published
	if due.After(at) {
		at = due
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if at.After(w.at) {
		w.at = at
	}
}

func (w *watermark) read() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// heedLosses publishes again when the broker has lost a queue.
func (m *Module) heedLosses(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case queue := <-m.broker.Lost():
			if queue == broker.Dead {
				continue // its messages name no jobs
			}
			m.log.InfoContext(ctx, "a queue is new or came back empty; publishing again what may have been in it", "queue", queue)
			m.step(ctx, "publishing again", func(ctx context.Context) error {
				m.publisher.mark(ctx, 0) // what was published a moment ago is lost as well
				return m.republish(ctx, queue, func(time.Time) bool { return true })
			})
			m.step(ctx, "publishing what is due", m.relay)
		}
	}
}

// lostAfter is how long a published job may wait beyond what the queue explains.
const lostAfter = time.Minute

// reconcile publishes again what the broker lost without saying so. The process queue
// is first in, first out: a job that waits while one published a minute later has been
// claimed is lost; so is one that has waited for half a minute while its queue is
// empty. A backlog alone is no reason.
func (m *Module) reconcile(ctx context.Context) error {
	for _, queue := range []broker.Queue{broker.Process, broker.Replay} {
		depth, err := m.broker.Depth(ctx, queue)
		if err != nil {
			return nil //nolint:nilerr // the broker is away; what it lost shows when it is back
		}
		bound := m.watermark.read().Add(-lostAfter)
		if idle := m.now().Add(-lostAfter / 2); depth == 0 && idle.After(bound) {
			bound = idle
		}
		if err := m.republish(ctx, queue, func(entered time.Time) bool { return entered.Before(bound) }); err != nil {
			return err
		}
	}
	return nil
}

const selectWaitingSQL = `
SELECT normalized_event_id, id, published_at, scheduled_at
FROM   processing_jobs
WHERE  status = 'queued' AND published_at IS NOT NULL AND scheduled_at <= $1 AND (destination_id IS NULL) = $2
ORDER  BY published_at
LIMIT  5000`

// republish notes as unpublished those published jobs of a queue of which lost is true, given the
// time at which they entered the queue, at the latest; the relay publishes them.
func (m *Module) republish(ctx context.Context, queue broker.Queue, lost func(entered time.Time) bool) error {
	var waiting []struct {
		EventID     string    `db:"normalized_event_id"`
		ID          string    `db:"id"`
		PublishedAt time.Time `db:"published_at"`
		ScheduledAt time.Time `db:"scheduled_at"`
	}
	if err := m.db.Select(ctx, &waiting, selectWaitingSQL, m.now(), queue == broker.Replay); err != nil {
		return fmt.Errorf("look up waiting jobs: %w", err)
	}
	var refs []ref
	for _, w := range waiting {
		entered := w.PublishedAt
		if delay := w.ScheduledAt.Sub(w.PublishedAt); delay > 0 {
			entered = w.ScheduledAt.Add(min(delay, time.Minute)) // the retry ladder's lateness
		}
		if lost(entered) {
			refs = append(refs, newRef(w.EventID, w.ID))
		}
	}
	for _, part := range chunks(refs, relayAtOnce) {
		if err := m.unpublished(ctx, part); err != nil {
			return fmt.Errorf("note lost jobs: %w", err)
		}
	}
	if len(refs) > 0 {
		m.log.WarnContext(ctx, "jobs whose messages the broker lost are published again", "jobs", len(refs))
	}
	return nil
}
