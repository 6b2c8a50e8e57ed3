package retention

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
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

// trail records audit entries in place of the audit module.
type trail struct {
	entries  []contract.AuditEntry
	retained []time.Time
	refuses  error
}

func (a *trail) Retain(_ context.Context, before time.Time) error {
	a.retained = append(a.retained, before)
	return a.refuses
}

func (a *trail) Record(_ context.Context, _ *database.Tx, entries []contract.AuditEntry) error {
	a.entries = append(a.entries, entries...)
	return nil
}

type fixture struct {
	t     *testing.T
	db    *database.DB
	now   time.Time // as retention sees it
	trail *trail
	log   *bytes.Buffer
	m     *Module
}

func setup(t *testing.T, db *database.DB, cfg Config) *fixture {
	f := &fixture{t: t, db: db, now: clock.System(), trail: &trail{}, log: &bytes.Buffer{}}
	cfg.Batch = 2
	f.m = New(cfg, Deps{DB: db, Log: slog.New(slog.NewJSONHandler(f.log, nil)), Now: func() time.Time { return f.now }, Audit: f.trail, Trail: f.trail})
	return f
}

func (f *fixture) runOnce() {
	f.t.Helper()
	require.NoError(f.t, f.m.RunOnce(f.t.Context()))
}

func (f *fixture) exec(query string, args ...any) {
	f.t.Helper()
	require.NoError(f.t, f.db.InTx(f.t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(f.t.Context(), query, args...)
		return err
	}))
}

// event stores an event with a row in every table, and its job in jobStatus.
func (f *fixture) event(at time.Time, status, jobStatus string) string {
	f.t.Helper()
	eventID, webhookID := id.At(at), id.At(at.Add(-time.Second))
	some, completed := id.New(), &at
	if jobStatus == "queued" || jobStatus == "running" {
		completed = nil
	}
	f.exec(`INSERT INTO webhook_events (id, request_headers, raw_body, source_ip) VALUES ($1, '{}', '', '')`, webhookID)
	f.exec(`INSERT INTO normalized_events (id, webhook_event_id, integration_id, source, provider, event_type, occurred_at, normalized_payload, correlation_id, received_at, created_at)
		VALUES ($1, $2, $3, 'acme', 'acme', 'x', $4, '{}', '', $4, $4)`, eventID, webhookID, some, at)
	f.exec(`INSERT INTO event_states (event_id, status, processing_attempts, received_at, updated_at) VALUES ($1, $2, 0, $3, $3)`, eventID, status, at)
	f.exec(`INSERT INTO idempotency_keys (idempotency_key, event_id) VALUES ($1, $2)`, "acme:"+id.New(), eventID)
	f.exec(`INSERT INTO processing_jobs (id, normalized_event_id, destination_id, triggered_by, status, attempt_no, budget_start, parked, completed_at, created_at)
		VALUES ($1, $2, $1, 'webhook', $3, 1, 0, false, $4, $5)`, some, eventID, jobStatus, completed, at)
	f.exec(`INSERT INTO delivery_attempts (id, normalized_event_id, destination_id, job_id, attempt_no, status, duration_ms, created_at)
		VALUES ($1, $2, $1, $1, 1, 'failed', 1, $3)`, some, eventID, at)
	f.exec(`INSERT INTO replay_requests (id, normalized_event_id, integration_id, only_failed, requested_by, reason, actor, status, created_at) VALUES ($1, $2, $2, false, 'ada', 'why not', 'x', 'completed', $3)`, id.At(at), eventID, at)
	f.exec(`INSERT INTO dead_letters (id, kind, queue, event_id, destination_id, job_id, reason, attempts, status, created_at) VALUES ($1, 'refused', 'q', $2, $3, $3, 'gone', 1, 'open', $4)`, id.At(at), eventID, some, at)
	return eventID
}

func (f *fixture) entry(at time.Time) {
	f.exec(`INSERT INTO audit_entries (id, entity_type, action, actor, details, created_at) VALUES ($1, 'x', 'y', 'z', '{}', $2)`, id.At(at), at)
}

