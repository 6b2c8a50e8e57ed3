package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

func newRef(eventID, jobID string) ref {
	return ref{JobRef: contract.JobRef{EventID: eventID, JobID: jobID}}
}

const selectExpiredSQL = `
SELECT normalized_event_id
FROM   processing_jobs
WHERE  status = 'running' AND lease_until < %s
ORDER  BY lease_until
LIMIT  500`

var sweepSQL = `
UPDATE processing_jobs
SET    ` + releaseStep.set() + `, claim_token = NULL, lease_until = NULL, started_at = NULL, published_at = NULL, relay_at = $1
FROM   v
WHERE  normalized_event_id = v.id AND ` + releaseStep.when() + ` AND lease_until < %s`

// sweep queues jobs whose owner let the lease run out: it died, or hangs.
func (m *Module) sweep(ctx context.Context) error {
	var expired []string
	if err := m.db.Select(ctx, &expired, fmt.Sprintf(selectExpiredSQL, m.db.Dialect.LeaseNow)); err != nil {
		return fmt.Errorf("look up leases: %w", err)
	}
	return m.requeue(ctx, expired, fmt.Sprintf(sweepSQL, m.db.Dialect.LeaseNow), "jobs past their lease are queued again")
}

const selectRunningSQL = `
SELECT normalized_event_id FROM processing_jobs WHERE status = 'running'`

var takeUpSQL = `
UPDATE processing_jobs
SET    ` + releaseStep.set() + `, claim_token = NULL, lease_until = NULL, started_at = NULL, published_at = NULL, relay_at = $1
FROM   v
WHERE  normalized_event_id = v.id AND ` + releaseStep.when()

const takeUpQueuedSQL = `
UPDATE processing_jobs SET published_at = NULL, relay_at = CASE WHEN scheduled_at > $1 THEN scheduled_at ELSE $1 END
WHERE  status = 'queued' AND NOT parked`

// Recover takes up at once whatever an earlier process of this installation left.
// Only where one process alone works on the database, with the in-process broker:
// there nobody else can have the leases or the messages.
func (m *Module) Recover(ctx context.Context) error {
	var events []string
	if err := m.db.Select(ctx, &events, selectRunningSQL); err != nil {
		return fmt.Errorf("look up running jobs: %w", err)
	}
	if err := m.requeue(ctx, events, takeUpSQL, "jobs of an earlier process are queued again"); err != nil {
		return err
	}
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.Exec(ctx, takeUpQueuedSQL, tx.Now)
		return err
	})
}

// requeue runs an update of these events' running jobs and sets their states anew.
func (m *Module) requeue(ctx context.Context, events []string, update, say string) error {
	for _, part := range chunks(eventIDs(events, func(id string) string { return id }), relayAtOnce) {
		var n int64
		err := m.db.InTx(ctx, func(tx *database.Tx) error {
			states, err := m.events.LockStates(ctx, tx, part)
			if err != nil {
				return err
			}
			if n, err = tx.ExecRows(ctx, database.IDs(part), update, tx.Now); err != nil {
				return fmt.Errorf("queue jobs again: %w", err)
			}
			return m.deriveAndSave(ctx, tx, states)
		})
		if err != nil {
			return err
		}
		m.log.WarnContext(ctx, say, "jobs", n)
	}
	return nil
}

const selectParkedSQL = `
SELECT d.id
FROM   destinations d
WHERE  EXISTS (SELECT 1 FROM processing_jobs j WHERE j.parked AND j.destination_id = d.id)`

var unparkSQL = `
UPDATE processing_jobs
SET    parked = false, published_at = NULL, relay_at = CASE WHEN scheduled_at > $1 THEN scheduled_at ELSE $1 END
WHERE  (normalized_event_id, id) IN (
       SELECT normalized_event_id, id FROM processing_jobs
       WHERE  parked AND status = 'queued' AND destination_id = $2
       ORDER  BY scheduled_at
       LIMIT  $3%s)`

