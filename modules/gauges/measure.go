package gauges

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/id"
)

// countedAtMost bounds each count: a gauge must not cost more the larger a backlog is.
const countedAtMost = 100_000

// measure reads the state of the records at a time. Each query reads the head of an index,
// or counts up to the bound.
func (m *Module) measure(ctx context.Context, now time.Time) (contract.Gauges, error) {
	g := contract.Gauges{At: now}
	if m.d.Spool != nil {
		g.Spool = m.d.Spool()
	}
	for _, step := range []func(context.Context, *contract.Gauges) error{
		m.readSources, m.readDestinations, m.countJobs, m.findOldest, m.countDeadLetters, m.countQuarantine, m.measureSeals, m.measurePartitions, m.readCheck,
	} {
		if err := step(ctx, &g); err != nil {
			return g, fmt.Errorf("measure the gauges: %w", err)
		}
	}
	return g, nil
}

const selectSourcesSQL = `
SELECT source FROM integrations WHERE is_active AND archived_at IS NULL ORDER BY id LIMIT 200`

func (m *Module) readSources(ctx context.Context, g *contract.Gauges) error {
	return m.d.DB.SelectApart(ctx, &g.Sources, selectSourcesSQL)
}

// selectOldestDueSQL reads the oldest jobs without a message and the oldest with one; the
// oldest due job is among them, save for a few delayed ones. scheduled_at is null in a job
// that was due when it was made.
const selectOldestDueSQL = `
SELECT scheduled_at, created_at FROM (
       SELECT scheduled_at, created_at FROM (SELECT scheduled_at, created_at, destination_id FROM processing_jobs
              WHERE wake_at IS NOT NULL AND status = 'queued' ORDER BY wake_at LIMIT 1000) AS unpublished
       WHERE  (scheduled_at IS NULL OR scheduled_at <= $1) AND destination_id IS %[1]s
       UNION ALL
       SELECT scheduled_at, created_at FROM (SELECT scheduled_at, created_at FROM processing_jobs
              WHERE published_at IS NOT NULL AND NOT parked AND destination_id IS %[1]s ORDER BY published_at LIMIT 1000) AS published
       WHERE  scheduled_at IS NULL OR scheduled_at <= $1) AS due
ORDER  BY COALESCE(scheduled_at, created_at)
LIMIT  1`

const selectOldestUnpublishedSQL = `
SELECT wake_at AS scheduled_at, wake_at AS created_at FROM processing_jobs
WHERE  wake_at IS NOT NULL AND wake_at <= $1 AND status = 'queued'
ORDER  BY wake_at
LIMIT  1`

func (m *Module) findOldest(ctx context.Context, g *contract.Gauges) (err error) {
	g.OldestDue = map[contract.Queue]float64{}
	for queue, destination := range map[contract.Queue]string{contract.ProcessQueue: "NOT NULL", contract.ReplayQueue: "NULL"} {
		if g.OldestDue[queue], err = m.ageOf(ctx, fmt.Sprintf(selectOldestDueSQL, destination), g.At); err != nil {
			return err
		}
	}
	g.Unpublished, err = m.ageOf(ctx, selectOldestUnpublishedSQL, g.At)
	return err
}

// ageOf returns for how long a query's job has been due, in seconds; 0 if there is none.
func (m *Module) ageOf(ctx context.Context, query string, now time.Time) (float64, error) {
	var jobs []struct {
		ScheduledAt *time.Time `db:"scheduled_at"`
		CreatedAt   time.Time  `db:"created_at"`
	}
	if err := m.d.DB.SelectApart(ctx, &jobs, query, now); err != nil || len(jobs) == 0 {
		return 0, err
	}
	due := jobs[0].CreatedAt
	if at := jobs[0].ScheduledAt; at != nil {
		due = *at
	}
	return max(0, now.Sub(due).Seconds()), nil
}

// counted is a number of rows of a kind.
type counted struct {
	Of string `db:"of_kind"`
	N  int64  `db:"n"`
}

const countQuarantineSQL = `
SELECT source AS of_kind, count(*) AS n
FROM   (SELECT source FROM quarantine ORDER BY source LIMIT $1) AS counted
GROUP  BY source`

func (m *Module) countQuarantine(ctx context.Context, g *contract.Gauges) error {
	g.Quarantined = map[string]int64{}
	return m.countInto(ctx, g.Quarantined, countQuarantineSQL)
}

func (m *Module) countInto(ctx context.Context, counts map[string]int64, query string, args ...any) error {
	var rows []counted
	if err := m.d.DB.SelectApart(ctx, &rows, query, append([]any{countedAtMost}, args...)...); err != nil {
		return err
	}
	for _, r := range rows {
		counts[r.Of] = r.N
	}
	return nil
}

const selectLastSealedSQL = `
SELECT last_id FROM audit_seals WHERE NOT late ORDER BY last_id DESC LIMIT 1`

const selectUnsealedSQL = `
SELECT id FROM (SELECT id FROM audit_entries WHERE id > $1 ORDER BY id LIMIT 1) AS e
UNION  ALL
SELECT id FROM (SELECT id FROM audit_groups WHERE id > $1 ORDER BY id LIMIT 1) AS g
ORDER  BY id
LIMIT  1`

func (m *Module) measureSeals(ctx context.Context, g *contract.Gauges) error {
	var last, unsealed []string
	if err := m.d.DB.SelectApart(ctx, &last, selectLastSealedSQL); err != nil {
		return err
	}
	last = append(last, "00000000-0000-0000-0000-000000000000")
	if err := m.d.DB.SelectApart(ctx, &unsealed, selectUnsealedSQL, last[0]); err != nil || len(unsealed) == 0 {
		return err
	}
	g.SealLag = max(0, g.At.Sub(id.Time(unsealed[0])).Seconds())
	return nil
}

func (m *Module) measurePartitions(ctx context.Context, g *contract.Gauges) error {
	ends, err := m.d.DB.PartitionEnds(ctx)
	g.Partitions = make(map[string]float64, len(ends))
	for table, end := range ends {
		g.Partitions[table] = end.Sub(g.At).Seconds()
	}
	return err
}
