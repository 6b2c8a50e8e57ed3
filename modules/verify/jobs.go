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

// A published job has published_at, and one that waits for the relay has wake_at.
const selectStrandedSQL = `
SELECT j.normalized_event_id AS event_id, j.id, e.source
FROM   processing_jobs j
JOIN   normalized_events e ON e.id = j.normalized_event_id AND e.id > $1 AND e.id <= $2
WHERE  j.normalized_event_id > $1 AND j.normalized_event_id <= $2 AND j.status = 'queued' AND NOT j.parked
AND    j.wake_at IS NULL AND j.published_at IS NULL AND j.created_at < $3
ORDER  BY j.normalized_event_id, j.id`

// Parked jobs wait for their destination; one of a destination whose row is gone would wait for ever.
const selectLostSQL = `
SELECT j.normalized_event_id AS event_id, j.id, e.source, j.destination_id
FROM   processing_jobs j
JOIN   normalized_events e ON e.id = j.normalized_event_id AND e.id > $1 AND e.id <= $2
WHERE  j.normalized_event_id > $1 AND j.normalized_event_id <= $2 AND j.status = 'queued' AND j.parked AND j.created_at < $3
AND    NOT EXISTS (SELECT 1 FROM destinations d WHERE d.id = j.destination_id)
ORDER  BY j.normalized_event_id, j.id`

type jobRow struct {
	EventID string `db:"event_id"`
	ID      string `db:"id"`
	Source  string `db:"source"`

	DestinationID string `db:"destination_id"` // of a lost one
}

// readJobs counts jobs and finds those that nothing will process.
func (c *checker) readJobs(ctx context.Context, rng idRange, cutoff time.Time) error {
	db := c.m.d.DB
	var expired, stranded, lost []jobRow
	// Leases use the database's clock, and so does the grace.
	query := fmt.Sprintf(selectExpiredSQL, db.Dialect.LeaseIn("(0 - CAST($3 AS integer))"))
	if err := db.Select(ctx, &expired, query, rng.after, rng.upTo, c.m.cfg.Grace.Milliseconds(), cutoff); err != nil {
		return fmt.Errorf("look for leases: %w", err)
	}
	if err := db.Select(ctx, &stranded, selectStrandedSQL, rng.after, rng.upTo, cutoff); err != nil {
		return fmt.Errorf("look for stranded jobs: %w", err)
	}
	if err := db.Select(ctx, &lost, selectLostSQL, rng.after, rng.upTo, cutoff); err != nil {
		return fmt.Errorf("look for jobs without a destination: %w", err)
	}
	for kind, rows := range map[contract.DamageKind][]jobRow{contract.DamageLease: expired, contract.DamageStranded: stranded, contract.DamageDestination: lost} {
		for _, r := range rows {
			if err := c.record(ctx, string(kind), Problem{Source: r.Source, EventID: r.EventID, JobID: r.ID, DestinationID: r.DestinationID}); err != nil {
				return err
			}
		}
	}
	return c.countJobs(ctx, rng)
}

func (c *checker) countJobs(ctx context.Context, rng idRange) error {
	var counts []struct {
		Source string `db:"source"`
		Status string `db:"status"`
		Parked bool   `db:"parked"`
		N      int    `db:"n"`
	}
	if err := c.m.d.DB.Select(ctx, &counts, countJobsSQL, rng.after, rng.upTo); err != nil {
		return fmt.Errorf("count jobs: %w", err)
	}
	for _, n := range counts {
		jobs := c.source(n.Source).Jobs
		jobs[n.Status] += n.N
		if n.Parked {
			jobs["parked"] += n.N
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

// readAttempts finds gaps in the numbers: attempts that were made but not recorded.
func (c *checker) readAttempts(ctx context.Context, rng idRange) error {
	var rows []struct {
		EventID       string `db:"event_id"`
		DestinationID string `db:"destination_id"`
		Source        string `db:"source"`
		N             int    `db:"n"`
		Low           int    `db:"low"`
		High          int    `db:"high"`
	}
	if err := c.m.d.DB.Select(ctx, &rows, selectGapsSQL, rng.after, rng.upTo); err != nil {
		return fmt.Errorf("look for gaps: %w", err)
	}
	for _, r := range rows {
		p := Problem{Source: r.Source, EventID: r.EventID, DestinationID: r.DestinationID,
			Detail: fmt.Sprintf("%d attempts, numbered %d to %d", r.N, r.Low, r.High)}
		if err := c.record(ctx, attemptGap, p); err != nil {
			return err
		}
	}
	return nil
}
