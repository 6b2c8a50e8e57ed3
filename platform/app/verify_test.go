package app

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/verify"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// fixture is the whole system on a real database, seeded, with a destination that accepts
// everything, and one delivered event.
type fixture struct {
	*system
	t       *testing.T
	eventID string
}

func newFixture(t *testing.T, db *database.DB) *fixture {
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	g, err := wire(devConfig(t), &stores{db: db, broker: broker.NewMemory(clock.System, nil), cache: cache.NewMemory(0, clock.System)}, quiet)
	require.NoError(t, err)
	f := &fixture{system: g, t: t}
	_, err = g.seed(context.Background(), destinationsFor(receiver.URL, "http", 0))
	require.NoError(t, err)
	require.NoError(t, db.Get(context.Background(), &f.eventID, `SELECT id FROM normalized_events WHERE external_event_id = 'evt_example_pending'`))
	f.exec(`UPDATE destinations SET created_at = $1`, clock.System().Add(-10*time.Minute)) // older than the event by more than the margin
	f.untilProcessed()
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

func (f *fixture) text(query string, args ...any) (text string) {
	f.t.Helper()
	require.NoError(f.t, f.db.Get(context.Background(), &text, query, args...))
	return text
}

// untilProcessed runs the workers and the relay until the event is delivered.
func (f *fixture) untilProcessed() {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = f.delivery.Work(ctx, allQueues) })
	parts.Go(func() { _ = f.delivery.Relay(ctx) })
	defer parts.Wait()
	defer cancel()
	require.Eventually(f.t, func() bool {
		return f.text(`SELECT status FROM event_states WHERE event_id = $1`, f.eventID) == "processed"
	}, 20*time.Second, 10*time.Millisecond)
}

func (f *fixture) verify(repair bool) verify.Report {
	f.t.Helper()
	r, err := verify.New(verify.Config{Repair: repair, Limit: 10}, verify.Deps{DB: f.db, Now: clock.System, Repairer: f.delivery}).Run(context.Background())
	require.NoError(f.t, err)
	return r
}

func TestDamageIsFoundRepairedAndDelivered(t *testing.T) {
	state := func(status string) func(f *fixture) {
		return func(f *fixture) { f.exec(`UPDATE event_states SET status = $2 WHERE event_id = $1`, f.eventID, status) }
	}
	job := func(set string, status string) func(f *fixture) {
		return func(f *fixture) {
			f.exec(`UPDATE processing_jobs SET `+set+` WHERE normalized_event_id = $1 AND destination_id IS NOT NULL`, f.eventID)
			state(status)(f)
		}
	}
	replay := func(status string, withJob bool) func(f *fixture) {
		return func(f *fixture) {
			requestID := id.New()
			f.exec(`INSERT INTO replay_requests (id, normalized_event_id, integration_id, only_failed, requested_by, reason, actor, status, created_at) VALUES ($1, $2, $2, false, 'ada', 'to see', 'x', $3, $4)`,
				requestID, f.eventID, status, clock.System().Add(-time.Minute))
			if withJob {
				f.exec(`UPDATE processing_jobs SET replay_request_id = $2 WHERE normalized_event_id = $1`, f.eventID, requestID)
			}
		}
	}
	for _, c := range []struct {
		sentence, check string
		damage          func(f *fixture)
		after           func(f *fixture)
	}{
		{"an event whose only job is gone", "missing_job", func(f *fixture) {
			f.exec(`DELETE FROM processing_jobs WHERE normalized_event_id = $1`, f.eventID)
			f.exec(`DELETE FROM delivery_attempts WHERE normalized_event_id = $1`, f.eventID)
			state("pending")(f)
		}, func(f *fixture) {
			require.Equal(t, "webhook", f.text(`SELECT triggered_by FROM processing_jobs WHERE normalized_event_id = $1`, f.eventID))
		}},
		{"a retry that was never made", "missing_job", job(`status = 'failed'`, "retrying"), func(f *fixture) {
			require.Equal(t, "retry", f.text(`SELECT triggered_by FROM processing_jobs WHERE normalized_event_id = $1 AND status = 'queued'`, f.eventID))
		}},
		{"a status that does not match its jobs", "wrong_status", state("failed"), nil},
		{"a job whose worker died", "lease_ran_out", job(`status = 'running', completed_at = NULL, lease_until = NULL, started_at = created_at`, "processing"), nil},
		{"a job that is neither published nor due for the relay", "stranded_job", job(`status = 'queued', completed_at = NULL, wake_at = NULL, published_at = NULL`, "pending"), nil},
		{"a replay whose dispatch is gone", "replay_without_end", replay("queued", false), func(f *fixture) {
			require.Contains(t, f.text(`SELECT error_message FROM replay_requests WHERE status = 'failed'`), "ended by gateway verify")
		}},
		{"a replay whose end was not reported", "replay_without_end", replay("dispatched", true), func(f *fixture) {
			require.Equal(t, "completed", f.text(`SELECT status FROM replay_requests`))
		}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			testkit.EachStore(t, func(t *testing.T, db *database.DB) {
				f := newFixture(t, db)
				require.Zero(t, f.verify(false).Found(), "%+v", f.verify(false).Checks)
				c.damage(f)
				r := f.verify(false)
				require.False(t, r.Holds)
				require.Equal(t, 1, r.Checks[c.check].Found)
				require.Equal(t, 1, r.Found(), "nothing else is wrong")
				require.Equal(t, f.eventID, r.Checks[c.check].Problems[0].EventID)

				r = f.verify(true)
				require.True(t, r.Holds, r.Checks[c.check].Problems)
				require.Equal(t, 1, r.Checks[c.check].Repaired)
				require.Contains(t, f.text(`SELECT details FROM audit_entries WHERE action = 'books.repaired' AND entity_id = $1`, f.eventID), c.check)
				if c.after != nil {
					c.after(f)
				}
				f.untilProcessed()
				require.Zero(t, f.verify(false).Found(), "%+v", f.verify(false).Checks)
			})
		})
	}
}

