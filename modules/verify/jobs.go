package verify

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/contract"
)

const countJobsSQL = `
SELECT e.source, j.status, j.parked, count(*) AS n
FROM   processing_jobs j
JOIN   normalized_events e ON e.id = j.normalized_event_id AND e.id > $1 AND e.id <= $2
WHERE  j.normalized_event_id > $1 AND j.normalized_event_id <= $2
GROUP  BY e.source, j.status, j.parked`

const selectExpiredSQL = `
SELECT j.normalized_event_id AS event_id, j.id, e.source
FROM   processing_jobs j
JOIN   normalized_events e ON e.id = j.normalized_event_id AND e.id > $1 AND e.id <= $2
WHERE  j.normalized_event_id > $1 AND j.normalized_event_id <= $2 AND j.status = 'running'
AND   (j.lease_until < %s OR j.lease_until IS NULL AND j.started_at < $4)
ORDER  BY j.normalized_event_id, j.id`

// Its message would have been noted in published_at, and the relay's turn in relay_at.
const selectStrandedSQL = `
SELECT j.normalized_event_id AS event_id, j.id, e.source
FROM   processing_jobs j
JOIN   normalized_events e ON e.id = j.normalized_event_id AND e.id > $1 AND e.id <= $2
WHERE  j.normalized_event_id > $1 AND j.normalized_event_id <= $2 AND j.status = 'queued' AND NOT j.parked
AND    j.relay_at IS NULL AND j.published_at IS NULL AND j.created_at < $3
ORDER  BY j.normalized_event_id, j.id`

type jobRow struct {
	EventID string `db:"event_id"`
	ID      string `db:"id"`
	Source  string `db:"source"`
}

// readJobs counts jobs and finds those that nothing will move.
func (t *tally) readJobs(ctx context.Context, s span, cutoff time.Time) error {
	db := t.m.d.DB
	var expired, stranded []jobRow
	// The lease is the database's time, so the grace is taken from its clock.
	query := fmt.Sprintf(selectExpiredSQL, db.Dialect.LeaseIn("(0 - CAST($3 AS integer))"))
	if err := db.Select(ctx, &expired, query, s.after, s.upTo, t.m.cfg.Grace.Milliseconds(), cutoff); err != nil {
		return fmt.Errorf("look for leases: %w", err)
	}
	if err := db.Select(ctx, &stranded, selectStrandedSQL, s.after, s.upTo, cutoff); err != nil {
		return fmt.Errorf("look for stranded jobs: %w", err)
	}
	for kind, rows := range map[contract.DamageKind][]jobRow{contract.DamageLease: expired, contract.DamageStranded: stranded} {
		for _, r := range rows {
			if err := t.found(ctx, string(kind), Problem{Source: r.Source, EventID: r.EventID, JobID: r.ID}); err != nil {
				return err
			}
		}
	}
	return t.countJobs(ctx, s)
}

func (t *tally) countJobs(ctx context.Context, s span) error {
	var counts []struct {
		Source string `db:"source"`
		Status string `db:"status"`
		Parked bool   `db:"parked"`
		N      int    `db:"n"`
	}
	if err := t.m.d.DB.Select(ctx, &counts, countJobsSQL, s.after, s.upTo); err != nil {
		return fmt.Errorf("count jobs: %w", err)
	}
	for _, c := range counts {
		jobs := t.source(c.Source).Jobs
		jobs[c.Status] += c.N
		if c.Parked {
			jobs["parked"] += c.N
		}
	}
	return nil
}

const selectGapsSQL = `
SELECT a.normalized_event_id AS event_id, a.destination_id, min(e.source) AS source, count(*) AS n, min(a.attempt_no) AS low, max(a.attempt_no) AS high
FROM   delivery_attempts a
JOIN   normalized_events e ON e.id = a.normalized_event_id AND e.id > $1 AND e.id <= $2
WHERE  a.normalized_event_id > $1 AND a.normalized_event_id <= $2
GROUP  BY a.normalized_event_id, a.destination_id
HAVING count(*) <> max(a.attempt_no) OR min(a.attempt_no) <> 1
ORDER  BY a.normalized_event_id, a.destination_id`

// readAttempts finds numbers that are missing: an attempt that was made and is not told.
func (t *tally) readAttempts(ctx context.Context, s span) error {
	var rows []struct {
		EventID       string `db:"event_id"`
		DestinationID string `db:"destination_id"`
		Source        string `db:"source"`
		N             int    `db:"n"`
		Low           int    `db:"low"`
		High          int    `db:"high"`
	}
	if err := t.m.d.DB.Select(ctx, &rows, selectGapsSQL, s.after, s.upTo); err != nil {
		return fmt.Errorf("look for gaps: %w", err)
	}
	for _, r := range rows {
		p := Problem{Source: r.Source, EventID: r.EventID, DestinationID: r.DestinationID,
			Detail: fmt.Sprintf("%d attempts, numbered %d to %d", r.N, r.Low, r.High)}
		if err := t.found(ctx, attemptGap, p); err != nil {
			return err
		}
	}
	return nil
}
