package verify

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// A destination's latest job is the live one, or else the newest.
const rankedJobs = `
       SELECT normalized_event_id, destination_id, id, status, triggered_by, started_at, lease_until, error_message,
              row_number() OVER (PARTITION BY normalized_event_id, destination_id
                                 ORDER BY CASE WHEN status IN ('queued', 'running') THEN 0 ELSE 1 END, id DESC) AS place
       FROM   processing_jobs
       WHERE  normalized_event_id > $1 AND normalized_event_id <= $2 AND destination_id IS NOT NULL`

// One row per event, with its destinations' latest jobs. PostgreSQL does not infer a range
// for one key from another, and would read whole tables for each range of ids. So every
// table has its own range, or is looked up row by row.
const selectEventsSQL = `
SELECT e.id, e.source, e.created_at, s.status, s.updated_at, (SELECT w.id FROM webhook_events w WHERE w.id = e.webhook_event_id) AS webhook_id,
       COALESCE(j.running, 0) AS running, COALESCE(j.retrying, 0) AS retrying, COALESCE(j.queued, 0) AS queued,
       COALESCE(j.failed, 0) AS failed, COALESCE(j.surplus, 0) AS surplus, COALESCE(j.fresh, 0) AS fresh
FROM   normalized_events e
LEFT   JOIN event_states s ON s.event_id = e.id AND s.event_id > $1 AND s.event_id <= $2
LEFT   JOIN (
       SELECT normalized_event_id,
              count(*) FILTER (WHERE place = 1 AND status = 'running') AS running,
              count(*) FILTER (WHERE place = 1 AND status = 'queued' AND triggered_by = 'retry') AS retrying,
              count(*) FILTER (WHERE place = 1 AND status = 'queued' AND triggered_by <> 'retry') AS queued,
              count(*) FILTER (WHERE place = 1 AND status = 'failed') AS failed,
              count(*) FILTER (WHERE place > 1 AND status IN ('queued', 'running')) AS surplus,
              count(*) FILTER (WHERE status = 'running' AND (started_at >= $3 OR lease_until >= %s)) AS fresh
       FROM  (` + rankedJobs + `) AS ranked
       GROUP  BY normalized_event_id) AS j ON j.normalized_event_id = e.id
WHERE  e.id > $1 AND e.id <= $2
ORDER  BY e.id`

// eventRow is an event as the checks read it.
type eventRow struct {
	ID        string      `db:"id"`
	Source    string      `db:"source"`
	CreatedAt clock.Time  `db:"created_at"`
	Status    *string     `db:"status"`
	UpdatedAt *clock.Time `db:"updated_at"`
	WebhookID *string     `db:"webhook_id"`
	Running   int         `db:"running"` // destinations whose latest job has this status
	Retrying  int         `db:"retrying"`
	Queued    int         `db:"queued"`
	Failed    int         `db:"failed"`
	Surplus   int         `db:"surplus"` // live jobs in excess of one per destination
	Fresh     int         `db:"fresh"`   // running jobs that were claimed after the cutoff or are within their leases
}

// expected returns the status that follows from an event's jobs. It repeats delivery's rule
// on purpose, so that the two can be compared.
func (e eventRow) expected() string {
	switch {
	case e.Running > 0:
		return string(contract.EventProcessing)
	case e.Retrying > 0:
		return string(contract.EventRetrying)
	case e.Queued > 0:
		return string(contract.EventPending)
	case e.Failed > 0:
		return string(contract.EventFailed)
	}
	return string(contract.EventProcessed)
}

// unchangedSince reports whether e has not changed since cutoff. The claim of a job may
// show in the event's state late, or never if its worker died, until the lease has expired.
func (e eventRow) unchangedSince(cutoff time.Time) bool {
	return e.CreatedAt.Before(cutoff) && (e.UpdatedAt == nil || e.UpdatedAt.Before(cutoff)) && e.Fresh == 0
}

func (c *checker) readEvents(ctx context.Context, rng idRange) error {
	cutoff := c.m.cutoff()
	missing, err := c.readMissingJobs(ctx, rng, cutoff)
	if err != nil {
		return err
	}
	var events []eventRow
	if err := c.m.d.DB.Select(ctx, &events, fmt.Sprintf(selectEventsSQL, c.m.d.DB.Dialect.LeaseNow), rng.after, rng.upTo, cutoff); err != nil {
		return err
	}
	for _, e := range events {
		if e.Status != nil {
			c.source(e.Source).Events[*e.Status]++
		}
		if !e.unchangedSince(cutoff) {
			continue
		}
		for _, check := range e.problems(missing[e.ID]) {
			if err := c.record(ctx, check.name, Problem{Source: e.Source, EventID: e.ID, Detail: check.detail}); err != nil {
				return err
			}
		}
	}
	if err := c.readJobs(ctx, rng, cutoff); err != nil {
		return err
	}
	return c.readAttempts(ctx, rng)
}