func (f *fixture) group(at time.Time) {
	f.exec(`INSERT INTO audit_groups (id, received, normalized, queued, processed, entities, created_at, entries) VALUES ($1, 1, 0, 0, 0, $2, $3, '[]')`,
		id.At(at), []byte("1234"), at)
}

func (f *fixture) unreadable(at time.Time) {
	f.exec(`INSERT INTO dead_letters (id, kind, queue, reason, body, attempts, status, created_at) VALUES ($1, 'unreadable', 'q', 'x', '', 0, 'open', $2)`, id.At(at), at)
}

var ofEvents = []string{"webhook_events", "normalized_events", "event_states", "idempotency_keys", "processing_jobs", "delivery_attempts", "replay_requests", "dead_letters"}

// requireLeft requires n rows in each of the events' tables.
func (f *fixture) requireLeft(n int, why string) {
	f.t.Helper()
	for _, table := range ofEvents {
		require.Equal(f.t, n, f.count(table), "%s: %s", table, why)
	}
}

func (f *fixture) count(table string) (n int) {
	f.t.Helper()
	require.NoError(f.t, f.db.Get(f.t.Context(), &n, "SELECT count(*) FROM "+table))
	return n
}

// Everything here is older than the first week, so rows are deleted and no partition is
// dropped.
func TestOldEventsAreRemovedWithAllTheirRows(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db, Config{Events: 90 * day})
		for range 5 {
			f.event(f.now.Add(-90*day-time.Minute), "processed", "succeeded")
		}
		f.event(f.now.Add(-90*day+time.Minute), "processed", "succeeded")
		f.event(f.now.Add(-200*day), "failed", "failed")
		f.event(f.now.Add(-200*day), "retrying", "queued")
		f.event(f.now.Add(-200*day), "pending", "failed")   // its jobs and its state disagree
		f.event(f.now.Add(-200*day), "processed", "queued") // it is being replayed
		f.event(f.now, "processed", "succeeded")
		f.entry(f.now.Add(-900 * day))
		f.runOnce()
		f.requireLeft(5, "three of them unfinished, two young enough")
		require.Equal(t, 1, f.count("audit_entries"), "audit entries are kept for ever")

		require.Len(t, f.trail.entries, 1)
		e := f.trail.entries[0]
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
		f.runOnce()
		require.Len(t, f.trail.entries, 1, "a round that removes nothing is not audited")
	})
}

// What may be missing of the trail is sealed before it is removed, and only when something is.
func TestWhatRetentionRemovesOfTheTrailIsSealedBefore(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db, Config{Audit: 400 * day})
		f.entry(f.now)
		f.runOnce()
		require.Empty(t, f.trail.retained, "nothing is removed")
		f.group(f.now.Add(-401 * day))
		f.trail.refuses = errors.New("no key")
		require.ErrorContains(t, f.m.RunOnce(t.Context()), "seal what may be missing of the audit trail: no key")
		require.Equal(t, 1, f.count("audit_groups"))
		f.trail.refuses = nil
		f.runOnce()
		require.Zero(t, f.count("audit_groups"))
		require.Len(t, f.trail.retained, 2)
		require.True(t, f.trail.retained[1].Equal(f.now.Add(-400*day)))
		f.runOnce()
		require.Len(t, f.trail.retained, 2)
	})
}

func TestOldRowsWithoutAnEventAreRemoved(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db, Config{Events: 90 * day, Audit: 400 * day})
		for range 3 {
			f.entry(f.now.Add(-400*day - time.Minute))
			f.group(f.now.Add(-400*day - time.Minute))
			f.unreadable(f.now.Add(-90*day - time.Minute))
		}
		f.entry(f.now.Add(-400*day + time.Minute))
		f.group(f.now.Add(-400*day + time.Minute))
		f.unreadable(f.now.Add(-90*day + time.Minute))
		f.runOnce()
		for _, table := range auditTables() {
			require.Equal(t, 1, f.count(table), table)
		}
		require.Equal(t, 1, f.count("dead_letters"))
	})
}

func TestWithoutARetentionNothingIsRemoved(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db, Config{})
		f.event(f.now.Add(-9000*day), "processed", "succeeded")
		f.entry(f.now.Add(-9000 * day))
		f.group(f.now.Add(-9000 * day))
		f.runOnce()
		f.requireLeft(1, "nothing was removed")
		for _, table := range auditTables() {
			require.Equal(t, 1, f.count(table), table)
		}
		require.Empty(t, f.trail.entries)
	})
}

