package delivery

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// selectWokenSQL gives running jobs whose wake_at has come: their leases have ended, or are still to be
// waited for. Queued ones with them are the relay's.
const selectWokenSQL = `
SELECT normalized_event_id, id, lease_until < %[1]s AS expired
FROM   processing_jobs
WHERE  wake_at <= $1 AND status = 'running' AND (lease_until < %[1]s OR wake_at < lease_until)
ORDER  BY wake_at
LIMIT  $2`

var sweepSQL = `,
free (event_id, job_id) AS (
       SELECT j.normalized_event_id, j.id
       FROM   v
       JOIN   processing_jobs j ON j.normalized_event_id = v.id
       WHERE  ` + releaseStep.whenSQL() + ` AND j.lease_until < %s
       ORDER  BY j.normalized_event_id, j.id%s)
UPDATE processing_jobs
SET    ` + releaseStep.setSQL() + `, claim_token = NULL, lease_until = NULL, started_at = NULL, wake_at = $1
FROM   free
WHERE  normalized_event_id = free.event_id AND processing_jobs.id = free.job_id
RETURNING processing_jobs.id, destination_id`

// sweep queues jobs whose lease has expired: the owner died or hangs. Those that are still
// within their leases are looked at again when these end. It waits for no other transaction:
// what one holds, it finds again at its next turn.
func (m *Module) sweep(ctx context.Context) error {
	var woken []struct {
		EventID string `db:"normalized_event_id"`
		ID      string `db:"id"`
		Expired bool   `db:"expired"`
	}
	if err := m.db.Select(ctx, &woken, fmt.Sprintf(selectWokenSQL, m.db.Dialect.LeaseNow), m.db.Now(), relayAtOnce); err != nil {
		return fmt.Errorf("look up leases: %w", err)
	}
	var expired []string
	var within []ref
	for _, w := range woken {
		if w.Expired {
			expired = append(expired, w.EventID)
		} else {
			within = append(within, newRef(w.EventID, w.ID))
		}
	}
	if err := m.wakeLater(ctx, within); err != nil {
		return err
	}
	update := fmt.Sprintf(sweepSQL, m.db.Dialect.LeaseNow, m.db.Dialect.SkipLocked)
	return m.requeue(ctx, expired, m.events.LockFreeStates, update, "queued jobs again whose lease had expired")
}

var wakeLaterSQL = `,
free (event_id, job_id) AS (
       SELECT j.normalized_event_id, j.id
       FROM   v
       JOIN   processing_jobs j ON j.normalized_event_id = v.event_id AND j.id = v.id
       WHERE  ` + running.isSQL() + ` AND j.wake_at < j.lease_until
       ORDER  BY j.normalized_event_id, j.id%s)
UPDATE processing_jobs SET wake_at = lease_until
FROM   free
WHERE  normalized_event_id = free.event_id AND processing_jobs.id = free.job_id`

// wakeLater has running jobs looked at when their leases end.
func (m *Module) wakeLater(ctx context.Context, refs []ref) error {
	if len(refs) == 0 {
		return nil
	}
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecRows(ctx, refRows(refs), fmt.Sprintf(wakeLaterSQL, tx.Dialect.SkipLocked))
		return err
	})
}

const selectRunningSQL = `
SELECT normalized_event_id FROM processing_jobs WHERE wake_at IS NOT NULL AND status = 'running'`

var takeUpSQL = `
UPDATE processing_jobs
SET    ` + releaseStep.setSQL() + `, claim_token = NULL, lease_until = NULL, started_at = NULL, wake_at = $1
FROM   v
WHERE  normalized_event_id = v.id AND ` + releaseStep.whenSQL() + `
RETURNING processing_jobs.id, destination_id`

const takeUpQueuedSQL = `
UPDATE processing_jobs SET published_at = NULL, wake_at = CASE WHEN scheduled_at > $1 THEN scheduled_at ELSE $1 END
WHERE  completed_at IS NULL AND status = 'queued' AND NOT parked`

// Recover immediately requeues the jobs that an earlier process left running. It is only for
// a single process with the in-process broker, where no other process can hold the leases or
// the messages.
func (m *Module) Recover(ctx context.Context) error {
	var events []string
	if err := m.db.Select(ctx, &events, selectRunningSQL); err != nil {
		return fmt.Errorf("look up running jobs: %w", err)
	}
	if err := m.requeue(ctx, events, m.events.LockStates, takeUpSQL, "queued jobs of an earlier process again"); err != nil {
		return err
	}
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.Exec(ctx, takeUpQueuedSQL, tx.Now)
		return err
	})
}

// lockStates locks the states of events.
type lockStates func(ctx context.Context, tx *database.Tx, eventIDs []string) ([]contract.EventState, error)

