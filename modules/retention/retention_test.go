package retention

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

const day = 24 * time.Hour

// trail keeps audit entries instead of the audit module.
type trail struct{ entries []contract.AuditEntry }

func (a *trail) Record(_ context.Context, _ *database.Tx, entries []contract.AuditEntry) error {
	a.entries = append(a.entries, entries...)
	return nil
}

type rig struct {
	t     *testing.T
	db    *database.DB
	now   time.Time // as retention sees it
	trail *trail
	log   *bytes.Buffer
	m     *Module
}

func setup(t *testing.T, db *database.DB, cfg Config) *rig {
	r := &rig{t: t, db: db, now: clock.System(), trail: &trail{}, log: &bytes.Buffer{}}
	cfg.Batch = 2
	r.m = New(cfg, Deps{DB: db, Log: slog.New(slog.NewJSONHandler(r.log, nil)), Now: func() time.Time { return r.now }, Audit: r.trail})
	return r
}

func (r *rig) tend() {
	r.t.Helper()
	require.NoError(r.t, r.m.Tend(r.t.Context()))
}

func (r *rig) exec(query string, args ...any) {
	r.t.Helper()
	require.NoError(r.t, r.db.InTx(r.t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(r.t.Context(), query, args...)
		return err
	}))
}

// event stores one with a row in every table, its job in jobStatus.
func (r *rig) event(at time.Time, status, jobStatus string) string {
	r.t.Helper()
	eventID, webhookID := id.At(at), id.At(at.Add(-time.Second))
	some := id.New()
	r.exec(`INSERT INTO webhook_events (id, integration_id, source, provider, idempotency_key, signature_valid, request_headers, raw_body, source_ip, correlation_id, received_at)
		VALUES ($1, $2, 'acme', 'acme', 'k', true, '{}', '', '', '', $3)`, webhookID, some, at)
	r.exec(`INSERT INTO normalized_events (id, webhook_event_id, integration_id, source, provider, event_type, occurred_at, normalized_payload, correlation_id, received_at, created_at)
		VALUES ($1, $2, $3, 'acme', 'acme', 'x', $4, '{}', '', $4, $4)`, eventID, webhookID, some, at)
	r.exec(`INSERT INTO event_states (event_id, status, processing_attempts, received_at, updated_at) VALUES ($1, $2, 0, $3, $3)`, eventID, status, at)
	r.exec(`INSERT INTO idempotency_keys (idempotency_key, event_id, correlation_id, created_at) VALUES ($1, $2, '', $3)`, "acme:"+id.New(), eventID, at)
	r.exec(`INSERT INTO processing_jobs (id, normalized_event_id, integration_id, destination_id, queue_name, triggered_by, status, attempt_no, budget_start, correlation_id, parked, scheduled_at, created_at)
		VALUES ($1, $2, $1, $1, 'q', 'webhook', $3, 1, 0, '', false, $4, $4)`, some, eventID, jobStatus, at)
	r.exec(`INSERT INTO delivery_attempts (id, normalized_event_id, integration_id, destination_id, job_id, attempt_no, status, duration_ms, created_at)
		VALUES ($1, $2, $1, $1, $1, 1, 'failed', 1, $3)`, some, eventID, at)
	r.exec(`INSERT INTO replay_requests (id, normalized_event_id, integration_id, only_failed, requested_by, reason, actor, status, created_at) VALUES ($1, $2, $2, false, 'ada', 'why not', 'x', 'completed', $3)`, id.At(at), eventID, at)
	r.exec(`INSERT INTO dead_letters (id, kind, queue, event_id, destination_id, job_id, reason, attempts, status, created_at) VALUES ($1, 'refused', 'q', $2, $3, $3, 'gone', 1, 'open', $4)`, id.At(at), eventID, some, at)
	return eventID
}

func (r *rig) entry(at time.Time) {
	r.exec(`INSERT INTO audit_entries (id, entity_type, action, actor, details, created_at) VALUES ($1, 'x', 'y', 'z', '{}', $2)`, id.At(at), at)
}

func (r *rig) unreadable(at time.Time) {
	r.exec(`INSERT INTO dead_letters (id, kind, queue, reason, body, attempts, status, created_at) VALUES ($1, 'unreadable', 'q', 'x', '', 0, 'open', $2)`, id.At(at), at)
}

var ofEvents = []string{"webhook_events", "normalized_events", "event_states", "idempotency_keys", "processing_jobs", "delivery_attempts", "replay_requests", "dead_letters"}

// left says that so many rows are left in each of the tables of events.
func (r *rig) left(n int, why string) {
	r.t.Helper()
	for _, table := range ofEvents {
		require.Equal(r.t, n, r.count(table), "%s: %s", table, why)
	}
}

func (r *rig) count(table string) (n int) {
	r.t.Helper()
	require.NoError(r.t, r.db.Get(r.t.Context(), &n, "SELECT count(*) FROM "+table))
	return n
}

