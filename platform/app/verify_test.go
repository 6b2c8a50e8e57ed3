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

// bench is the whole system on a real database, seeded, with a destination that receives
// everything, and one event that was delivered.
type bench struct {
	*system
	t       *testing.T
	eventID string
}

func newBench(t *testing.T, db *database.DB) *bench {
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	g, err := wire(devConfig(t), &stores{db: db, broker: broker.NewMemory(clock.System, nil), cache: cache.NewMemory(0, clock.System)}, quiet)
	require.NoError(t, err)
	b := &bench{system: g, t: t}
	_, err = g.seed(context.Background(), destinationsFor(receiver.URL, "http", 0))
	require.NoError(t, err)
	require.NoError(t, db.Get(context.Background(), &b.eventID, `SELECT id FROM normalized_events WHERE external_event_id = 'evt_example_pending'`))
	b.exec(`UPDATE destinations SET created_at = $1`, clock.System().Add(-10*time.Minute)) // older than the event by more than a margin
	b.untilProcessed()
	return b
}

func (b *bench) exec(query string, args ...any) {
	b.t.Helper()
	ctx := context.Background()
	require.NoError(b.t, b.db.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	}))
}

func (b *bench) text(query string, args ...any) (text string) {
	b.t.Helper()
	require.NoError(b.t, b.db.Get(context.Background(), &text, query, args...))
	return text
}

// untilProcessed runs the workers and the relay until the event is delivered.
func (b *bench) untilProcessed() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = b.delivery.Work(ctx, allQueues) })
	parts.Go(func() { _ = b.delivery.Relay(ctx) })
	defer parts.Wait()
	defer cancel()
	require.Eventually(b.t, func() bool {
		return b.text(`SELECT status FROM event_states WHERE event_id = $1`, b.eventID) == "processed"
	}, 20*time.Second, 10*time.Millisecond)
}

func (b *bench) verify(repair bool) verify.Report {
	b.t.Helper()
	r, err := verify.New(verify.Config{Repair: repair, Limit: 10}, verify.Deps{DB: b.db, Now: clock.System, Repairer: b.delivery}).Run(context.Background())
	require.NoError(b.t, err)
	return r
}

func TestWhatIsDamagedIsFoundRepairedAndDelivered(t *testing.T) {
	state := func(status string) func(b *bench) {
		return func(b *bench) { b.exec(`UPDATE event_states SET status = $2 WHERE event_id = $1`, b.eventID, status) }
	}
	job := func(set string, status string) func(b *bench) {
		return func(b *bench) {
			b.exec(`UPDATE processing_jobs SET `+set+` WHERE normalized_event_id = $1 AND destination_id IS NOT NULL`, b.eventID)
			state(status)(b)
		}
	}
	replay := func(status string, withJob bool) func(b *bench) {
		return func(b *bench) {
			requestID := id.New()
			b.exec(`INSERT INTO replay_requests (id, normalized_event_id, integration_id, only_failed, requested_by, reason, actor, status, created_at) VALUES ($1, $2, $2, false, 'ada', 'to see', 'x', $3, $4)`,
				requestID, b.eventID, status, clock.System().Add(-time.Minute))
			if withJob {
				b.exec(`UPDATE processing_jobs SET replay_request_id = $2 WHERE normalized_event_id = $1`, b.eventID, requestID)
			}
		}
	}
	for _, c := range []struct {
		sentence, check string
		damage          func(b *bench)
		after           func(b *bench)
	}{
		{"an event whose only job is gone", "missing_job", func(b *bench) {
			b.exec(`DELETE FROM processing_jobs WHERE normalized_event_id = $1`, b.eventID)
			b.exec(`DELETE FROM delivery_attempts WHERE normalized_event_id = $1`, b.eventID)
			state("pending")(b)
		}, func(b *bench) {
			require.Equal(t, "webhook", b.text(`SELECT triggered_by FROM processing_jobs WHERE normalized_event_id = $1`, b.eventID))
		}},
		{"a retry that was never made", "missing_job", job(`status = 'failed'`, "retrying"), func(b *bench) {
			require.Equal(t, "retry", b.text(`SELECT triggered_by FROM processing_jobs WHERE normalized_event_id = $1 AND status = 'queued'`, b.eventID))
		}},
		{"a status that its jobs do not say", "wrong_status", state("failed"), nil},
		{"a job whose worker died", "lease_ran_out", job(`status = 'running', lease_until = NULL, started_at = scheduled_at`, "processing"), nil},
		{"a job that nothing moves", "stranded_job", job(`status = 'queued', relay_at = NULL, published_at = NULL`, "pending"), nil},
		{"a replay whose dispatch is gone", "replay_without_end", replay("queued", false), func(b *bench) {
			require.Contains(t, b.text(`SELECT error_message FROM replay_requests WHERE status = 'failed'`), "ended by gateway verify")
		}},
		{"a replay whose end was not told", "replay_without_end", replay("dispatched", true), func(b *bench) {
			require.Equal(t, "completed", b.text(`SELECT status FROM replay_requests`))
		}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			testkit.EachStore(t, func(t *testing.T, db *database.DB) {
				b := newBench(t, db)
				require.Zero(t, b.verify(false).Found(), "%+v", b.verify(false).Checks)
				c.damage(b)
				r := b.verify(false)
				require.False(t, r.Holds)
				require.Equal(t, 1, r.Checks[c.check].Found)
				require.Equal(t, 1, r.Found(), "nothing else is wrong")
				require.Equal(t, b.eventID, r.Checks[c.check].Problems[0].EventID)

				r = b.verify(true)
				require.True(t, r.Holds, r.Checks[c.check].Problems)
				require.Equal(t, 1, r.Checks[c.check].Repaired)
				require.Contains(t, b.text(`SELECT details FROM audit_entries WHERE action = 'books.repaired' AND entity_id = $1`, b.eventID), c.check)
				if c.after != nil {
					c.after(b)
				}
				b.untilProcessed()
				require.Zero(t, b.verify(false).Found(), "%+v", b.verify(false).Checks)
			})
		})
	}
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
	for _, line := range []string{"wrong_status: 2\n  source acme, event the-event: why (repaired)\n  and 1 more; --limit lists more", "The books hold again: 1 repaired.",
		"replay   RabbitMQ does not say", "promise of attempt_gap"} {
		require.Contains(t, out.String(), line)
	}
	text, err := json.Marshal(r)
	require.NoError(t, err)
	require.Contains(t, string(text), `"eventId":"the-event"`)
}