// unpark brings back, in batches, the jobs of destinations that are active and reachable
// again, sends a probe where it is time, and ends what waits for a destination that was
// removed.
func (m *Module) unpark(ctx context.Context) error {
	var parked []string
	if err := m.db.Select(ctx, &parked, selectParkedSQL); err != nil || len(parked) == 0 {
		return err
	}
	destinations, err := m.directory.get(ctx, parked)
	if err != nil {
		return err
	}
	integrations := make([]string, 0, len(parked))
	for _, d := range destinations {
		integrations = append(integrations, d.IntegrationID)
	}
	active, err := m.events.ActiveIntegrations(ctx, integrations)
	if err != nil {
		return err
	}
	for _, d := range destinations {
		switch {
		case d.cancelled():
			err = m.cancelParked(ctx, d)
		case d.broken != nil || !d.open() || !active[d.IntegrationID] && !d.finishing():
			continue
		case d.Breaker != breakerClosed:
			err = m.probe(ctx, d)
		default:
			err = m.db.InTx(ctx, func(tx *database.Tx) error {
				_, err := tx.Exec(ctx, fmt.Sprintf(unparkSQL, tx.Dialect.SkipLocked), tx.Now, d.ID, relayAtOnce)
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("bring back jobs of destination %s: %w", d.ID, err)
		}
	}
	return nil
}

var publishLaterSQL = `
UPDATE processing_jobs SET published_at = NULL, relay_at = v.relay
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.id = v.id AND ` + queued.known() + ` AND NOT parked`

// publishLater has jobs that came before their time published for it; all in one
// transaction, since the worker's loop waits for it.
func (m *Module) publishLater(ctx context.Context, list []early) error {
	if len(list) == 0 {
		return nil
	}
	slices.SortFunc(list, func(a, b early) int { return a.compare(b.ref) })
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		rows := database.NewRows("event_id uuid", "id uuid", "relay timestamptz")
		announcements := make([]announcement, len(list))
		for i, e := range list {
			announcements[i] = m.announcement(e.ref, tx.Now, e.by)
			rows.Add(e.EventID, e.JobID, announcements[i].relayAt)
		}
		tx.AfterCommit(func() { m.publisher.announce(announcements) })
		_, err := tx.ExecRows(ctx, rows, publishLaterSQL)
		return err
	})
}

// early is a job that came before its time, and by how much.
type early struct {
	arrival
	by time.Duration
}

var postponeSQL = `
UPDATE processing_jobs SET scheduled_at = v.due, published_at = NULL, relay_at = v.relay
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.id = v.id AND ` + queued.known() + ` AND NOT parked`

// maxPostponed is the longest that a job is put off: a destination may recover any time.
const maxPostponed = time.Minute

// postpone moves jobs that wait for a slow destination to when their turn may come, and
// by about one timeout where nobody can say when that is.
func (m *Module) postpone(ctx context.Context, list []late) error {
	slices.SortFunc(list, func(a, b late) int { return a.compare(b.ref) }) // as all rows are locked
	delays := make([]time.Duration, len(list))
	for i, l := range list {
		delays[i] = m.cfg.Timeout/2 + time.Duration(m.random()*float64(m.cfg.Timeout))
		if l.by > 0 {
			delays[i] = min(max(l.by, time.Second), maxPostponed)
		}
	}
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		rows := database.NewRows("event_id uuid", "id uuid", "due timestamptz", "relay timestamptz")
		announcements := make([]announcement, len(list))
		for i, a := range list {
			announcements[i] = m.announcement(a.ref, tx.Now, delays[i])
			rows.Add(a.EventID, a.JobID, tx.Now.Add(delays[i]), announcements[i].relayAt)
		}
		tx.AfterCommit(func() { m.publisher.announce(announcements) })
		_, err := tx.ExecRows(ctx, rows, postponeSQL)
		return err
	})
}
