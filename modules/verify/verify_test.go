package verify

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// fixture is a consistent database: one event delivered at the second attempt, one given up
// on, one waiting for a retry, one whose destination is inactive, and one that no
// destination wanted, all an hour old.
type fixture struct {
	t  *testing.T
	db *database.DB
	at time.Time

	destination, other string // of acme; globex has none
	delivered, given   string // events
	waiting, parked    string
	unwanted           string
	job                map[string]string // the last job of an event
	replay             string            // the request that delivered's second attempt belonged to
	gone               string            // an event as old as the others that is not stored
}

func newFixture(t *testing.T, db *database.DB) *fixture {
	f := &fixture{t: t, db: db, at: clock.System().Add(-time.Hour), job: map[string]string{}}
	acme, globex := id.New(), id.New()
	f.destination, f.other = id.New(), id.New()
	long := f.at.Add(-time.Hour)
	for _, i := range []struct{ id, name string }{{acme, "acme"}, {globex, "globex"}} {
		f.exec(`INSERT INTO integrations (id, source, provider, name, is_active, created_at, updated_at) VALUES ($1, $2, $2, $2, true, $3, $3)`, i.id, i.name, long)
	}
	f.exec(`INSERT INTO destinations (id, integration_id, url, is_active, signing_secret, created_at, updated_at) VALUES ($1, $2, 'http://127.0.0.1/', true, 'x', $3, $3)`,
		f.destination, acme, long)
	f.replay, f.gone = id.New(), id.At(f.at)

	f.delivered = f.event(acme, "acme", "processed")
	f.addJob(f.delivered, "failed", "webhook", nil)
	f.addJob(f.delivered, "succeeded", "retry", &f.replay)
	f.exec(`INSERT INTO replay_requests (id, normalized_event_id, integration_id, only_failed, requested_by, reason, actor, status, created_at) VALUES ($1, $2, $2, false, 'ada', 'why not', 'x', 'completed', $3)`,
		f.replay, f.delivered, f.at)
	f.attempt(f.delivered, 1)
	f.attempt(f.delivered, 2)
	f.given = f.event(acme, "acme", "failed")
	f.addJob(f.given, "failed", "webhook", nil)
	f.attempt(f.given, 1)
	f.exec(`INSERT INTO dead_letters (id, kind, queue, event_id, destination_id, job_id, reason, attempts, status, created_at) VALUES ($1, 'refused', 'q', $2, $3, $4, 'gone', 1, 'open', $5)`,
		id.New(), f.given, f.destination, f.job[f.given], f.at)
	f.waiting = f.event(acme, "acme", "retrying")
	f.addJob(f.waiting, "failed", "webhook", nil)
	f.addJob(f.waiting, "queued", "retry", nil)
	f.attempt(f.waiting, 1)
	f.parked = f.event(acme, "acme", "pending")
	f.addJob(f.parked, "queued", "webhook", nil)
	f.exec(`UPDATE processing_jobs SET parked = true, wake_at = NULL WHERE id = $1`, f.job[f.parked])
	f.unwanted = f.event(globex, "globex", "processed")
	f.exec(`INSERT INTO destinations (id, integration_id, url, is_active, signing_secret, created_at, updated_at) VALUES ($1, $2, 'http://127.0.0.1/', true, 'x', $3, $3)`,
		f.other, acme, clock.System()) // younger than the events
	return f
}

func (f *fixture) exec(query string, args ...any) {
	f.t.Helper()
	ctx := context.Background()
	require.NoError(f.t, f.db.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	}))
}

func (f *fixture) event(integration, source, status string) string {
	eventID, webhookID := id.New(), id.New()
	f.exec(`INSERT INTO webhook_events (id, request_headers, raw_body, source_ip) VALUES ($1, '{}', '', '')`, webhookID)
	f.exec(`INSERT INTO normalized_events (id, webhook_event_id, integration_id, source, provider, event_type, occurred_at, normalized_payload, correlation_id, received_at, created_at)
		VALUES ($1, $2, $3, $4, $4, 'x', $5, '{}', '', $5, $5)`, eventID, webhookID, integration, source, f.at)
	f.exec(`INSERT INTO event_states (event_id, status, processing_attempts, received_at, updated_at) VALUES ($1, $2, 0, $3, $3)`, eventID, status, f.at)
	f.exec(`INSERT INTO idempotency_keys (idempotency_key, event_id) VALUES ($1, $2)`, source+":"+eventID, eventID)
	return eventID
}

