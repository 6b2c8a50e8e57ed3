package gauges

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// shown collects what a process shows.
type shown struct {
	mu   sync.Mutex
	list []contract.Gauges
}

func (s *shown) Measured(g contract.Gauges) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, g)
}

func (s *shown) last() (g contract.Gauges) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) > 0 {
		g = s.list[len(s.list)-1]
	}
	return g
}

// process is one that measures on db, at a time that the test moves.
func process(db *database.DB, now *time.Time) (*Module, *shown) {
	s := &shown{}
	return New(Config{}, Deps{DB: db, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return *now }, Metrics: s}), s
}

func exec(t *testing.T, db *database.DB, query string, args ...any) {
	t.Helper()
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(t.Context(), query, args...)
		return err
	}))
}

const insertJobSQL = `
INSERT INTO processing_jobs (id, normalized_event_id, destination_id, triggered_by, status, attempt_no, budget_start,
       parked, wake_at, published_at, lease_until, scheduled_at, created_at, completed_at)
VALUES ($1, $1, $2, 'webhook', $3, 1, 0, $4, $5, $6, $7, $8, $9, $10)`

// TestTheGaugesTellTheStateOfTheRecords measures a database with a little of everything.
func TestTheGaugesTellTheStateOfTheRecords(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		now := clock.System().Truncate(time.Microsecond)
		ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
		acme, first, second := id.New(), id.New(), id.New()
		exec(t, db, `INSERT INTO integrations (id, source, provider, name, is_active, created_at, updated_at) VALUES ($1, 'acme', 'acme', 'a', true, $2, $2)`, acme, now)
		for _, d := range []string{first, second} {
			exec(t, db, `INSERT INTO destinations (id, integration_id, url, is_active, signing_secret, created_at, updated_at) VALUES ($1, $2, 'http://h/', true, 's', $3, $3)`, d, acme, now)
		}
		exec(t, db, `INSERT INTO destination_breakers (destination_id, state, until, trips, opened_at) VALUES ($1, 'open', $2, 0, $2)`, second, now)
		for _, j := range []struct {
			destination            any
			status                 string
			parked                 bool
			wake, published, lease *time.Time
			due                    *time.Time
		}{
			{first, "queued", false, ago(7 * time.Second), nil, nil, ago(7 * time.Second)},
			{first, "queued", false, nil, ago(40 * time.Second), nil, ago(42 * time.Second)},
			{first, "queued", false, nil, ago(time.Second), nil, ago(-time.Minute)},
			{second, "queued", true, nil, nil, nil, ago(time.Hour)},
			{nil, "queued", false, nil, ago(time.Second), nil, ago(3 * time.Second)},
			{first, "running", false, ago(-time.Minute), nil, ago(-time.Minute), ago(time.Hour)},
			{first, "succeeded", false, nil, nil, nil, ago(time.Hour)},
		} {
			var scheduled, completed *time.Time // null where it was due at its creation
			if j.due.After(now) {
				scheduled = j.due
			}
			if j.status == "succeeded" {
				completed = j.due
			}
			exec(t, db, insertJobSQL, id.New(), j.destination, j.status, j.parked, j.wake, j.published, j.lease, scheduled, j.due, completed)
		}
		for i, status := range []string{"open", "open", "resolved"} {
			exec(t, db, `INSERT INTO dead_letters (id, kind, queue, reason, attempts, status, created_at) VALUES ($1, 'exhausted', 'q', 'r', $2, $3, $4)`, id.New(), i, status, now)
		}
		exec(t, db, `INSERT INTO quarantine (id, source, integration_id, provider, reason, detail, method, url, request_headers, header_digests, raw_body, size, source_ip, correlation_id, received_at)
			VALUES ($1, 'acme', $2, 'acme', 'no_match', 'x', 'POST', '/', '{}', '{}', $3, 2, '', 'c', $4)`, id.New(), acme, []byte("{}"), now)
		entry := id.At(now.Add(-90 * time.Second))
		exec(t, db, `INSERT INTO audit_entries (id, entity_type, action, actor, details, created_at) VALUES ($1, 'records', 'a.b', 'x', '{}', $2)`, entry, now)

		m, s := process(db, &now)
		require.NoError(t, m.round(t.Context()))
		g := s.last()
		require.Equal(t, []string{"acme"}, g.Sources)
		require.Equal(t, map[string]int64{"due": 3, "scheduled": 1, "parked": 1, "running": 1}, g.Jobs)
		require.InDelta(t, 42, g.OldestDue[contract.ProcessQueue], 0.01)
		require.InDelta(t, 3, g.OldestDue[contract.ReplayQueue], 0.01)
		require.InDelta(t, 7, g.Unpublished, 0.01)
		require.Equal(t, map[string]int64{"exhausted": 2, "refused": 0, "unreadable": 0}, g.DeadLetters)
		require.Equal(t, map[string]int64{"acme": 1}, g.Quarantined)
		require.Equal(t, map[string]int{"acme/1": 0, "acme/2": 2}, g.Breakers)
		require.InDelta(t, 90, g.SealLag, 0.01)
		if db.Dialect.Name == "postgres" {
			require.Len(t, g.Partitions, len(database.PartitionedTables()))
			for table, ahead := range g.Partitions {
				require.Greater(t, ahead, (20 * 24 * time.Hour).Seconds(), table)
			}
		} else {
			require.Empty(t, g.Partitions)
		}
	})
}

