package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

func (r ref) valid() bool {
	return id.Valid(r.EventID) && id.Valid(r.JobID) && (r.Destination == "" || id.Valid(r.Destination))
}

// compare orders jobs as their rows are locked.
func (r ref) compare(other ref) int {
	return cmp.Or(cmp.Compare(r.EventID, other.EventID), cmp.Compare(r.JobID, other.JobID))
}

// refRows is the relation v (event_id, id) of jobs, in the order in which rows are
// locked.
func refRows(refs []ref) *database.Rows {
	sorted := slices.SortedFunc(slices.Values(refs), ref.compare)
	rows := database.NewRows("event_id uuid", "id uuid").Expect(len(sorted))
	for _, r := range sorted {
		rows.Add(r.EventID, r.JobID)
	}
	return rows
}

// eventIDs gives the ids of all items' events, sorted and once each.
func eventIDs[T any](items []T, of func(T) string) []string {
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = of(item)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func chunks[T any](list []T, size int) [][]T { return slices.Collect(slices.Chunk(list, size)) }

// direct reports whether a job that is due in delay is published by whoever makes
// it. The broker holds delayed messages for the process queue alone, and not for
// long; the relay has the others.
func direct(r ref, delay time.Duration) bool {
	return delay == 0 || r.Destination != "" && delay <= broker.MaxDelay
}

// announcement is how a job that is queued at now and due in delay is published. The
// relay may do it after the direct publish had its time, or at once where there is
// none.
func (m *Module) announcement(r ref, now time.Time, delay time.Duration) announcement {
	a := announcement{ref: r, delay: delay, relayAt: now.Add(delay)}
	if direct(r, delay) {
		a.relayAt = a.relayAt.Add(m.cfg.RelayGrace)
	}
	return a
}

// orNever is at, or nil for the relay to leave the job alone.
func orNever(at time.Time, never bool) *time.Time {
	if never {
		return nil
	}
	return &at
}

// claimed is a job that this process has, until its lease runs out.
type claimed struct {
	job
	token string
	at    time.Time
}

var claimSQL = `
UPDATE processing_jobs
SET    ` + claimStep.set() + `, claim_token = $1, started_at = $2, relay_at = NULL, lease_until = %s
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.id = v.id
AND    ` + claimStep.when() + ` AND NOT parked AND scheduled_at <= $2
RETURNING processing_jobs.id, normalized_event_id, integration_id, destination_id, replay_request_id, triggered_by, status,
          attempt_no, budget_start, correlation_id, scheduled_at, error_message`

// claim takes those of refs that are due, for as long as an attempt at their
// destination may last, under a token of the caller's. After an error some of them may
// have been taken all the same.
//
// It locks jobs alone, in id order; every other transaction here locks states before
// jobs, both in id order. So an event's waiting job may be claimed while another
// transaction has its state: what that one finds waiting it must change on the condition
// that it still does.
func (m *Module) claim(ctx context.Context, token string, refs []ref) ([]claimed, error) {
	var jobs []job
	at := m.now()
	lease := m.db.Dialect.LeaseIn("($3 + COALESCE((SELECT d.timeout_ms FROM destinations d WHERE d.id = destination_id), $4))")
	err := m.db.WriteRows(ctx, &jobs, refRows(refs), fmt.Sprintf(claimSQL, lease),
		token, at, m.cfg.LeaseMargin.Milliseconds(), m.cfg.Timeout.Milliseconds())
	if err != nil {
		return nil, fmt.Errorf("claim jobs: %w", err)
	}
	list := make([]claimed, len(jobs))
	for i, j := range jobs {
		list[i] = claimed{j, token, at}
	}
	return list, nil
}

// standing is what became of a job that could not be claimed.
type standing struct {
	EventID     string    `db:"normalized_event_id"`
	ID          string    `db:"id"`
	Status      status    `db:"status"`
	Parked      bool      `db:"parked"`
	ScheduledAt time.Time `db:"scheduled_at"`
}

const selectStandingSQL = `
SELECT j.normalized_event_id, j.id, j.status, j.parked, j.scheduled_at
FROM   processing_jobs j
JOIN   v ON j.normalized_event_id = v.event_id AND j.id = v.id`

func (m *Module) standings(ctx context.Context, refs []ref) (list []standing, err error) {
	if err = m.db.SelectRows(ctx, &list, refRows(refs), selectStandingSQL); err != nil {
		return nil, fmt.Errorf("look up jobs: %w", err)
	}
	return list, nil
}

// release says when and how claimed work is given back.
type release struct {
	claimed
	delay  time.Duration
	parked bool
}

var giveBackSQL = `
UPDATE processing_jobs
SET    ` + releaseStep.set() + `, claim_token = NULL, lease_until = NULL, started_at = NULL, published_at = NULL,
       parked = v.park, scheduled_at = v.due, relay_at = v.relay
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.id = v.id AND claim_token = v.token AND ` + releaseStep.when()

const lockJobsSQL = `
SELECT j.id
FROM   processing_jobs j
JOIN   v ON j.normalized_event_id = v.event_id AND j.id = v.id
ORDER  BY j.normalized_event_id, j.id`

// giveBack queues claimed work again without counting an attempt. Jobs are locked first,
// however they stand: the claim whose answer was lost may still be under way, and is waited
// for.
func (m *Module) giveBack(ctx context.Context, list []release) error {
	if len(list) == 0 {
		return nil
	}
	ids := eventIDs(list, func(r release) string { return r.EventID })
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		states, err := m.events.LockStates(ctx, tx, ids)
		if err != nil {
			return err
		}
		refs := make([]ref, len(list))
		for i, r := range list {
			refs[i] = r.ref()
		}
		var locked []string
		if err := tx.SelectRows(ctx, &locked, refRows(refs), lockJobsSQL+tx.Dialect.ForUpdate); err != nil {
			return fmt.Errorf("lock jobs: %w", err)
		}
		rows := database.NewRows("event_id uuid", "id uuid", "token uuid", "park boolean", "due timestamptz", "relay timestamptz")
		var announcements []announcement
		for _, r := range list {
			a := m.announcement(r.ref(), tx.Now, r.delay)
			rows.Add(r.EventID, r.ID, r.token, r.parked, tx.Now.Add(r.delay), orNever(a.relayAt, r.parked))
			if !r.parked {
				announcements = append(announcements, a)
			}
		}
		if _, err := tx.ExecRows(ctx, rows, giveBackSQL); err != nil {
			return fmt.Errorf("give jobs back: %w", err)
		}
		tx.AfterCommit(func() { m.publisher.announce(announcements) })
		return m.deriveAndSave(ctx, tx, states)
	})
}
