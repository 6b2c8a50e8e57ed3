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

// book is a clean one: an event that was delivered at the second attempt, one that was
// given up on, one that waits for a retry, one whose destination is not active and one
// that nobody wanted, all an hour old.
type book struct {
	t  *testing.T
	db *database.DB
	at time.Time

	destination, other string // of acme; globex has none
	delivered, given   string // events
	waiting, parked    string
	unwanted           string
	job                map[string]string // the last job of an event
	replay             string            // the request that delivered's second attempt belonged to
}

func newBook(t *testing.T, db *database.DB) *book {
	b := &book{t: t, db: db, at: clock.System().Add(-time.Hour), job: map[string]string{}}
	acme, globex := id.New(), id.New()
	b.destination, b.other = id.New(), id.New()
	long := b.at.Add(-time.Hour)
	for _, i := range []struct{ id, name string }{{acme, "acme"}, {globex, "globex"}} {
		b.exec(`INSERT INTO integrations (id, source, provider, name, is_active, created_at, updated_at) VALUES ($1, $2, $2, $2, true, $3, $3)`, i.id, i.name, long)
	}
	b.exec(`INSERT INTO destinations (id, integration_id, url, is_active, signing_secret, created_at, updated_at) VALUES ($1, $2, 'http://127.0.0.1/', true, 'x', $3, $3)`,
		b.destination, acme, long)
	b.replay = id.New()

	b.delivered = b.event(acme, "acme", "processed")
	b.addJob(b.delivered, "failed", "webhook", nil)
	b.addJob(b.delivered, "succeeded", "retry", &b.replay)
	b.exec(`INSERT INTO replay_requests (id, normalized_event_id, integration_id, only_failed, requested_by, reason, actor, status, created_at) VALUES ($1, $2, $2, false, 'ada', 'why not', 'x', 'completed', $3)`,
		b.replay, b.delivered, b.at)
	b.attempt(b.delivered, 1)
	b.attempt(b.delivered, 2)
	b.given = b.event(acme, "acme", "failed")
	b.addJob(b.given, "failed", "webhook", nil)
	b.attempt(b.given, 1)
	b.exec(`INSERT INTO dead_letters (id, kind, queue, event_id, destination_id, job_id, reason, attempts, status, created_at) VALUES ($1, 'refused', 'q', $2, $3, $4, 'gone', 1, 'open', $5)`,
		id.New(), b.given, b.destination, b.job[b.given], b.at)
	b.waiting = b.event(acme, "acme", "retrying")
	b.addJob(b.waiting, "failed", "webhook", nil)
	b.addJob(b.waiting, "queued", "retry", nil)
	b.attempt(b.waiting, 1)
	b.parked = b.event(acme, "acme", "pending")
	b.addJob(b.parked, "queued", "webhook", nil)
	b.exec(`UPDATE processing_jobs SET parked = true, relay_at = NULL WHERE id = $1`, b.job[b.parked])
	b.unwanted = b.event(globex, "globex", "processed")
	b.exec(`INSERT INTO destinations (id, integration_id, url, is_active, signing_secret, created_at, updated_at) VALUES ($1, $2, 'http://127.0.0.1/', true, 'x', $3, $3)`,
		b.other, acme, clock.System()) // younger than the events
	return b
}

func (b *book) exec(query string, args ...any) {
	b.t.Helper()
	ctx := context.Background()
	require.NoError(b.t, b.db.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	}))
}

func (b *book) event(integration, source, status string) string {
	eventID, webhookID := id.New(), id.New()
	b.exec(`INSERT INTO webhook_events (id, integration_id, source, provider, idempotency_key, signature_valid, request_headers, raw_body, source_ip, correlation_id, received_at)
		VALUES ($1, $2, $3, $3, $4, true, '{}', '', '', '', $5)`, webhookID, integration, source, source+":"+eventID, b.at)
	b.exec(`INSERT INTO normalized_events (id, webhook_event_id, integration_id, source, provider, event_type, occurred_at, normalized_payload, correlation_id, received_at, created_at)
		VALUES ($1, $2, $3, $4, $4, 'x', $5, '{}', '', $5, $5)`, eventID, webhookID, integration, source, b.at)
	b.exec(`INSERT INTO event_states (event_id, status, processing_attempts, received_at, updated_at) VALUES ($1, $2, 0, $3, $3)`, eventID, status, b.at)
	b.exec(`INSERT INTO idempotency_keys (idempotency_key, event_id, correlation_id, created_at) VALUES ($1, $2, '', $3)`, source+":"+eventID, eventID, b.at)
	return eventID
}

