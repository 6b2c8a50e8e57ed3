package delivery

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/failpoint"
)

// begin claims jobs that have a slot and starts them. While the database is unavailable it
// backs off, and the jobs wait for another slot. failures is the number of consecutive failed
// claims; begin returns the new number.
func (w *worker) begin(ctx context.Context, taken []queuedJob, failures int) int {
	token := w.m.newToken()
	err := w.releaseUnsure(ctx)
	if err == nil {
		if err = w.start(ctx, token, taken); err == nil {
			return 0
		}
		for _, a := range taken {
			w.unsure = append(w.unsure, release{claimed: claimed{job: a.job(), token: token}})
		}
	}
	wait := storeRetry.Wait(failures)
	w.m.log.WarnContext(ctx, "claiming jobs failed; retrying", "jobs", len(taken), "retry_in", wait.String(), "error", err)
	clock.Sleep(ctx, wait)
	for _, a := range taken {
		w.scheduler.done(a.Destination, a.slot, w.m.now())
		w.wait(a)
	}
	return failures + 1
}

// releaseUnsure releases the jobs of claims whose answer was lost, so that they need not wait
// until their leases expire.
func (w *worker) releaseUnsure(ctx context.Context) error {
	if len(w.unsure) == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	if err := w.m.releaseJobs(bounded, w.unsure); err != nil {
		return fmt.Errorf("release jobs that may be claimed: %w", err)
	}
	w.unsure = nil
	return nil
}

// start claims jobs, prepares them together and starts each. It settles those that cannot be
// claimed. An error means that none was started.
func (w *worker) start(ctx context.Context, token string, taken []queuedJob) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	byJob := make(map[string]queuedJob, len(taken))
	refs := make([]ref, 0, len(taken))
	for _, a := range taken {
		if _, twice := byJob[a.JobID]; twice {
			w.scheduler.done(a.Destination, a.slot, w.m.now())
			a.message.done()
			continue
		}
		byJob[a.JobID] = a
		refs = append(refs, a.ref)
	}
	jobs, err := w.m.claim(bounded, token, refs)
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	failpoint.Hit(failpoint.AfterClaim)
	for _, c := range jobs {
		w.m.watermarks.of(c.queue()).raise(byJob[c.ID].message.PublishedAt, c.due.at().Time, w.m.now())
	}
	w.startAll(bounded, jobs, byJob)
	for _, c := range jobs {
		delete(byJob, c.ID)
	}
	w.settle(bounded, byJob)
	return nil
}

// settle handles jobs that could not be claimed: most are done, or claimed by another worker.
// Jobs that are not due are published again for their time.
func (w *worker) settle(ctx context.Context, rest map[string]queuedJob) {
	if len(rest) == 0 {
		return
	}
	refs := make([]ref, 0, len(rest))
	for _, a := range rest {
		refs = append(refs, a.ref)
		w.scheduler.done(a.Destination, a.slot, w.m.now())
	}
	list, err := w.m.standings(ctx, refs)
	if err != nil {
		w.m.log.WarnContext(ctx, "looking up jobs failed; requeueing their messages", "jobs", len(rest), "error", err)
		for _, a := range rest {
			a.message.lose()
		}
		return
	}
	w.m.unknown(ctx, len(rest)-len(list), "messages name jobs")
	var soon []early
	for _, s := range list {
		a := rest[s.ID]
		if s.Status != queued || s.Parked {
			continue
		}
		delete(rest, s.ID)
		if by := s.due.at().Sub(w.m.now()); by > 0 {
			soon = append(soon, early{a, by})
			continue
		}
		w.wait(a) // queued again since the claim
	}
	if err := w.m.publishLater(ctx, soon); err != nil {
		for _, e := range soon {
			e.message.lose()
		}
		soon = nil
	}
	for _, e := range soon {
		e.message.done()
	}
	for _, a := range rest {
		a.message.done()
	}
}