// Everything here is older than the first week, so that rows go and no partition does.
func TestOldEventsGoWithAllThatBelongsToThem(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		r := setup(t, db, Config{Events: 90 * day})
		for range 5 {
			r.event(r.now.Add(-90*day-time.Minute), "processed", "succeeded")
		}
		r.event(r.now.Add(-90*day+time.Minute), "processed", "succeeded")
		r.event(r.now.Add(-200*day), "failed", "failed")
		r.event(r.now.Add(-200*day), "retrying", "queued")
		r.event(r.now.Add(-200*day), "pending", "failed") // its jobs and its state disagree
		r.event(r.now, "processed", "succeeded")
		r.entry(r.now.Add(-900 * day))
		r.tend()
		r.left(4, "two of them unfinished, two young enough")
		require.Equal(t, 1, r.count("audit_entries"), "they are kept for ever")

		require.Len(t, r.trail.entries, 1)
		e := r.trail.entries[0]
		require.Equal(t, "retention.applied", e.Action)
		require.Equal(t, contract.EntityRecords, e.EntityType)
		var told struct {
			Rows       map[string]int
			Partitions []string
		}
		require.NoError(t, json.Unmarshal(e.Details, &told))
		for _, table := range ofEvents {
			require.Equal(t, 6, told.Rows[table], table)
		}
		require.Empty(t, told.Partitions)
		r.tend()
		require.Len(t, r.trail.entries, 1, "a round that removes nothing says nothing")
	})
}

func TestOldRowsThatBelongToNoEventGo(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		r := setup(t, db, Config{Events: 90 * day, Audit: 400 * day})
		for range 3 {
			r.entry(r.now.Add(-400*day - time.Minute))
			r.unreadable(r.now.Add(-90*day - time.Minute))
		}
		r.entry(r.now.Add(-400*day + time.Minute))
		r.unreadable(r.now.Add(-90*day + time.Minute))
		r.tend()
		require.Equal(t, 1, r.count("audit_entries"))
		require.Equal(t, 1, r.count("dead_letters"))
	})
}

func TestWithoutARetentionEverythingStays(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		r := setup(t, db, Config{})
		r.event(r.now.Add(-9000*day), "processed", "succeeded")
		r.entry(r.now.Add(-9000 * day))
		r.tend()
		r.left(1, "nothing was removed")
		require.Equal(t, 1, r.count("audit_entries"))
		require.Empty(t, r.trail.entries)
	})
}

// later moves retention's clock to so long after the end of this week's partitions.
func (r *rig) later(d time.Duration) {
	r.t.Helper()
	have, err := r.db.Partitions(r.t.Context())
	require.NoError(r.t, err)
	for _, p := range have {
		if p.Table == eventsTable && p.From != "" {
			r.now = id.Time(p.To).Add(d)
			return
		}
	}
	r.t.Fatal("there are no partitions")
}

func TestWholePartitionsGo(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	r := setup(t, db, Config{Events: 90 * day})
	for range 3 {
		r.event(clock.System(), "processed", "succeeded")
	}
	r.later(90*day - time.Millisecond)
	r.tend()
	r.left(3, "the youngest rows may be young enough")
	r.later(90 * day)
	r.tend()
	r.left(0, "all rows are too old")
	require.Len(t, r.trail.entries, 1)
	have, err := db.Partitions(t.Context())
	require.NoError(t, err)
	for _, p := range have {
		if p.Table != auditTable && p.From != "" {
			require.Greater(t, id.Time(p.To), r.now.Add(-90*day), p.Name)
		}
	}
}

func TestAPartitionWithAnUnfinishedEventStays(t *testing.T) {
	for _, c := range []struct{ name, status, job, finish string }{
		{"a job waits", "processed", "queued", `UPDATE processing_jobs SET status = 'failed'`},
		{"a job runs", "failed", "running", `UPDATE processing_jobs SET status = 'succeeded'`},
		{"the event has no end", "retrying", "failed", `UPDATE event_states SET status = 'failed'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := setup(t, testkit.Open(t, testkit.Postgres(t)), Config{Events: 90 * day})
			r.event(clock.System(), c.status, c.job)
			r.event(clock.System(), "processed", "succeeded")
			r.later(90 * day)
			r.tend()
			r.left(2, "one of them is not at its end")
			require.Contains(t, r.log.String(), "not every event in them is at its end")
			r.exec(c.finish)
			r.tend()
			r.left(0, "now they are")
		})
	}
}

// A process may die at any step; the next round goes on from there.
func TestARoundThatWasInterruptedIsTakenUp(t *testing.T) {
	for _, c := range []struct {
		name, job string
		die       func(k *database.Maintenance, p map[string]database.Partition) error
		left      int
	}{
		{"the events are out and one got a job: they come back", "queued", func(k *database.Maintenance, p map[string]database.Partition) error {
			return k.Detach(context.Background(), p[eventsTable])
		}, 1},
		{"the events are out", "failed", func(k *database.Maintenance, p map[string]database.Partition) error {
			return k.Detach(context.Background(), p[eventsTable])
		}, 0},
		{"the events are gone", "failed", func(k *database.Maintenance, p map[string]database.Partition) error {
			return k.Drop(context.Background(), p[eventsTable])
		}, 0},
		{"the jobs alone are left", "failed", func(k *database.Maintenance, p map[string]database.Partition) error {
			for _, table := range eventTables() {
				if table != jobsTable {
					if err := k.Drop(context.Background(), p[table]); err != nil {
						return err
					}
				}
			}
			return nil
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := setup(t, testkit.Open(t, testkit.Postgres(t)), Config{Events: 90 * day})
			r.event(clock.System(), "failed", c.job)
			r.later(90 * day)
			have, err := r.db.Partitions(t.Context())
			require.NoError(t, err)
			spans := due(have, eventTables(), id.Floor(r.now.Add(-90*day)))
			require.Len(t, spans, 1)
			_, err = r.db.Maintain(t.Context(), func(k *database.Maintenance) error { return c.die(k, spans[0].parts) })
			require.NoError(t, err)
			r.tend()
			r.left(c.left, c.name)
		})
	}
}