func (b *book) addJob(eventID, status, trigger string, replay *string) {
	b.job[eventID] = id.New()
	var relayAt *time.Time
	if status == "queued" {
		relayAt = &b.at
	}
	b.exec(`INSERT INTO processing_jobs (id, normalized_event_id, integration_id, destination_id, replay_request_id, queue_name, triggered_by, status, attempt_no, budget_start, correlation_id, parked, relay_at, scheduled_at, created_at)
		SELECT $1, id, integration_id, $3, $4, 'q', $5, $6, 1, 0, '', false, $7, $8, $8 FROM normalized_events WHERE id = $2`,
		b.job[eventID], eventID, b.destination, replay, trigger, status, relayAt, b.at)
}

func (b *book) attempt(eventID string, number int) {
	b.exec(`INSERT INTO delivery_attempts (id, normalized_event_id, integration_id, destination_id, job_id, attempt_no, status, duration_ms, created_at)
		SELECT $1, id, integration_id, $3, $4, $5, 'failed', 1, $6 FROM normalized_events WHERE id = $2`,
		id.New(), eventID, b.destination, b.job[eventID], number, b.at)
}

// surgeon remembers what it was asked to repair.
type surgeon struct {
	asked []contract.Damage
	err   error
}

func (s *surgeon) Repair(_ context.Context, d contract.Damage) (bool, error) {
	s.asked = append(s.asked, d)
	return s.err == nil, s.err
}

func (b *book) read(cfg Config) (Report, *surgeon) {
	b.t.Helper()
	if cfg.Limit == 0 {
		cfg.Limit = 10
	}
	s := &surgeon{}
	cfg.Repair = true
	r, err := New(cfg, Deps{DB: b.db, Now: clock.System, Repairer: s}).Run(context.Background())
	require.NoError(b.t, err)
	return r, s
}

func TestACleanBookHolds(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		b := newBook(t, db)
		for _, batch := range []int{1, 2, 5, 6, 2000} { // both sides of the number of events
			r, s := b.read(Config{Grace: 10 * time.Second, Batch: batch})
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

func TestAnEmptyBookHolds(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		r, err := New(Config{}, Deps{DB: db, Now: clock.System}).Run(context.Background())
		require.NoError(t, err)
		require.True(t, r.Holds)
		require.Len(t, r.Checks, len(CheckNames()))
	})
}