// postpone moves jobs of slow destinations to a later time, unclaimed.
func (w *worker) postpone(list []late) {
	ctx, cancel := context.WithTimeout(w.life, claimTimeout)
	defer cancel()
	for _, part := range chunks(list, claimAtOnce) {
		if err := w.m.postpone(ctx, part); err != nil {
			w.m.log.WarnContext(ctx, "postponing jobs failed; they keep waiting", "jobs", len(part), "error", err)
			for _, a := range part {
				w.wait(a.queuedJob)
			}
			continue
		}
		for _, a := range part {
			a.message.done()
		}
	}
}

// claimed is a job that this process owns until its lease expires.
type claimed struct {
	job
	token         string
	at            time.Time
	source        string // its event's, once that was read, as is the correlation
	correlationID string
}

// queue is the one that the job's message came from.
func (c claimed) queue() broker.Queue {
	if c.DestinationID == nil {
		return broker.Replay
	}
	return broker.Process
}

// claimSQL leaves wake_at as it is where it comes before the lease can end ($5), as in a job that is claimed before it is
// marked as published: then no indexed column changes.
var claimSQL = `
UPDATE processing_jobs
SET    ` + claimStep.setSQL() + `, claim_token = $1, started_at = $2, published_at = NULL, lease_until = %s,
       wake_at = CASE WHEN wake_at <= $5 THEN wake_at ELSE $5 END
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.id = v.id
AND   (` + claimStep.whenSQL() + ` AND NOT parked AND (scheduled_at IS NULL OR scheduled_at <= $2)
       OR ` + running.isSQL() + ` AND claim_token = $1)
RETURNING processing_jobs.id, normalized_event_id, destination_id, replay_request_id, triggered_by, status,
          attempt_no, budget_start, created_at, scheduled_at, error_message`

// claim claims those of refs that are due, under the caller's token and for as long as an
// attempt at their destination may last. After an error some of them may still be claimed.
//
// It also returns jobs that already have the token: if the connection breaks before the
// answer, the driver repeats the statement on another one.
//
// A job that was due when it was created (it has no scheduled_at) is due, whatever this process's
// clock says: it may be a few milliseconds behind that of the creating process.
//
// claim locks only jobs, in id order. Every other transaction here locks states before jobs,
// both in id order. So a waiting job may be claimed while another transaction holds its
// event's state; that transaction must change waiting jobs only if they still wait.
func (m *Module) claim(ctx context.Context, token string, refs []ref) ([]claimed, error) {
	var jobs []job
	at := m.now()
	query, args := m.claimStatement(token, at)
	if err := m.db.WriteRows(ctx, &jobs, refRows(refs), query, args...); err != nil {
		return nil, fmt.Errorf("claim jobs: %w", err)
	}
	list := make([]claimed, len(jobs))
	for i, j := range jobs {
		list[i] = claimed{job: j, token: token, at: at}
	}
	return list, nil
}

func (m *Module) claimStatement(token string, at time.Time) (query string, args []any) {
	lease := m.db.Dialect.LeaseIn("($3 + COALESCE((SELECT d.timeout_ms FROM destinations d WHERE d.id = destination_id), $4))")
	return fmt.Sprintf(claimSQL, lease),
		[]any{token, at, m.cfg.LeaseMargin.Milliseconds(), m.cfg.Timeout.Milliseconds(), m.db.Now().Add(m.cfg.LeaseMargin)}
}

// standing is the state of a job that could not be claimed.
type standing struct {
	EventID string `db:"normalized_event_id"`
	ID      string `db:"id"`
	Status  status `db:"status"`
	Parked  bool   `db:"parked"`
	due
}

const selectStandingSQL = `
SELECT j.normalized_event_id, j.id, j.status, j.parked, j.created_at, j.scheduled_at
FROM   processing_jobs j
JOIN   v ON j.normalized_event_id = v.event_id AND j.id = v.id`

func (m *Module) standings(ctx context.Context, refs []ref) (list []standing, err error) {
	if err = m.db.SelectRows(ctx, &list, refRows(refs), selectStandingSQL); err != nil {
		return nil, fmt.Errorf("look up jobs: %w", err)
	}
	return list, nil
}
