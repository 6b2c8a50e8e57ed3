package delivery

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/failpoint"
	"integration-gateway/platform/tracing"
)

// begin claims jobs that have a slot and starts them. While the database is unavailable it
// backs off, and the jobs wait for another slot. failures is the number of consecutive failed
// claims; begin returns the new number.
func (w *worker) begin(ctx context.Context, taken []queuedJob, failures int) int {
	token := w.m.newToken()
	for i, a := range taken {
		taken[i].token = cmp.Or(a.token, token)
	}
	err := w.releaseUnsure(ctx)
	if err == nil {
		if err = w.start(ctx, taken); err == nil {
			return 0
		}
		for _, a := range taken {
			w.unsure = append(w.unsure, release{claimed: claimed{job: a.job(), token: a.token}})
		}
	}
	wait := storeRetry.Wait(failures)
	w.m.log.WarnContext(ctx, "claiming jobs failed; retrying", "jobs", len(taken), "retry_in", wait.String(), "error", err)
	clock.Sleep(ctx, wait)
	for _, a := range taken {
		w.scheduler.done(a.Destination, a.slot, w.m.now())
		a.token = ""
		w.wait(a)
	}
	return failures + 1
}

// start claims jobs, prepares them together and starts each. It settles those that cannot be
// claimed. An error means that none was started.
func (w *worker) start(ctx context.Context, taken []queuedJob) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	byJob := make(map[string]queuedJob, len(taken))
	bids := make([]bid, 0, len(taken))
	for _, a := range taken {
		if _, twice := byJob[a.JobID]; twice {
			w.scheduler.done(a.Destination, a.slot, w.m.now())
			a.message.done()
			continue
		}
		byJob[a.JobID] = a
		bids = append(bids, bid{a.ref, a.token, orNull(a.postponed, a.postponed.IsZero())})
	}
	jobs, err := w.m.claim(bounded, bids)
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
// Jobs that are not due are published again for their time. Those that were locked, or queued
// again since, keep their messages and are tried again: only what has ended, or runs under a
// lease, which the sweep follows, needs none.
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
		switch by := s.due.at().Sub(w.m.now()); {
		case s.Status == queued && s.Parked, s.Status != queued && !s.claimedAs(a.token):
			continue
		case s.Status == queued && by > 0 && !s.due.at().Equal(a.postponed):
			soon = append(soon, early{a, by})
		default:
			w.hold(a)
		}
		delete(rest, s.ID)
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

// lockedPause is after how long a job is tried again that another transaction held.
const lockedPause = 100 * time.Millisecond

// hold has a job tried again after lockedPause. It keeps its token: the driver may have
// repeated its claim while the first one still held it.
func (w *worker) hold(a queuedJob) {
	if len(w.held) == 0 {
		w.retryHeld = time.After(lockedPause)
	}
	w.held = append(w.held, a)
}

// releaseHeld queues the held jobs for a slot.
func (w *worker) releaseHeld() {
	for _, a := range w.held {
		w.wait(a)
	}
	w.held, w.retryHeld = nil, nil
}