func (f *fixture) addJob(eventID, status, trigger string, replay *string) {
	f.job[eventID] = id.New()
	wakeAt, completedAt := &f.at, (*time.Time)(nil)
	if status != "queued" {
		wakeAt, completedAt = nil, &f.at
	}
	f.exec(`INSERT INTO processing_jobs (id, normalized_event_id, destination_id, replay_request_id, triggered_by, status, attempt_no, budget_start, parked, wake_at, completed_at, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, 1, 0, false, $7, $8, $9)`,
		f.job[eventID], eventID, f.destination, replay, trigger, status, wakeAt, completedAt, f.at)
}

func (f *fixture) attempt(eventID string, number int) {
	f.exec(`INSERT INTO delivery_attempts (id, normalized_event_id, destination_id, job_id, attempt_no, status, duration_ms, created_at)
		VALUES ($1, $2, $3, $4, $5, 'failed', 1, $6)`,
		id.New(), eventID, f.destination, f.job[eventID], number, f.at)
}

// fakeRepairer records what it was asked to repair.
type fakeRepairer struct {
	asked []contract.Damage
	err   error
}

func (s *fakeRepairer) Repair(_ context.Context, d contract.Damage) (bool, error) {
	s.asked = append(s.asked, d)
	return s.err == nil, s.err
}

func (f *fixture) read(cfg Config) (Report, *fakeRepairer) {
	f.t.Helper()
	if cfg.Limit == 0 {
		cfg.Limit = 10
	}
	s := &fakeRepairer{}
	cfg.Repair = true
	r, err := New(cfg, Deps{DB: f.db, Now: clock.System, Repairer: s}).Run(context.Background())
	require.NoError(f.t, err)
	return r, s
}

func TestAConsistentDatabasePasses(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := newFixture(t, db)
		for _, batch := range []int{1, 2, 5, 6, 2000} { // both sides of the number of events
			r, s := f.read(Config{Grace: 10 * time.Second, Batch: batch})
			for name, c := range r.Checks {
				require.Empty(t, c.Problems, name)
			}
			require.True(t, r.Holds)
			require.Zero(t, r.Found())
			require.Empty(t, s.asked)
			require.Equal(t, map[string]int{"pending": 1, "processing": 0, "processed": 2, "retrying": 1, "failed": 1}, r.Total.Events)
			require.Equal(t, map[string]int{"queued": 2, "running": 0, "succeeded": 1, "failed": 3, "parked": 1}, r.Total.Jobs)
			require.Len(t, r.Sources, 2)
			require.Equal(t, "globex", r.Sources[1].Name)
			require.Equal(t, 1, r.Sources[1].Events["processed"])
			require.Equal(t, map[string]DeadCount{"exhausted": {}, "refused": {Open: 1}, "unreadable": {}}, r.DeadLetters)
			require.Empty(t, r.Queues)
		}
	})
}

func TestAnEmptyDatabasePasses(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		r, err := New(Config{}, Deps{DB: db, Now: clock.System}).Run(context.Background())
		require.NoError(t, err)
		require.True(t, r.Holds)
		require.Len(t, r.Checks, len(CheckNames()))
	})
}