type finding struct{ name, detail string }

// problems returns what is wrong with e. If a job is missing, the event's status is not
// reported as well.
func (e eventRow) problems(jobMissing bool) (list []finding) {
	if e.WebhookID == nil {
		list = append(list, finding{missingWebhook, ""})
	}
	if e.Surplus > 0 {
		list = append(list, finding{severalJobs, fmt.Sprintf("%d extra live jobs", e.Surplus)})
	}
	switch {
	case e.Status == nil:
		list = append(list, finding{missingState, "its jobs imply " + e.expected()})
	case *e.Status != e.expected() && !jobMissing:
		list = append(list, finding{string(contract.DamageStatus), *e.Status + ", but its jobs imply " + e.expected()})
	}
	return list
}

// An unfinished event without any job: it had some when it was stored.
const noJobsSQL = `(COALESCE(s.status, 'processed') NOT IN ('processed', 'failed')
       AND NOT EXISTS (SELECT 1 FROM processing_jobs j WHERE j.normalized_event_id = e.id AND j.destination_id IS NOT NULL))`

// An event has a job for each destination that existed when it arrived and wants all
// events, including inactive ones; an erased event needs none. A job that a filter or a
// removal excluded cannot be distinguished from a missing one. An event whose last job failed has another,
// unless the job was dead-lettered or cancelled, or the event is failed.
const selectMissingJobsSQL = `
SELECT e.id AS event_id, e.source, e.created_at, d.id AS destination_id, d.created_at AS destination_at, d.wants_all_since, s.updated_at, '' AS job_id,
       ` + noJobsSQL + ` AS bare
FROM   normalized_events e
JOIN   destinations d ON d.integration_id = e.integration_id AND d.archived_at IS NULL
LEFT   JOIN event_states s ON s.event_id = e.id AND s.event_id > $1 AND s.event_id <= $2
WHERE  e.id > $1 AND e.id <= $2
AND    NOT EXISTS (SELECT 1 FROM processing_jobs j WHERE j.normalized_event_id = e.id AND j.destination_id = d.id)
AND    s.erased_at IS NULL
AND   (d.filter IS NULL AND COALESCE(d.wants_all_since, d.created_at) < e.created_at OR ` + noJobsSQL + `)
UNION  ALL
SELECT e.id, e.source, e.created_at, j.destination_id, NULL, NULL, s.updated_at, CAST(j.id AS text), false
FROM  (` + rankedJobs + `) AS j
JOIN   normalized_events e ON e.id = j.normalized_event_id AND e.id > $1 AND e.id <= $2
JOIN   event_states s ON s.event_id = e.id AND s.event_id > $1 AND s.event_id <= $2
WHERE  j.place = 1 AND j.status = 'failed' AND s.status NOT IN ('processed', 'failed')
AND    COALESCE(j.error_message, '') NOT LIKE 'cancelled by %'
AND    NOT EXISTS (SELECT 1 FROM dead_letters l WHERE l.event_id = j.normalized_event_id AND l.job_id = j.id)
ORDER  BY 1, 4`

// destinationMargin is how long after the creation of a destination an event may still lack
// a job for it: processes cache destinations briefly, and their clocks differ.
const destinationMargin = time.Minute

// readMissingJobs returns the events with a missing job.
func (c *checker) readMissingJobs(ctx context.Context, rng idRange, cutoff time.Time) (map[string]bool, error) {
	var rows []struct {
		EventID       string      `db:"event_id"`
		Source        string      `db:"source"`
		CreatedAt     clock.Time  `db:"created_at"`
		DestinationID string      `db:"destination_id"`
		DestinationAt *clock.Time `db:"destination_at"`
		WantsAllSince *clock.Time `db:"wants_all_since"`
		UpdatedAt     *clock.Time `db:"updated_at"`
		JobID         string      `db:"job_id"`
		Bare          bool        `db:"bare"`
	}
	if err := c.m.d.DB.Select(ctx, &rows, selectMissingJobsSQL, rng.after, rng.upTo); err != nil {
		return nil, fmt.Errorf("look for missing jobs: %w", err)
	}
	missing := map[string]bool{}
	for _, r := range rows {
		if r.WantsAllSince != nil {
			r.DestinationAt = r.WantsAllSince
		}
		young := r.DestinationAt != nil && !r.Bare && r.CreatedAt.Sub(r.DestinationAt.Time) < destinationMargin
		if young || !(eventRow{CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}).unchangedSince(cutoff) {
			continue
		}
		missing[r.EventID] = true
		p := Problem{Source: r.Source, EventID: r.EventID, DestinationID: r.DestinationID, Detail: "it never had a job"}
		if r.JobID != "" {
			p.Detail = "no job followed job " + r.JobID
		}
		if err := c.record(ctx, string(contract.DamageMissingJob), p); err != nil {
			return nil, err
		}
	}
	return missing, nil
}
