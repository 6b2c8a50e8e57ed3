package ingestion

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/testkit"
)

// verifiedWebhook is a webhook of acme with one event for each of ids, all of the type given.
func (g *gateway) webhook(eventType string, ids ...string) verifiedWebhook {
	src, err := g.module.find(g.t.Context(), "acme")
	require.NoError(g.t, err)
	var events []provider.Event
	for _, i := range ids {
		events = append(events, provider.Event{
			ID: &i, IDAsSent: []byte(i), Type: eventType, OccurredAt: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), Payload: []byte(`{}`),
		})
	}
	w := verifiedWebhook{
		source: src, webhookID: id.New(), correlationID: "of-" + ids[0], sourceIP: "192.0.2.1", receivedAt: g.module.d.Now(),
		storedPayload: storedPayload{headers: []byte(`{}`), body: []byte(`{}`), events: drafts(src, events, nil)},
	}
	w.compact(nil)
	return w
}

func TestAnEventIsNeverStoredWithoutItsPayload(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	w := g.webhook("t", "a")
	w.events[0].compactPayload = nil
	require.ErrorContains(t, g.module.commit([]verifiedWebhook{w})[0].Err, w.events[0].id)
	require.Zero(t, g.count("normalized_events"), "an empty payload stands for an erased event")
}

func TestFiftyIdenticalWebhooksAtOnceMakeOneEvent(t *testing.T) {
	for name, change := range map[string]func(*Config, *Deps){
		"with the cache":    func(*Config, *Deps) {},
		"without the cache": func(_ *Config, d *Deps) { d.Cache = down{} },
	} {
		t.Run(name, func(t *testing.T) {
			eachStore(t, func(t *testing.T, db *database.DB) {
				g := setup(t, db, change)
				const n = 50
				answers := make([]answer, n)
				var all sync.WaitGroup
				for i := range n {
					all.Go(func() {
						answers[i] = g.do(acmeRequest(acmeBody("same"), "X-Correlation-Id", fmt.Sprintf("trace-%d", i)))
					})
				}
				all.Wait()
				var first *receipt
				for _, a := range answers {
					if a.Status == http.StatusAccepted {
						require.Nil(t, first, "only one is new")
						r := a.receipt(t)
						first = &r
					}
				}
				require.NotNil(t, first)
				for _, a := range answers {
					r := a.receipt(t)
					require.Equal(t, first.EventID, r.EventID)
					require.Equal(t, first.CorrelationID, r.CorrelationID)
				}
				require.Equal(t, 1, g.stored())
				require.Equal(t, 1, g.count("webhook_events"))
			})
		})
	}
}

// Two processes on one database share nothing but it.
func TestTwoGatewaysStoreOneEvent(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		one, two := setup(t, db), setup(t, db)
		var all sync.WaitGroup
		statuses := make([]int, 40)
		for i := range statuses {
			g := []*gateway{one, two}[i%2]
			all.Go(func() { statuses[i] = g.do(acmeRequest(acmeBody(fmt.Sprintf("e%d", i/4)))).Status })
		}
		all.Wait()
		created := 0
		for _, s := range statuses {
			require.Contains(t, []int{200, 202}, s)
			created += s - 200
		}
		require.Equal(t, 10*2, created)
		require.Equal(t, 10, one.stored())
	})
}

func TestAGroupWithTheSameEventTwiceStoresItOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		first, again, other := g.webhook("t", "a"), g.webhook("t", "a"), g.webhook("t", "b")
		again.correlationID = "of-the-repeat"
		results := g.module.commit([]verifiedWebhook{first, again, other})
		for _, r := range results {
			require.NoError(t, r.Err)
		}
		require.Equal(t, receipt{EventID: first.events[0].id, Status: "queued", CorrelationID: "of-a", group: 3}, results[0].Value)
		require.Equal(t, receipt{EventID: first.events[0].id, Status: "duplicate", Duplicate: true, CorrelationID: "of-a", group: 3}, results[1].Value)
		require.Equal(t, "queued", results[2].Value.Status)
		require.Equal(t, 2, g.stored())
	})
}