// damages are kinds of damage, made by hand, with the check that finds them and what it
// reports.
func damages() []struct {
	sentence string
	damage   func(f *fixture)
	check    string
	want     func(f *fixture) Problem
} {
	return []struct {
		sentence string
		damage   func(f *fixture)
		check    string
		want     func(f *fixture) Problem
	}{
		{"an event without a state", func(f *fixture) { f.exec(`DELETE FROM event_states WHERE event_id = $1`, f.delivered) },
			"missing_state", func(f *fixture) Problem { return Problem{EventID: f.delivered} }},
		{"an event without its webhook", func(f *fixture) {
			f.exec(`DELETE FROM webhook_events WHERE id = (SELECT webhook_event_id FROM normalized_events WHERE id = $1)`, f.delivered)
		}, "missing_webhook", func(f *fixture) Problem { return Problem{EventID: f.delivered} }},
		{"a key whose event is gone", func(f *fixture) {
			f.exec(`UPDATE idempotency_keys SET event_id = $2 WHERE event_id = $1`, f.given, f.gone)
		},
			"key_without_event", func(f *fixture) Problem { return Problem{EventID: f.gone, IdempotencyKey: "acme:" + f.given} }},
		{"a retry that was never made", func(f *fixture) { f.exec(`DELETE FROM processing_jobs WHERE id = $1`, f.job[f.waiting]) },
			"missing_job", func(f *fixture) Problem { return Problem{EventID: f.waiting, DestinationID: f.destination} }},
		{"an event without its first job", func(f *fixture) {
			f.exec(`DELETE FROM processing_jobs WHERE id = $1`, f.job[f.parked])
			f.exec(`DELETE FROM destinations WHERE id = $1`, f.other)
		}, "missing_job", func(f *fixture) Problem { return Problem{EventID: f.parked, DestinationID: f.destination} }},
		{"an event without its first job, whose destination is as young as the event", func(f *fixture) {
			f.exec(`DELETE FROM processing_jobs WHERE id = $1`, f.job[f.parked])
			f.exec(`DELETE FROM destinations WHERE id = $1`, f.other)
			f.exec(`UPDATE destinations SET created_at = $1`, f.at.Add(time.Second))
		}, "missing_job", func(f *fixture) Problem { return Problem{EventID: f.parked, DestinationID: f.destination} }},
		{"a finished event that one destination never had", func(f *fixture) { f.exec(`UPDATE destinations SET created_at = $1`, f.at.Add(-time.Hour)) },
			"missing_job", func(f *fixture) Problem { return Problem{EventID: f.delivered, DestinationID: f.other} }},
		{"two live jobs for one destination", func(f *fixture) {
			f.exec(`DROP INDEX IF EXISTS processing_jobs_one_live`)
			f.addJob(f.waiting, "queued", "retry", nil)
		}, "several_live_jobs", func(f *fixture) Problem { return Problem{EventID: f.waiting} }},
		{"a finished event with a live job", func(f *fixture) {
			f.exec(`UPDATE event_states SET status = 'processed' WHERE event_id = $1`, f.waiting)
		},
			"wrong_status", func(f *fixture) Problem { return Problem{EventID: f.waiting} }},
		{"a waiting event without a live job", func(f *fixture) { f.exec(`UPDATE event_states SET status = 'retrying' WHERE event_id = $1`, f.given) },
			"wrong_status", func(f *fixture) Problem { return Problem{EventID: f.given} }},
		{"a waiting event whose job was cancelled", func(f *fixture) {
			f.exec(`UPDATE processing_jobs SET status = 'failed', wake_at = NULL, completed_at = created_at, error_message = 'cancelled by x' WHERE id = $1`, f.job[f.waiting])
		}, "wrong_status", func(f *fixture) Problem { return Problem{EventID: f.waiting} }},
		{"a failed event that was delivered", func(f *fixture) { f.exec(`UPDATE event_states SET status = 'failed' WHERE event_id = $1`, f.delivered) },
			"wrong_status", func(f *fixture) Problem { return Problem{EventID: f.delivered} }},
		{"a waiting event without destinations", func(f *fixture) { f.exec(`UPDATE event_states SET status = 'pending' WHERE event_id = $1`, f.unwanted) },
			"wrong_status", func(f *fixture) Problem { return Problem{EventID: f.unwanted} }},
		{"a job running past its lease", func(f *fixture) { f.run(f.waiting, -time.Minute) },
			"lease_ran_out", func(f *fixture) Problem { return Problem{EventID: f.waiting, JobID: f.job[f.waiting]} }},
		{"a job running without a lease", func(f *fixture) {
			f.run(f.waiting, time.Minute)
			f.exec(`UPDATE processing_jobs SET lease_until = NULL`)
		}, "lease_ran_out", func(f *fixture) Problem { return Problem{EventID: f.waiting, JobID: f.job[f.waiting]} }},
		{"a queued job that is neither published nor due for the relay", func(f *fixture) { f.exec(`UPDATE processing_jobs SET wake_at = NULL WHERE id = $1`, f.job[f.waiting]) },
			"stranded_job", func(f *fixture) Problem { return Problem{EventID: f.waiting, JobID: f.job[f.waiting]} }},
		{"a job that is parked for a destination that is gone", func(f *fixture) {
			f.exec(`INSERT INTO processing_jobs (id, normalized_event_id, destination_id, triggered_by, status, attempt_no, budget_start, parked, created_at)
				VALUES ($1, $2, $1, 'webhook', 'queued', 1, 0, true, $3)`, f.gone, f.waiting, f.at)
		},
			"unknown_destination", func(f *fixture) Problem { return Problem{EventID: f.waiting, JobID: f.gone, DestinationID: f.gone} }},
		{"a replay request without a live job", func(f *fixture) { f.exec(`UPDATE replay_requests SET status = 'dispatched'`) },
			"replay_without_end", func(f *fixture) Problem { return Problem{EventID: f.delivered, ReplayRequestID: f.replay} }},
		{"a gap between attempts", func(f *fixture) { f.exec(`UPDATE delivery_attempts SET attempt_no = 3 WHERE attempt_no = 2`) },
			"attempt_gap", func(f *fixture) Problem { return Problem{EventID: f.delivered, DestinationID: f.destination} }},
		{"a first attempt that is not recorded", func(f *fixture) {
			f.exec(`DELETE FROM delivery_attempts WHERE normalized_event_id = $1 AND attempt_no = 1`, f.delivered)
		},
			"attempt_gap", func(f *fixture) Problem { return Problem{EventID: f.delivered, DestinationID: f.destination} }},
	}
}