// damages are what may be wrong, made by hand: what finds it, and what of it is told.
func damages() []struct {
	sentence string
	damage   func(b *book)
	check    string
	want     func(b *book) Problem
} {
	return []struct {
		sentence string
		damage   func(b *book)
		check    string
		want     func(b *book) Problem
	}{
		{"an event without a state", func(b *book) { b.exec(`DELETE FROM event_states WHERE event_id = $1`, b.delivered) },
			"missing_state", func(b *book) Problem { return Problem{EventID: b.delivered} }},
		{"an event without its webhook", func(b *book) {
			b.exec(`DELETE FROM webhook_events WHERE id = (SELECT webhook_event_id FROM normalized_events WHERE id = $1)`, b.delivered)
		}, "missing_webhook", func(b *book) Problem { return Problem{EventID: b.delivered} }},
		{"a key whose event is gone", func(b *book) {
			b.exec(`UPDATE idempotency_keys SET event_id = $2 WHERE event_id = $1`, b.given, b.replay)
		},
			"key_without_event", func(b *book) Problem { return Problem{EventID: b.replay, IdempotencyKey: "acme:" + b.given} }},
		{"a retry that was never made", func(b *book) { b.exec(`DELETE FROM processing_jobs WHERE id = $1`, b.job[b.waiting]) },
			"missing_job", func(b *book) Problem { return Problem{EventID: b.waiting, DestinationID: b.destination} }},
		{"an event without its first job", func(b *book) {
			b.exec(`DELETE FROM processing_jobs WHERE id = $1`, b.job[b.parked])
			b.exec(`DELETE FROM destinations WHERE id = $1`, b.other)
		}, "missing_job", func(b *book) Problem { return Problem{EventID: b.parked, DestinationID: b.destination} }},
		{"an event without its first job, whose destination is as young as the event", func(b *book) {
			b.exec(`DELETE FROM processing_jobs WHERE id = $1`, b.job[b.parked])
			b.exec(`DELETE FROM destinations WHERE id = $1`, b.other)
			b.exec(`UPDATE destinations SET created_at = $1`, b.at.Add(time.Second))
		}, "missing_job", func(b *book) Problem { return Problem{EventID: b.parked, DestinationID: b.destination} }},
		{"a finished event that one destination never had", func(b *book) { b.exec(`UPDATE destinations SET created_at = $1`, b.at.Add(-time.Hour)) },
			"missing_job", func(b *book) Problem { return Problem{EventID: b.delivered, DestinationID: b.other} }},
		{"two live jobs for one destination", func(b *book) {
			b.exec(`DROP INDEX IF EXISTS processing_jobs_one_live`)
			b.addJob(b.waiting, "queued", "retry", nil)
		}, "several_live_jobs", func(b *book) Problem { return Problem{EventID: b.waiting} }},
		{"a finished event with a live job", func(b *book) { b.exec(`UPDATE event_states SET status = 'processed' WHERE event_id = $1`, b.waiting) },
			"wrong_status", func(b *book) Problem { return Problem{EventID: b.waiting} }},
		{"a waiting event without a live job", func(b *book) { b.exec(`UPDATE event_states SET status = 'retrying' WHERE event_id = $1`, b.given) },
			"wrong_status", func(b *book) Problem { return Problem{EventID: b.given} }},
		{"a waiting event whose job was cancelled", func(b *book) {
			b.exec(`UPDATE processing_jobs SET status = 'failed', error_message = 'cancelled by x' WHERE id = $1`, b.job[b.waiting])
		}, "wrong_status", func(b *book) Problem { return Problem{EventID: b.waiting} }},
		{"a failed event that was received", func(b *book) { b.exec(`UPDATE event_states SET status = 'failed' WHERE event_id = $1`, b.delivered) },
			"wrong_status", func(b *book) Problem { return Problem{EventID: b.delivered} }},
		{"an event that nobody wants and that waits", func(b *book) { b.exec(`UPDATE event_states SET status = 'pending' WHERE event_id = $1`, b.unwanted) },
			"wrong_status", func(b *book) Problem { return Problem{EventID: b.unwanted} }},
		{"a job running past its lease", func(b *book) { b.run(b.waiting, -time.Minute) },
			"lease_ran_out", func(b *book) Problem { return Problem{EventID: b.waiting, JobID: b.job[b.waiting]} }},
		{"a job running without a lease", func(b *book) {
			b.run(b.waiting, time.Minute)
			b.exec(`UPDATE processing_jobs SET lease_until = NULL`)
		}, "lease_ran_out", func(b *book) Problem { return Problem{EventID: b.waiting, JobID: b.job[b.waiting]} }},
		{"a queued job that nothing moves", func(b *book) { b.exec(`UPDATE processing_jobs SET relay_at = NULL WHERE id = $1`, b.job[b.waiting]) },
			"stranded_job", func(b *book) Problem { return Problem{EventID: b.waiting, JobID: b.job[b.waiting]} }},
		{"a replay request that waits for nothing", func(b *book) { b.exec(`UPDATE replay_requests SET status = 'dispatched'`) },
			"replay_without_end", func(b *book) Problem { return Problem{EventID: b.delivered, ReplayRequestID: b.replay} }},
		{"a gap between attempts", func(b *book) { b.exec(`UPDATE delivery_attempts SET attempt_no = 3 WHERE attempt_no = 2`) },
			"attempt_gap", func(b *book) Problem { return Problem{EventID: b.delivered, DestinationID: b.destination} }},
		{"a first attempt that is not told", func(b *book) {
			b.exec(`DELETE FROM delivery_attempts WHERE normalized_event_id = $1 AND attempt_no = 1`, b.delivered)
		},
			"attempt_gap", func(b *book) Problem { return Problem{EventID: b.delivered, DestinationID: b.destination} }},
	}
}

// run makes an event's last job one that runs, with its lease.
func (b *book) run(eventID string, lease time.Duration) {
	until := b.db.Dialect.LeaseIn("(0 + CAST($2 AS integer))")
	b.exec(`UPDATE processing_jobs SET status = 'running', relay_at = NULL, started_at = $3, lease_until = `+until+` WHERE id = $1`,
		b.job[eventID], lease.Milliseconds(), b.at)
	b.exec(`UPDATE event_states SET status = 'processing' WHERE event_id = $1`, eventID)
}

