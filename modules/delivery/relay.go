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

// Relay runs in every process until ctx ends. It publishes new jobs and due jobs that were
// not published, requeues jobs whose lease has expired, unparks jobs, and publishes jobs again
// whose messages the broker lost. It also keeps the destination cache up to date.
func (m *Module) Relay(ctx context.Context) error {
	var loops errgroup.Group
	loops.Go(func() error { m.destinations.Follow(ctx); return nil })
	loops.Go(func() error { m.publisher.run(ctx); return nil })
	loops.Go(func() error { every(ctx, markEvery, func() { m.publisher.mark(ctx, m.cfg.RelayGrace/2) }); return nil })
	loops.Go(func() error { every(ctx, m.cfg.RelayEvery, func() { m.relayTick(ctx) }); return nil })
	loops.Go(func() error {
		every(ctx, reconcileEvery, func() { m.step(ctx, "reconciling", m.reconcile) })
		return nil
	})
	loops.Go(func() error { m.handleLostQueues(ctx); return nil })
	return loops.Wait()
}

// every runs do now and then after each pause, until ctx ends.
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

// sweepRest is how many times as long as a sweep took the relay waits at least until the next: while
// the broker is away, a sweep reads past all jobs that wait to be published. It waits no longer than
// longestRest, and not after a sweep that failed: what it looks for waits for it.
const (
	sweepRest   = 10
	longestRest = 5 * time.Second
)

func (m *Module) relayTick(ctx context.Context) {
	if began := m.now(); !began.Before(m.sweepAfter) {
		if m.step(ctx, "requeueing jobs whose lease has expired", m.sweep) {
			m.sweepAfter = m.now().Add(min(sweepRest*m.now.Since(began), longestRest))
		}
	}
	m.step(ctx, "resuming destinations whose pause has ended", m.ResumeDue)
	m.step(ctx, "unparking jobs", m.unpark)
	m.step(ctx, "publishing due jobs", m.relay)
}

// step runs one of the relay's duties within its time and logs its failure; the next
// tick tries again.
func (m *Module) step(ctx context.Context, what string, do func(context.Context) error) (done bool) {
	bounded, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	err := do(bounded)
	if err != nil && ctx.Err() == nil {
		m.log.WarnContext(ctx, what+" failed", "error", err)
	}
	return err == nil
}

const selectDueSQL = `
       SELECT normalized_event_id, id FROM processing_jobs
       WHERE  status = 'queued' AND wake_at <= $1
       ORDER  BY wake_at
       LIMIT  $2%s`

const takeDueSQL = `
UPDATE processing_jobs SET published_at = $1, wake_at = NULL
WHERE  (normalized_event_id, id) IN (` + selectDueSQL + `)
RETURNING ` + jobColumns

// relay publishes due jobs that were not published. It first marks them in a separate
// transaction, so that no lock waits for the broker and relays do not take the same jobs. It
// removes the marks of jobs whose publishing failed.
func (m *Module) relay(ctx context.Context) error {
	if m.broker.Ping(ctx) != nil {
		return nil // the broker reports that itself; marking would be pointless
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
		m.metrics.Republished("unpublished", len(jobs))
		m.log.InfoContext(ctx, "published due jobs that had no message", "jobs", len(jobs))
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
		return fmt.Errorf("publish: %w; unmark the jobs: %w", err, unmarkErr)
	}
	return fmt.Errorf("publish: %w", err)
}

var unpublishedSQL = `
UPDATE processing_jobs SET published_at = NULL, wake_at = $1
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.id = v.id AND ` + queued.isSQL() + ` AND NOT parked`

// unpublished records that these jobs have no message.
func (m *Module) unpublished(ctx context.Context, refs []ref) error {
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecRows(ctx, refRows(refs), unpublishedSQL, tx.Now)
		return err
	})
}

// watermark is the time up to which this process has seen a queue claimed, by the time at which
// messages entered it.
type watermark struct {
	mu sync.Mutex
	at time.Time
}

// raise records a claimed job's times of publishing and due. The former is by the publisher's
// clock, which may be ahead. It is zero for a job that came without a message, which says
// nothing about the queue.
func (w *watermark) raise(published, due, now time.Time) {
	if published.IsZero() {
		return
	}
	at := published
	if due.After(at) {
		at = due
	}
	if at.After(now) {
		at = now
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if at.After(w.at) {
		w.at = at
	}
}

// watermarks has one for each queue: they are of different lengths.
type watermarks struct{ process, replay watermark }

func (w *watermarks) of(queue broker.Queue) *watermark {
	if queue == broker.Replay {
		return &w.replay
	}
	return &w.process
}

func (w *watermark) read() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// lostAfter is how long a published job may wait beyond what the queue explains.
const lostAfter = time.Minute

// reconcile publishes jobs again that the broker lost silently. A queue is first in, first out: a job is lost if one published a minute later has been claimed, or if it has
// waited for half a minute while its queue is empty. A backlog alone is no reason.
func (m *Module) reconcile(ctx context.Context) error {
	for _, queue := range []broker.Queue{broker.Process, broker.Replay} {
		depth, err := m.broker.Depth(ctx, queue)
		if err != nil {
			return nil //nolint:nilerr // the broker is unavailable; losses show when it is back
		}
		bound := m.watermarks.of(queue).read().Add(-lostAfter)
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
SELECT normalized_event_id, id, published_at, created_at, scheduled_at
FROM   processing_jobs
WHERE  published_at IS NOT NULL AND (scheduled_at IS NULL OR scheduled_at <= $1) AND %s
ORDER  BY published_at
LIMIT  5000`

// republish marks the published jobs of a queue as unpublished for which lost returns true,
// given the latest time at which they entered the queue. The relay publishes them.
func (m *Module) republish(ctx context.Context, queue broker.Queue, lost func(entered time.Time) bool) error {
	var waiting []struct {
		EventID     string    `db:"normalized_event_id"`
		ID          string    `db:"id"`
		PublishedAt time.Time `db:"published_at"`
		due
	}
	if err := m.db.Select(ctx, &waiting, fmt.Sprintf(selectWaitingSQL, inQueueSQL[queue]), m.now()); err != nil {
		return fmt.Errorf("look up waiting jobs: %w", err)
	}
	var refs []ref
	for _, w := range waiting {
		entered := w.PublishedAt
		if delay := w.at().Sub(w.PublishedAt); delay > 0 {
			entered = w.at().Add(min(delay, time.Minute)) // the latency of a delay queue
		}
		if lost(entered) {
			refs = append(refs, newRef(w.EventID, w.ID))
		}
	}
	for _, part := range chunks(refs, relayAtOnce) {
		if err := m.unpublished(ctx, part); err != nil {
			return fmt.Errorf("mark lost jobs: %w", err)
		}
	}
	if len(refs) > 0 {
		m.metrics.Republished("message_lost", len(refs))
		m.log.WarnContext(ctx, "publishing jobs again whose messages the broker lost", "jobs", len(refs))
	}
	return nil
}