// requeue runs an update, whose $1 is the time, of the running jobs of those of these events
// whose states it could lock. Their owner is known to be dead. It derives the events' states
// again, and frees the jobs' slots at destinations with their own limits.
func (m *Module) requeue(ctx context.Context, events []string, lock lockStates, update, say string, args ...any) error {
	for _, part := range chunks(eventIDs(events, func(id string) string { return id }), relayAtOnce) {
		var jobs []job
		err := m.db.InTx(ctx, func(tx *database.Tx) error {
			jobs = nil
			states, err := lock(ctx, tx, part)
			if err != nil || len(states) == 0 {
				return err
			}
			locked := eventIDs(states, func(s contract.EventState) string { return s.EventID })
			if err = tx.SelectRows(ctx, &jobs, database.IDs(locked), update, append([]any{tx.Now}, args...)...); err != nil {
				return fmt.Errorf("queue jobs again: %w", err)
			}
			return m.deriveAndSave(ctx, tx, states)
		})
		if err != nil {
			return err
		}
		if len(jobs) == 0 {
			continue
		}
		m.freeSlots(ctx, jobs)
		m.metrics.LeasesExpired(len(jobs))
		m.log.WarnContext(ctx, say, "jobs", len(jobs))
	}
	return nil
}

// The first half of a claim token is the random half of its process's id; the second half is
// random for each claim. So a range of tokens finds a process's jobs without another column.
const half = 8

func (m *Module) newToken() string { return tokenOf(m.peers.Process(), id.New()) }

func tokenOf(process, claim string) string {
	p, err := uuid.Parse(process)
	c, errClaim := uuid.Parse(claim)
	if err != nil || errClaim != nil {
		panic("delivery: the id of a process or claim is not a UUID")
	}
	copy(c[:half], p[half:])
	return c.String()
}

// tokensOf returns the token range of a process.
func tokensOf(process string) (first, last string) {
	return tokenOf(process, "00000000-0000-0000-0000-000000000000"), tokenOf(process, "ffffffff-ffff-ffff-ffff-ffffffffffff")
}

const selectClaimedSQL = `
SELECT normalized_event_id, id, destination_id, claim_token
FROM   processing_jobs
WHERE  wake_at IS NOT NULL AND status = 'running' AND claim_token >= $1 AND claim_token <= $2`

var reclaimSQL = `
UPDATE processing_jobs
SET    ` + releaseStep.setSQL() + `, claim_token = NULL, lease_until = NULL, started_at = NULL, wake_at = $1
FROM   v
WHERE  normalized_event_id = v.id AND ` + releaseStep.whenSQL() + ` AND claim_token >= $2 AND claim_token <= $3
RETURNING processing_jobs.id, destination_id`

// Reclaim immediately requeues the jobs that a dead process had claimed, and releases their
// locks. If the process was only slow, its late outcomes are recorded, and end no job that
// another process has claimed.
func (m *Module) Reclaim(ctx context.Context, process string) error {
	first, last := tokensOf(process)
	var held []struct {
		EventID       string  `db:"normalized_event_id"`
		ID            string  `db:"id"`
		DestinationID *string `db:"destination_id"`
		Token         string  `db:"claim_token"`
	}
	if err := m.db.Select(ctx, &held, selectClaimedSQL, first, last); err != nil {
		return fmt.Errorf("look up the jobs of a dead process: %w", err)
	}
	for _, part := range chunks(held, relayAtOnce) {
		events := make([]string, len(part))
		var locks []cache.Claim
		for i, h := range part {
			events[i] = h.EventID
			if h.DestinationID != nil {
				c := claimed{job: job{ID: h.ID, EventID: h.EventID, DestinationID: h.DestinationID}, token: h.Token}
				locks = append(locks, c.lock(0))
			}
		}
		if err := m.requeue(ctx, events, m.events.LockStates, reclaimSQL, "queued jobs of a dead process again", first, last); err != nil {
			return err
		}
		m.unlock(locks)
	}
	if len(held) > 0 { // at once: the next tick of the relay is up to a second away
		m.step(ctx, "publishing due jobs", m.relay)
	}
	return nil
}

// unknown counts jobs in messages or outcomes that the database does not have: it has lost
// them, or another database shares the broker.
func (m *Module) unknown(ctx context.Context, jobs int, what string) {
	if jobs == 0 {
		return
	}
	m.log.WarnContext(ctx, what+" that the database does not have; was it restored, or did a standby take over?", "jobs", jobs)
	for range jobs {
		m.refusals.Refused(contract.Refusal{Action: "job.unknown", EntityType: contract.EntityDatabase, Source: "delivery", Reason: "unknown_job"})
	}
}