func TestDamageIsFoundByName(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for _, c := range damages() {
			t.Run(c.sentence, func(t *testing.T) {
				clear(t, db)
				b := newBook(t, db)
				c.damage(b)
				r, s := b.read(Config{Grace: 10 * time.Second})
				found := map[string]int{}
				for name, outcome := range r.Checks {
					if outcome.Found > 0 {
						found[name] = outcome.Found
					}
				}
				require.Contains(t, found, c.check)
				require.Len(t, found, 1, found)
				p, want := r.Checks[c.check].Problems[0], c.want(b)
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

func TestAnEventThatADestinationDidNotWantMissesNoJob(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for _, c := range []struct {
			sentence string
			change   func(b *book)
			holds    bool
		}{
			{"it wanted all events", func(*book) {}, false},
			{"it has a filter", func(b *book) { b.exec(`UPDATE destinations SET filter = 'false' WHERE id = $1`, b.other) }, true},
			{"it has had none since", func(b *book) {
				b.exec(`UPDATE destinations SET wants_all_since = $2 WHERE id = $1`, b.other, b.at.Add(time.Minute))
			}, true},
			{"it had none any more", func(b *book) {
				b.exec(`UPDATE destinations SET wants_all_since = $2 WHERE id = $1`, b.other, b.at.Add(-2*time.Minute))
			}, false},
			{"it was removed", func(b *book) {
				b.exec(`UPDATE destinations SET archived_at = $2, open_jobs = 'finish' WHERE id = $1`, b.other, b.at)
			}, true},
		} {
			clear(t, db)
			b := newBook(t, db)
			b.exec(`UPDATE destinations SET created_at = $1`, b.at.Add(-time.Hour))
			c.change(b)
			r, _ := New(Config{Grace: 10 * time.Second, Limit: 10}, Deps{DB: b.db, Now: clock.System}).Run(context.Background())
			require.Equal(t, c.holds, r.Holds, c.sentence)
		}
	})
}

func clear(t *testing.T, db *database.DB) {
	b := &book{t: t, db: db}
	for _, table := range []string{"dead_letters", "replay_requests", "delivery_attempts", "processing_jobs", "event_states", "normalized_events",
		"idempotency_keys", "webhook_events", "destinations", "integrations"} {
		b.exec("DELETE FROM " + table)
	}
}

func TestWhatChangedWithinTheGraceIsLeftOut(t *testing.T) {
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
			b := newBook(t, db)
			b.run(b.waiting, -c.age)
			b.exec(`UPDATE event_states SET status = 'pending', updated_at = $2 WHERE event_id = $1`, b.delivered, clock.System().Add(-c.age))
			r, _ := New(Config{Grace: time.Hour - time.Minute}, Deps{DB: b.db, Now: clock.System}).Run(context.Background())
			require.Equal(t, c.holds, r.Holds, c.sentence)
		}
	})
}

func TestProblemsAreCountedBeyondTheLimit(t *testing.T) {
	b := newBook(t, testkit.Open(t, testkit.SQLite(t)))
	b.exec(`DELETE FROM webhook_events`)
	r, _ := b.read(Config{Limit: 2, Batch: 2})
	require.Len(t, r.Checks[missingWebhook].Problems, 2)
	require.Equal(t, 5, r.Checks[missingWebhook].Found)
	require.Equal(t, 4, r.Sources[0].Problems)
	require.Equal(t, 1, r.Sources[1].Problems)
	require.Equal(t, 5, r.Left())
}

func TestARepairThatFailsIsTold(t *testing.T) {
	b := newBook(t, testkit.Open(t, testkit.SQLite(t)))
	b.exec(`UPDATE event_states SET status = 'pending' WHERE event_id = $1`, b.delivered)
	r, err := New(Config{Limit: 1, Repair: true}, Deps{DB: b.db, Now: clock.System, Repairer: &surgeon{err: errors.New("no")}}).Run(context.Background())
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

func TestABrokerThatIsAwayDoesNotRefuteTheBooks(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	r, err := New(Config{}, Deps{DB: db, Now: clock.System, Queues: depths{broker.Process: 7}}).Run(context.Background())
	require.NoError(t, err)
	require.True(t, r.Holds)
	require.Equal(t, 7, *r.Queues["process"])
	require.Nil(t, r.Queues["dead"])
}

func TestBooksThatCannotBeRead(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := New(Config{}, Deps{DB: db, Now: clock.System}).Run(ctx)
	require.ErrorContains(t, err, "read the events")
}