func TestAWebhookWithSeveralEvents(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		one := func(a verifiedWebhook) receipt {
			r := g.module.commit([]verifiedWebhook{a})[0]
			require.NoError(t, r.Err)
			return r.Value
		}
		old := one(g.webhook("t", "a"))
		mixed := g.webhook("t", "a", "b", "b", "c")
		r := one(mixed)
		require.Equal(t, receipt{
			EventID: old.EventID, EventIDs: []string{old.EventID, mixed.events[1].id, mixed.events[2].id, mixed.events[3].id},
			Status: "queued", CorrelationID: "of-a", group: 1,
		}, r, "new as soon as one of its events is")
		repeat := one(g.webhook("t", "a", "b", "b", "c"))
		require.Equal(t, r.EventIDs, repeat.EventIDs)
		require.True(t, repeat.Duplicate)
		require.Equal(t, 4, g.stored(), "two items with one id are two events")
		require.Equal(t, 2, g.count("webhook_events"))
	})
}

func TestOneFailingWebhookDoesNotFailItsGroup(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.audit.poison = "venom"
		group := []verifiedWebhook{g.webhook("t", "a"), g.webhook("venom", "b"), g.webhook("t", "c"), g.webhook("t", "a")}
		results := g.module.commit(group)
		require.NoError(t, results[0].Err)
		require.ErrorIs(t, results[1].Err, g.audit.failure)
		require.NoError(t, results[2].Err)
		require.Equal(t, group[0].events[0].id, results[3].Value.EventID)
		require.True(t, results[3].Value.Duplicate)
		require.Equal(t, 2, g.stored())

		g.audit.poison = ""
		retried := g.module.commit([]verifiedWebhook{g.webhook("venom", "b")})
		require.NoError(t, retried[0].Err)
		require.False(t, retried[0].Value.Duplicate, "a webhook that failed is new when it comes again")
	})
}

// outage is a scheduler that finds the database gone, for one event or for all.
type outage struct {
	Scheduler
	only  string
	calls int
}

func (o *outage) Schedule(ctx context.Context, tx *database.Tx, events []contract.NewEvent) ([]contract.Scheduled, error) {
	o.calls++
	for _, e := range events {
		if o.only == "" || e.EventID == o.only {
			return nil, fault.Unavailable.New("database_unavailable", "The database does not answer.")
		}
	}
	return o.Scheduler.Schedule(ctx, tx, events)
}

func TestAnOutageIsNotTriedForEveryItemOfAGroup(t *testing.T) {
	o := &outage{}
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(_ *Config, d *Deps) { o.Scheduler, d.Scheduler = d.Scheduler, o })
	var group []verifiedWebhook
	for i := range 100 {
		group = append(group, g.webhook("t", fmt.Sprint(i)))
	}
	for _, r := range g.module.commit(group) {
		require.True(t, fault.Is(r.Err, fault.Unavailable))
	}
	require.Equal(t, 3, o.calls, "the group, and two alone")
	require.Zero(t, g.stored())

	o.only = group[50].events[0].id // one row that is locked looks like an outage as well
	for i, r := range g.module.commit(group) {
		require.Equal(t, i == 50, r.Err != nil)
	}
	require.Equal(t, 99, g.stored())
}

func TestAFailedCommitLeavesNothingBehind(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		for n, table := range []string{"webhook_events", "normalized_events", "event_states", "processing_jobs", "audit_entries"} {
			t.Run(table, func(t *testing.T) {
				body := acmeBody("of-" + table)
				g.exec(`ALTER TABLE ` + table + ` RENAME TO away`)
				a := g.do(acmeRequest(body))
				require.Equal(t, http.StatusInternalServerError, a.Status)
				require.NotContains(t, a.Error.Message, table)
				g.exec(`ALTER TABLE away RENAME TO ` + table)
				require.Equal(t, n, g.stored())
				require.Equal(t, n, g.count("webhook_events"))
				require.Equal(t, http.StatusAccepted, g.do(acmeRequest(body)).Status, "the sender's next try is new")
				require.Equal(t, n+1, g.stored())
			})
		}
	})
}

// The answer to a commit may be lost though it took place; the fallback then finds the
// event under its own id.
func TestACommitWhoseAnswerWasLostIsNotADuplicate(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		a := g.webhook("t", "a")
		for _, fresh := range []bool{true, true, false} {
			results := g.module.commitAll(t.Context(), []verifiedWebhook{a}, fresh)
			require.NoError(t, results[0].Err)
			require.Equal(t, receipt{EventID: a.events[0].id, Status: "queued", CorrelationID: "of-a", group: 1}, results[0].Value)
		}
		require.Equal(t, 1, g.stored())
	})
}