// later moves retention's clock to a time after the end of this week's partitions.
func (f *fixture) later(d time.Duration) {
	f.t.Helper()
	have, err := f.db.Partitions(f.t.Context())
	require.NoError(f.t, err)
	for _, p := range have {
		if p.Table == eventsTable && p.From != "" {
			f.now = id.Time(p.To).Add(d)
			return
		}
	}
	f.t.Fatal("there are no partitions")
}

func TestWholePartitionsAreDropped(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	f := setup(t, db, Config{Events: 90 * day})
	for range 3 {
		f.event(clock.System(), "processed", "succeeded")
	}
	f.later(90*day - time.Millisecond)
	f.runOnce()
	f.requireLeft(3, "the youngest rows may be young enough")
	f.later(90 * day)
	f.runOnce()
	f.requireLeft(0, "all rows are too old")
	require.Len(t, f.trail.entries, 1)
	have, err := db.Partitions(t.Context())
	require.NoError(t, err)
	for _, p := range have {
		if !slices.Contains(auditTables(), p.Table) && p.From != "" {
			require.Greater(t, id.Time(p.To), f.now.Add(-90*day), p.Name)
		}
	}
}

func TestWholePartitionsOfTheTrailAreDropped(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	f := setup(t, db, Config{Audit: 400 * day})
	f.entry(clock.System())
	f.group(clock.System())
	have, err := db.Partitions(t.Context())
	require.NoError(t, err)
	for _, p := range have {
		if p.Table == groupsTable && p.From != "" && p.From <= id.Floor(clock.System()) {
			f.now = id.Time(p.To).Add(400*day - time.Millisecond)
		}
	}
	for _, left := range []int{1, 0} {
		f.runOnce()
		for _, table := range auditTables() {
			require.Equal(t, left, f.count(table), table)
		}
		f.now = f.now.Add(time.Millisecond)
	}
	require.Len(t, f.trail.entries, 1)
}