// postpone moves jobs of slow destinations to a later time, unclaimed. It remembers them for when the destination
// has a free slot earlier.
func (w *worker) postpone(list []late) {
	ctx, cancel := context.WithTimeout(w.life, claimTimeout)
	defer cancel()
	for _, part := range chunks(list, claimAtOnce) {
		away, err := w.m.postpone(ctx, part)
		if err != nil {
			w.m.log.WarnContext(ctx, "postponing jobs failed; they keep waiting", "jobs", len(part), "error", err)
			for _, a := range part {
				w.wait(a.queuedJob)
			}
			continue
		}
		w.scheduler.remember(away)
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
	span          tracing.Span
}

// queue is the one that the job's message came from.
func (c claimed) queue() broker.Queue {
	if c.DestinationID == nil {
		return broker.Replay
	}
	return broker.Process
}

// claimSQL leaves wake_at as it is where it comes before the lease can end ($4), as in a job that is claimed before it is
// marked as published: then no indexed column changes.
var claimSQL = `,
free (event_id, job_id, token) AS (
       SELECT j.normalized_event_id, j.id, v.token
       FROM   v
       JOIN   processing_jobs j ON j.normalized_event_id = v.event_id AND j.id = v.id
       WHERE  ` + claimStep.whenSQL() + ` AND NOT j.parked AND (j.scheduled_at IS NULL OR j.scheduled_at <= $1 OR j.scheduled_at = v.postponed)
       OR     ` + running.isSQL() + ` AND j.claim_token = v.token
       ORDER  BY j.normalized_event_id, j.id%[1]s)
UPDATE processing_jobs
SET    ` + claimStep.setSQL() + `, claim_token = free.token, started_at = $1, published_at = NULL, lease_until = %[2]s,
       wake_at = CASE WHEN wake_at <= $4 THEN wake_at ELSE $4 END
FROM   free
WHERE  normalized_event_id = free.event_id AND processing_jobs.id = free.job_id
RETURNING processing_jobs.id, normalized_event_id, destination_id, replay_request_id, triggered_by, status,
          attempt_no, budget_start, created_at, scheduled_at, error_message`

// bid is a job to be claimed, and under which token. One that this process postponed is claimed
// before that time, unless another one has put it off since.
type bid struct {
	ref
	token     string
	postponed *time.Time
}

// bidRows returns the relation v (event_id, id, token, postponed) of bids.
func bidRows(bids []bid) *database.Rows {
	rows := database.NewRows("event_id uuid", "id uuid", "token uuid", "postponed timestamptz").Expect(len(bids))
	for _, b := range bids {
		rows.Add(b.EventID, b.JobID, b.token, b.postponed)
	}
	return rows
}

// claim claims those jobs that are due, each under its token and for as long as an attempt at
// its destination may last. After an error some of them may still be claimed.
//
// It also returns jobs that already have their token: if the connection breaks before the
// answer, the driver repeats the statement on another one.
//
// A job that was due when it was created (it has no scheduled_at) is due, whatever this process's
// clock says: it may be a few milliseconds behind that of the creating process.
//
// claim locks only jobs, in id order, and leaves out those that another transaction holds: all
// others would wait with them. Every other transaction here locks states before jobs,
// both in id order. So a waiting job may be claimed while another transaction holds its
// event's state; that transaction must change waiting jobs only if they still wait.
func (m *Module) claim(ctx context.Context, bids []bid) ([]claimed, error) {
	tokens := make(map[string]string, len(bids))
	for _, b := range bids {
		tokens[b.JobID] = b.token
	}
	var jobs []job
	at := m.now()
	query, args := m.claimStatement(at)
	if err := m.db.WriteRows(ctx, &jobs, bidRows(bids), query, args...); err != nil {
		return nil, fmt.Errorf("claim jobs: %w", err)
	}
	list := make([]claimed, len(jobs))
	for i, j := range jobs {
		list[i] = claimed{job: j, token: tokens[j.ID], at: at}
	}
	return list, nil
}

func (m *Module) claimStatement(at time.Time) (query string, args []any) {
	lease := m.db.Dialect.LeaseIn("($2 + COALESCE((SELECT d.timeout_ms FROM destinations d WHERE d.id = destination_id), $3))")
	return fmt.Sprintf(claimSQL, m.db.Dialect.SkipLocked, lease),
		[]any{at, m.cfg.LeaseMargin.Milliseconds(), m.cfg.Timeout.Milliseconds(), m.db.Now().Add(m.cfg.LeaseMargin)}
}

// standing is the state of a job that could not be claimed.
type standing struct {
	EventID string `db:"normalized_event_id"`
	ID      string `db:"id"`
	Status  status `db:"status"`
	Parked  bool   `db:"parked"`
	Token   string `db:"claim_token"` // "" for none
	due
}

// claimedAs reports whether the job runs under a token.
func (s standing) claimedAs(token string) bool { return s.Status == running && s.Token == token }

const selectStandingSQL = `
SELECT j.normalized_event_id, j.id, j.status, j.parked, COALESCE(CAST(j.claim_token AS text), '') AS claim_token, j.created_at, j.scheduled_at
FROM   processing_jobs j
JOIN   v ON j.normalized_event_id = v.event_id AND j.id = v.id`

func (m *Module) standings(ctx context.Context, refs []ref) (list []standing, err error) {
	if err = m.db.SelectRows(ctx, &list, refRows(refs), selectStandingSQL); err != nil {
		return nil, fmt.Errorf("look up jobs: %w", err)
	}
	return list, nil
}