// TestOneProcessMeasuresAndAllShow: of several processes one measures in ten seconds, and
// the others show its result. When it dies, the next one measures within ten seconds.
func TestOneProcessMeasuresAndAllShow(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		now := clock.System().Truncate(time.Microsecond)
		start := now
		a, ofA := process(db, &now)
		b, ofB := process(db, &now)
		round := func(m *Module) { t.Helper(); require.NoError(t, m.round(t.Context())) }
		round(a)
		require.Equal(t, start, ofA.last().At.UTC())
		round(b)
		require.Equal(t, ofA.last().At.UTC(), ofB.last().At.UTC(), "the other one's result")

		now = start.Add(9 * time.Second)
		round(b)
		require.Equal(t, start, ofB.last().At.UTC(), "not yet due")
		now = start.Add(10 * time.Second)
		round(b) // a is dead
		require.Equal(t, now, ofB.last().At.UTC())

		now = start.Add(15 * time.Second) // b dies while it measures: only its claim is stored
		exec(t, db, `UPDATE gauges SET claimed_at = $1`, now)
		now = start.Add(24 * time.Second)
		round(a)
		require.Equal(t, start.Add(10*time.Second), ofA.last().At.UTC())
		now = start.Add(25 * time.Second)
		round(a)
		require.Equal(t, now, ofA.last().At.UTC())

		now = start.Add(-time.Hour) // the clock was set back
		round(b)
		require.Equal(t, now, ofB.last().At.UTC())
	})
}

// TestProcessesThatMeasureAtOnceDoItOnce starts rounds of ten processes at the same moment.
func TestProcessesThatMeasureAtOnceDoItOnce(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		now := clock.System().Truncate(time.Microsecond)
		var all []*shown
		var rounds sync.WaitGroup
		for range 10 {
			m, s := process(db, &now)
			all = append(all, s)
			rounds.Go(func() { _ = m.round(context.Background()) })
		}
		rounds.Wait()
		measured := map[string]bool{}
		for _, s := range all {
			for _, g := range s.list {
				measured[g.At.UTC().String()] = true
			}
		}
		require.Len(t, measured, 1)
		require.NotEmpty(t, fmt.Sprint(measured))
	})
}

// manyJobsSQL are 60,000 finished jobs and 20,000 that wait, as in a backlog.
const manyJobsSQL = `
INSERT INTO processing_jobs (id, normalized_event_id, destination_id, triggered_by, status, attempt_no, budget_start,
       parked, wake_at, published_at, scheduled_at, created_at, completed_at)
SELECT e, e, e, 'webhook', CASE WHEN i % 4 = 0 THEN 'queued' ELSE 'succeeded' END, 1, 0, false,
       CASE WHEN i % 8 = 0 THEN now() - i * interval '1 second' END, CASE WHEN i % 8 = 4 THEN now() - i * interval '1 second' END,
       now() - i * interval '1 second', now(), CASE WHEN i % 4 <> 0 THEN now() END
FROM   (SELECT i, gen_random_uuid() AS random, ('0195' || lpad(to_hex(i), 8, '0') || '70008000000000000000')::uuid AS e FROM generate_series(0, 79999) AS i) AS n`

// TestTheOldestJobIsFoundWithoutReadingTheOthers holds that a long backlog, or history, makes
// these gauges no more expensive.
func TestTheOldestJobIsFoundWithoutReadingTheOthers(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	exec(t, db, manyJobsSQL)
	exec(t, db, "ANALYZE processing_jobs")
	now := clock.System()
	for query, most := range map[string]int{
		selectOldestUnpublishedSQL:                  10,
		fmt.Sprintf(selectOldestDueSQL, "NOT NULL"): 5_000,
		fmt.Sprintf(selectOldestDueSQL, "NULL"):     5_000,
	} {
		read, plan := testkit.RowsRead(t, db, query, now)
		require.LessOrEqual(t, read, most, "%s\n%s", query, plan)
	}
}