func TestAPartitionWithAnUnfinishedEventIsKept(t *testing.T) {
	for _, c := range []struct{ name, status, job, finish string }{
		{"a job waits", "processed", "queued", `UPDATE processing_jobs SET status = 'failed', completed_at = created_at`},
		{"a job runs", "failed", "running", `UPDATE processing_jobs SET status = 'succeeded', completed_at = created_at`},
		{"the event is unfinished", "retrying", "failed", `UPDATE event_states SET status = 'failed'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := setup(t, testkit.Open(t, testkit.Postgres(t)), Config{Events: 90 * day})
			f.event(clock.System(), c.status, c.job)
			f.event(clock.System(), "processed", "succeeded")
			f.later(90 * day)
			f.runOnce()
			f.requireLeft(2, "one of them is unfinished")
			require.Contains(t, f.log.String(), "some events in them are unfinished")
			f.exec(c.finish)
			f.runOnce()
			f.requireLeft(0, "now they are")
		})
	}
}

// A process may die at any step; the next round continues from there.
// A process that dies takes its lock with it, and no other waits for its own next round.
func TestAnotherProcessContinuesWhenTheOneThatRemovesRecordsDies(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	rounds := make(chan time.Time, 1)
	f := setup(t, db, Config{Look: 10 * time.Millisecond})
	f.m.d.Succeeded = func(at time.Time) { rounds <- at }
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	ran, err := db.Maintain(t.Context(), func(*database.Maintenance) error {
		removed, err := f.m.runOnce(t.Context())
		require.NoError(t, err)
		require.False(t, removed, "another process removes records")
		go func() { done <- f.m.Run(ctx) }()
		return nil
	})
	require.NoError(t, err)
	require.True(t, ran)
	<-rounds
	stop()
	require.NoError(t, <-done)
}

func TestAnInterruptedRoundIsContinued(t *testing.T) {
	for _, c := range []struct {
		name, job string
		die       func(k *database.Maintenance, p map[string]database.Partition) error
		left      int
	}{
		{"the events are detached and one got a job: they are attached again", "queued", func(k *database.Maintenance, p map[string]database.Partition) error {
			return k.Detach(context.Background(), p[eventsTable])
		}, 1},
		{"the events are detached", "failed", func(k *database.Maintenance, p map[string]database.Partition) error {
			return k.Detach(context.Background(), p[eventsTable])
		}, 0},
		{"the events are dropped", "failed", func(k *database.Maintenance, p map[string]database.Partition) error {
			return k.Drop(context.Background(), p[eventsTable])
		}, 0},
		{"only the jobs are left", "failed", func(k *database.Maintenance, p map[string]database.Partition) error {
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
			f := setup(t, testkit.Open(t, testkit.Postgres(t)), Config{Events: 90 * day})
			f.event(clock.System(), "failed", c.job)
			f.later(90 * day)
			have, err := f.db.Partitions(t.Context())
			require.NoError(t, err)
			spans := due(have, eventTables(), id.Floor(f.now.Add(-90*day)))
			require.Len(t, spans, 1)
			_, err = f.db.Maintain(t.Context(), func(k *database.Maintenance) error { return c.die(k, spans[0].parts) })
			require.NoError(t, err)
			f.runOnce()
			f.requireLeft(c.left, c.name)
		})
	}
}

// TestAWebhookOfAnUnfinishedEventInAnotherPartitionIsKept: an event's id is made a moment before
// its webhook's. Across the end of a week, the webhook's partition was dropped although the event,
// in the one before, was waiting for it.
func TestAWebhookOfAnUnfinishedEventInAnotherPartitionIsKept(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.Postgres(t)), Config{Events: 90 * day})
	f.later(0)
	border := f.now
	event, webhook := f.event(border.Add(-100*time.Millisecond), "retrying", "queued"), id.At(border.Add(100*time.Millisecond))
	f.exec(`UPDATE webhook_events SET id = $1`, webhook)
	f.exec(`UPDATE normalized_events SET webhook_event_id = $1 WHERE id = $2`, webhook, event)
	f.now = border.Add(7*day + 90*day)
	f.runOnce()
	f.requireLeft(1, "it is unfinished")
	f.exec(`UPDATE processing_jobs SET status = 'failed', completed_at = created_at`)
	f.exec(`UPDATE event_states SET status = 'failed'`)
	f.runOnce()
	f.requireLeft(0, "now it is finished")
}

// TestAReplayThatBeginsDuringARemovalKeepsItsEvent: the removal had seen the event as finished,
// and removed it with the job that had come in the meantime.
func TestAReplayThatBeginsDuringARemovalKeepsItsEvent(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.Postgres(t)), Config{Events: 90 * day})
	event := f.event(f.now.Add(-200*day), "processed", "succeeded")
	require.NoError(t, f.db.InTx(t.Context(), func(tx *database.Tx) error {
		var found string
		if err := tx.Get(t.Context(), &found, `SELECT e.id FROM normalized_events e WHERE e.id = $1`+tx.Dialect.KeepEvent, event); err != nil {
			return err
		}
		done := make(chan error, 1)
		go func() { done <- f.m.RunOnce(context.Background()) }()
		require.Eventually(t, func() bool {
			var waiting int
			err := f.db.Get(t.Context(), &waiting, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
			return err == nil && waiting > 0 || len(done) > 0
		}, 20*time.Second, 10*time.Millisecond)
		tx.AfterCommit(func() { require.NoError(t, <-done) })
		_, err := tx.Exec(t.Context(), `INSERT INTO processing_jobs (id, normalized_event_id, triggered_by, status, attempt_no, budget_start, parked, created_at)
			VALUES ($1, $2, 'replay', 'queued', 1, 0, false, $3)`, id.New(), event, tx.Now)
		return err
	}))
	require.Equal(t, 1, f.count(eventsTable))
	require.Equal(t, 1, f.count("idempotency_keys"), "a repeat is still recognised")
	require.Equal(t, 2, f.count("processing_jobs"))
	f.exec(`UPDATE processing_jobs SET status = 'failed', completed_at = created_at`)
	f.runOnce()
	require.Zero(t, f.count(eventsTable))
}