// Rows that one statement of one transaction wrote have the same xmin and cmin.
func TestFreshWebhooksAreStoredByOneStatement(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	g := setup(t, db)
	statements := func() (n int) {
		var tables []string
		for _, table := range []string{"idempotency_keys", "webhook_events", "normalized_events", "event_states"} {
			tables = append(tables, `SELECT xmin::text || ' ' || cmin::text AS written FROM `+table)
		}
		require.NoError(t, db.Get(t.Context(), &n, `SELECT count(DISTINCT written) FROM (`+strings.Join(tables, " UNION ALL ")+`) AS rows`))
		return n
	}
	require.NoError(t, g.module.commitAll(t.Context(), []verifiedWebhook{g.webhook("t", "a"), g.webhook("t", "b")}, true)[1].Err)
	require.Equal(t, 1, statements())
	require.NoError(t, g.module.commitAll(t.Context(), []verifiedWebhook{g.webhook("t", "c")}, false)[0].Err)
	require.Equal(t, 3, statements(), "keys that are not known to be fresh are asked for first")
}

// A cache that lost its memory takes every key for fresh.
func TestAKeyThatTheCacheForgotIsStillADuplicate(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		first := g.webhook("t", "a")
		require.NoError(t, g.module.commitAll(t.Context(), []verifiedWebhook{first}, true)[0].Err)
		repeat, other := g.webhook("t", "a"), g.webhook("t", "b")
		results := g.module.commitAll(t.Context(), []verifiedWebhook{repeat, other}, true)
		require.NoError(t, results[0].Err)
		require.NoError(t, results[1].Err)
		require.Equal(t, receipt{EventID: first.events[0].id, Status: "duplicate", Duplicate: true, CorrelationID: "of-a", group: 2}, results[0].Value)
		require.Equal(t, receipt{EventID: other.events[0].id, Status: "queued", CorrelationID: "of-b", group: 2}, results[1].Value)
		require.Equal(t, 2, g.stored())
	})
}

func TestASchedulerThatForgetsAnEventFailsTheCommit(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(_ *Config, d *Deps) { d.Scheduler = forgetful{} })
	r := g.module.commit([]verifiedWebhook{g.webhook("t", "a")})[0]
	require.ErrorContains(t, r.Err, "no answer for event")
	require.Zero(t, g.stored())
}

type forgetful struct{ Scheduler }

func (forgetful) Schedule(context.Context, *database.Tx, []contract.NewEvent) ([]contract.Scheduled, error) {
	return nil, nil
}

func TestTheEventIsStoredIfTheCallerDisconnects(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(_ *Config, d *Deps) { d.Scheduler = gate{d.Scheduler, entered, release} })
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	a := g.webhook("t", "a")
	go func() {
		_, err := g.module.store(ctx, a, &way{})
		left <- err
	}()
	<-entered
	cancel()
	err := <-left
	require.True(t, fault.Is(err, fault.Unavailable))
	require.True(t, errors.Is(err, context.Canceled))
	close(release)
	require.NoError(t, g.module.Close())
	require.Equal(t, 1, g.stored())
}

type gate struct {
	Scheduler
	entered, release chan struct{}
}

func (g gate) Schedule(ctx context.Context, tx *database.Tx, events []contract.NewEvent) ([]contract.Scheduled, error) {
	close(g.entered)
	<-g.release
	return g.Scheduler.Schedule(ctx, tx, events)
}

// slow schedules once it is let go.
type slow struct {
	Scheduler
	letGo chan struct{}
}

func (s slow) Schedule(ctx context.Context, tx *database.Tx, events []contract.NewEvent) ([]contract.Scheduled, error) {
	<-s.letGo
	return s.Scheduler.Schedule(ctx, tx, events)
}

func TestTheWaitForACommitIsBounded(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		letGo := make(chan struct{})
		g := setup(t, db, func(cfg *Config, d *Deps) {
			cfg.StoreTimeout = 20 * time.Millisecond
			d.Scheduler = slow{d.Scheduler, letGo}
		})
		refused := g.do(acmeRequest(acmeBody("e1")))
		require.Equal(t, http.StatusServiceUnavailable, refused.Status)
		require.Equal(t, "5", refused.Header.Get("Retry-After"))
		close(letGo)
		require.NoError(t, g.module.Close(), "what was begun is committed")
		require.Equal(t, 1, g.stored())
		again := setup(t, db).do(acmeRequest(acmeBody("e1")))
		require.Equal(t, http.StatusOK, again.Status, "the sender's next try is a repeat")
	})
}
