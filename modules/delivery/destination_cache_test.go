package delivery

import (
	"context"
	"net/http"
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

// Five lists that took long made a webhook wait for 5.0 s and be refused, and stopped the
// worker's loop for 4.5 s: both read destinations by the connections that lists use.
func TestSlowListsDelayNeitherWebhooksNorTheWorker(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.Postgres(t)), Config{})
	h.destination(h.receiver.URL)
	h.run()
	h.accept()
	h.eventually("the worker to know the destination", func() bool { return h.receiver.count() == 1 })

	lists, end := context.WithCancel(t.Context())
	ended := make(chan struct{}, 5)
	for range 5 {
		go func() {
			var nothing string
			_ = h.db.Get(lists, &nothing, `SELECT CAST(pg_sleep(60) AS text)`)
			ended <- struct{}{}
		}()
	}
	t.Cleanup(func() {
		end()
		for range 5 {
			<-ended
		}
	})
	var slowest time.Duration
	for began := clock.System(); clock.Now(clock.System).Since(began) < 3*time.Second; {
		at, before := clock.System(), h.receiver.count()
		h.accept()
		h.eventually("the event to be delivered", func() bool { return h.receiver.count() > before })
		slowest = max(slowest, clock.Now(clock.System).Since(at))
		require.Empty(t, ended, "all lists still wait")
	}
	t.Logf("the slowest event took %v from its acceptance to its destination", slowest)
}

// A source without destinations made every commit of its group read all destinations, once
// for each event: 256 events beside 1,000 destinations took 2.5 s. Now such a commit asks once, and
// any other one never: while the table is locked, a commit that reads it fails.
func TestACommitReadsDestinationsOnceAtMost(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	h := newHarness(t, db, Config{})
	h.manyDestinations(1000)
	events := h.group(256)
	h.Route(t.Context(), events)
	h.tx(func(ctx context.Context, tx *database.Tx) error {
		h.schedules(ctx, tx, events, 0)
		var rows int // that this transaction has read
		require.NoError(t, tx.Get(ctx, &rows, `SELECT COALESCE(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_xact_user_tables WHERE relname = 'destinations'`))
		require.LessOrEqual(t, rows, 2*1000, "a query reads what there is, for all events")
		return nil
	})

	h.destination(h.receiver.URL)
	events = h.group(256)
	h.Route(t.Context(), events)
	h.tx(func(ctx context.Context, lock *database.Tx) error {
		if _, err := lock.Exec(ctx, `LOCK TABLE destinations, destination_breakers IN ACCESS EXCLUSIVE MODE`); err != nil {
			return err
		}
		h.tx(func(ctx context.Context, tx *database.Tx) error { h.schedules(ctx, tx, events, 1); return nil })
		return nil
	})
}

// group makes events of the harness's integration.
func (h *harness) group(n int) []contract.NewEvent {
	events := make([]contract.NewEvent, n)
	for i := range events {
		events[i] = h.newEvent(id.New())
		events[i].IntegrationID = h.integration
	}
	return events
}

// schedules has a group of events scheduled, of which each gets so many jobs.
func (h *harness) schedules(ctx context.Context, tx *database.Tx, events []contract.NewEvent, jobs int) {
	h.t.Helper()
	began := clock.System()
	scheduled, err := h.Schedule(ctx, tx, events)
	h.t.Logf("%d events with %d jobs each, beside 1,000 destinations: %v in one commit", len(events), jobs, clock.Now(clock.System).Since(began))
	require.NoError(h.t, err)
	require.Len(h.t, scheduled, len(events))
	for _, s := range scheduled {
		require.Len(h.t, s.Jobs, jobs)
	}
}

// An event that came within half a second of another process's making of its source's first
// destination went nowhere, for good.
func TestTheFirstDestinationGetsEventsAtOnceInAllProcesses(t *testing.T) {
	eachHarness(t, func(h *harness) {
		require.Empty(t, h.schedule(id.New()).Jobs)
		elsewhere := newHarness(t, h.db, Config{})
		elsewhere.integration = h.integration
		elsewhere.destination(h.receiver.URL)
		require.Len(t, h.schedule(id.New()).Jobs, 1)
	})
}

// manyDestinations adds destinations of other integrations, two of each.
func (h *harness) manyDestinations(n int) {
	h.t.Helper()
	url := "https://example.com/hooks"
	h.tx(func(ctx context.Context, tx *database.Tx) error {
		for i := 0; i < n; i += 2 {
			rows := database.NewRows("id uuid", "source text", "provider text", "name text", "is_active boolean", "created_at timestamptz", "updated_at timestamptz")
			integration := id.New()
			rows.Add(integration, integration, "acme", "Acme", true, tx.Now, tx.Now)
			if err := tx.Insert(ctx, "integrations", rows); err != nil {
				return err
			}
			for range 2 {
				if _, err := h.AddDestination(ctx, tx, integration, contract.DestinationConfig{URL: &url}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// The worker asks for a destination that it does not know before it decides about its job, and
// its loop waits for no answer.
func TestTheWorkersLoopWaitsForNoDestination(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.Postgres(t)), Config{})
	known := h.destination(h.receiver.URL + "/known")
	made := clock.System()
	first := h.accept()
	other := *h
	other.integration = id.New()
	other.newIntegration()
	unknown := other.destination(h.receiver.URL + "/unknown")
	waiting := other.accept()

	ctx, end := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	parts.Go(func() { _ = h.Relay(ctx) })
	t.Cleanup(func() { end(); parts.Wait() })
	h.eventually("destinations to be followed", func() bool {
		_, current := h.destinations.Known(known)
		return current && clock.Now(clock.System).Since(made) > 1100*time.Millisecond
	})
	h.tx(func(locked context.Context, lock *database.Tx) error { // without which no destination can be read
		if _, err := lock.Exec(locked, `LOCK TABLE destination_breakers IN ACCESS EXCLUSIVE MODE`); err != nil {
			return err
		}
		h.destinations.Changed(other.integration)
		parts.Go(func() { _ = h.Work(ctx, []contract.Queue{contract.ProcessQueue}) })
		h.eventually("the first event to be delivered", func() bool { return h.receiver.count() == 1 })
		second := h.accept()
		h.eventually("the next one to be delivered", func() bool { return h.receiver.count() == 2 })
		h.becomes(first, contract.EventProcessed)
		h.becomes(second, contract.EventProcessed)
		require.Equal(t, 1, h.jobsOf(waiting, unknown, running), "its worker asks")
		return nil
	})
	h.becomes(waiting, contract.EventProcessed)
}

// A removal by another process that is not known here yet leaves the retry of a job that ran
// meanwhile as it is; when the retry is due, it ends.
func TestARetryThatTheRemovalDidNotSeeIsCancelled(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.cfg.RetryBase = 2 * time.Second // long after this process knows of the removal
		removed := h.destination(h.receiver.URL)
		under, proceed := make(chan struct{}, 10), make(chan struct{})
		h.receiver.answers(func(_ int, w http.ResponseWriter, _ *http.Request) {
			under <- struct{}{}
			<-proceed
			w.WriteHeader(http.StatusInternalServerError)
		})
		h.run()
		event := h.accept()
		<-under
		elsewhere := newHarness(t, h.db, Config{}) // the other process
		elsewhere.integration = h.integration
		elsewhere.remove(removed, contract.CancelJobs)
		close(proceed)
		h.becomes(event, contract.EventFailed)
		require.Equal(t, 1, h.receiver.count(), "it is not tried again")
		_, jobs := h.history(event)
		for _, j := range jobs {
			require.Equal(t, "failed", j.Status)
		}
	})
}