// The seeded examples counted among the events as if webhooks had brought them.
func TestExamplesAreCountedSeparately(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := newFixture(t, db)
		r := f.verify(false)
		require.Equal(t, 3, r.Total.Examples, "the fourth was posted and is delivered")
		require.Equal(t, map[string]int{"acme": 2, "globex": 1}, map[string]int{r.Sources[0].Name: r.Sources[0].Examples, r.Sources[1].Name: r.Sources[1].Examples})
		var out bytes.Buffer
		require.NoError(t, printReport(&out, r))
		require.Contains(t, out.String(), "\n3 of the events above, with their jobs and dead letters, are examples from gateway seed.")
		f.exec(`DELETE FROM normalized_events WHERE external_event_id = 'evt_example_failed'`)
		require.Equal(t, 2, f.verify(false).Total.Examples, "removed examples no longer count")
	})
}

func TestTheReport(t *testing.T) {
	r := verify.Report{Holds: true, Total: verify.Source{Problems: 1, Repaired: 1}, Checks: map[string]*verify.CheckOutcome{},
		Queues: map[string]*int{"process": new(int)}, DeadLetters: map[string]verify.DeadCount{"refused": {Open: 3}}}
	for _, name := range verify.CheckNames() {
		r.Checks[name] = &verify.CheckOutcome{Promise: "promise of " + name}
	}
	r.Checks["wrong_status"] = &verify.CheckOutcome{Found: 2, Problems: []verify.Problem{{Source: "acme", EventID: "the-event", Detail: "why", Repaired: true}}}
	var out bytes.Buffer
	require.NoError(t, printReport(&out, r))
	require.NotContains(t, out.String(), "examples")
	for _, line := range []string{"wrong_status: 2\n  source acme, event the-event: why (repaired)\n  and 1 more; --limit lists more", "The consistency check passed after 1 repair.",
		"replay   not available", "promise of attempt_gap"} {
		require.Contains(t, out.String(), line)
	}
	text, err := json.Marshal(r)
	require.NoError(t, err)
	require.Contains(t, string(text), `"eventId":"the-event"`)
}