// run sets an event's last job to running, with a lease.
func (f *fixture) run(eventID string, lease time.Duration) {
	until := f.db.Dialect.LeaseIn("(0 + CAST($2 AS integer))")
	f.exec(`UPDATE processing_jobs SET status = 'running', started_at = $3, lease_until = `+until+` WHERE id = $1`,
		f.job[eventID], lease.Milliseconds(), f.at)
	f.exec(`UPDATE event_states SET status = 'processing' WHERE event_id = $1`, eventID)
}

func TestEachKindOfDamageIsFoundByItsCheck(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for _, c := range damages() {
			t.Run(c.sentence, func(t *testing.T) {
				clear(t, db)
				f := newFixture(t, db)
				c.damage(f)
				r, s := f.read(Config{Grace: 10 * time.Second})
				found := map[string]int{}
				for name, outcome := range r.Checks {
					if outcome.Found > 0 {
						found[name] = outcome.Found
					}
				}
				require.Contains(t, found, c.check)
				require.Len(t, found, 1, found)
				p, want := r.Checks[c.check].Problems[0], c.want(f)
				require.Equal(t, repairable(c.check), p.Repaired)
				require.Equal(t, p.Repaired, r.Holds)
				got := Problem{EventID: p.EventID, DestinationID: p.DestinationID, JobID: p.JobID, ReplayRequestID: p.ReplayRequestID, IdempotencyKey: p.IdempotencyKey}
				require.Equal(t, want, got)
				if p.Repaired {
					require.Equal(t, contract.Damage{Kind: contract.DamageKind(c.check), EventID: want.EventID, DestinationID: want.DestinationID,
						JobID: want.JobID, ReplayRequestID: want.ReplayRequestID}, s.asked[0])
				}
			})
		}
	})
}

func TestAnEventThatADestinationDidNotWantNeedsNoJob(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for _, c := range []struct {
			sentence string
			change   func(f *fixture)
			holds    bool
		}{
			{"it wanted all events", func(*fixture) {}, false},
			{"it has a filter", func(f *fixture) { f.exec(`UPDATE destinations SET filter = 'false' WHERE id = $1`, f.other) }, true},
			{"its filter was removed since", func(f *fixture) {
				f.exec(`UPDATE destinations SET wants_all_since = $2 WHERE id = $1`, f.other, f.at.Add(time.Minute))
			}, true},
			{"its filter had been removed before", func(f *fixture) {
				f.exec(`UPDATE destinations SET wants_all_since = $2 WHERE id = $1`, f.other, f.at.Add(-2*time.Minute))
			}, false},
			{"it was removed", func(f *fixture) {
				f.exec(`UPDATE destinations SET archived_at = $2, open_jobs = 'finish' WHERE id = $1`, f.other, f.at)
			}, true},
		} {
			clear(t, db)
			f := newFixture(t, db)
			f.exec(`UPDATE destinations SET created_at = $1`, f.at.Add(-time.Hour))
			c.change(f)
			r, _ := New(Config{Grace: 10 * time.Second, Limit: 10}, Deps{DB: f.db, Now: clock.System}).Run(context.Background())
			require.Equal(t, c.holds, r.Holds, c.sentence)
		}
	})
}

func clear(t *testing.T, db *database.DB) {
	f := &fixture{t: t, db: db}
	for _, table := range []string{"dead_letters", "replay_requests", "delivery_attempts", "processing_jobs", "event_states", "normalized_events",
		"idempotency_keys", "webhook_events", "destinations", "integrations"} {
		f.exec("DELETE FROM " + table)
	}
}

func TestChangesWithinTheGraceAreIgnored(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for _, c := range []struct {
			sentence string
			age      time.Duration
			holds    bool
		}{
			{"changed a minute ago", time.Minute, true},
			{"changed an hour and a half ago", 90 * time.Minute, false},
		} {
			clear(t, db)
			f := newFixture(t, db)
			f.run(f.waiting, -c.age)
			f.exec(`UPDATE event_states SET status = 'pending', updated_at = $2 WHERE event_id = $1`, f.delivered, clock.System().Add(-c.age))
			r, _ := New(Config{Grace: time.Hour - time.Minute}, Deps{DB: f.db, Now: clock.System}).Run(context.Background())
			require.Equal(t, c.holds, r.Holds, c.sentence)
		}
	})
}

func TestProblemsAreCountedBeyondTheLimit(t *testing.T) {
	f := newFixture(t, testkit.Open(t, testkit.SQLite(t)))
	f.exec(`DELETE FROM webhook_events`)
	r, _ := f.read(Config{Limit: 2, Batch: 2})
	require.Len(t, r.Checks[missingWebhook].Problems, 2)
	require.Equal(t, 5, r.Checks[missingWebhook].Found)
	require.Equal(t, 4, r.Sources[0].Problems)
	require.Equal(t, 1, r.Sources[1].Problems)
	require.Equal(t, 5, r.Remaining())
}

func TestAFailedRepairIsReported(t *testing.T) {
	f := newFixture(t, testkit.Open(t, testkit.SQLite(t)))
	f.exec(`UPDATE event_states SET status = 'pending' WHERE event_id = $1`, f.delivered)
	r, err := New(Config{Limit: 1, Repair: true}, Deps{DB: f.db, Now: clock.System, Repairer: &fakeRepairer{err: errors.New("no")}}).Run(context.Background())
	require.NoError(t, err)
	require.False(t, r.Holds)
	require.Equal(t, "no", r.Checks["wrong_status"].Problems[0].RepairError)
}

type depths map[broker.Queue]int

func (d depths) Depth(_ context.Context, q broker.Queue) (int, error) {
	if n, ok := d[q]; ok {
		return n, nil
	}
	return 0, errors.New("away")
}

func TestABrokerOutageDoesNotFailTheCheck(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	r, err := New(Config{}, Deps{DB: db, Now: clock.System, Queues: depths{broker.Process: 7}}).Run(context.Background())
	require.NoError(t, err)
	require.True(t, r.Holds)
	require.Equal(t, 7, *r.Queues["process"])
	require.Nil(t, r.Queues["dead"])
}

func TestADatabaseThatCannotBeRead(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := New(Config{}, Deps{DB: db, Now: clock.System}).Run(ctx)
	require.ErrorContains(t, err, "read the events")
}
