package delivery

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// A loop that waited for the database took its own pause for the destination's, and put off
// what waited for it.
func TestAStallOfTheDatabaseIsNotBlamedOnDestinations(t *testing.T) {
	url := testkit.Postgres(t)
	proxy := testkit.NewProxy(t, url)
	direct := testkit.Open(t, url)
	h := newHarness(t, testkit.Open(t, proxy.URL()), Config{PerDestination: 4})
	h.destination(h.receiver.URL)
	hold := make(chan struct{})
	h.receiver.answers(func(_ int, _ http.ResponseWriter, _ *http.Request) { <-hold })
	events := make([]string, 100)
	for i := range events {
		events[i] = h.accept()
	}
	h.run()
	h.eventually("the destination to have all it takes", func() bool { return h.receiver.count() == 4 })
	proxy.Hang()
	hung := clock.System()
	close(hold) // the next jobs' claim waits for the database
	h.eventually("the stall to last longer than a destination may be silent", func() bool {
		return clock.Now(clock.System).Since(hung) > stuckAfter+paceWindow
	})
	proxy.Resume()
	for _, eventID := range events {
		h.becomes(eventID, contract.EventProcessed)
	}
	var moved int
	require.NoError(t, direct.Get(context.Background(), &moved, `SELECT count(*) FROM processing_jobs WHERE scheduled_at IS NOT NULL`))
	require.Zero(t, moved, "no job was put off")
	require.Equal(t, 100, h.receiver.count())
}

func TestTheDeadGiveTheirPlacesBackAtOnce(t *testing.T) {
	eachHarness(t, func(h *harness) {
		shared := cache.NewMemory(0, clock.System)
		h.cache = shared
		one := 1
		made := h.add(contract.DestinationConfig{URL: &h.receiver.URL, Policy: &contract.DestinationPolicy{Concurrency: &one}})
		eventID := h.accept()
		_, jobs := h.history(eventID)
		r := newRef(eventID, jobs[0].ID)
		_, err := h.claim(context.Background(), id.New(), []ref{r})
		require.NoError(t, err)
		known, err := h.destinations.Get(context.Background(), []string{made.ID})
		require.NoError(t, err)
		ask := func(holder string) int {
			got, err := shared.Acquire(context.Background(), []cache.Acquisition{{Limits: h.limitsOf(made.ID, known[made.ID]), Holders: []string{holder}}})
			require.NoError(t, err)
			return got[0].N
		}
		require.Equal(t, 1, ask(jobs[0].ID), "its worker had begun, and died")
		require.Zero(t, ask("another"))
		h.exec(`UPDATE processing_jobs SET (lease_until, wake_at) = (` + h.db.Dialect.LeaseIn("-1000") + `, ` + h.db.Dialect.LeaseIn("-1000") + `)`)
		require.NoError(t, h.sweep(context.Background()))
		require.Equal(t, 1, ask("another"))
	})
}

func TestAFailureCountsForItsBreakerWhenItHappened(t *testing.T) {
	b := &breakers{seen: map[string]*window{}, policy: breakerPolicy{volume: 2, rate: 0.5}}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	down := response{status: 500}
	require.False(t, b.observe("d", down, now.Add(-2*time.Minute), now), "stored two minutes later, for the database was away")
	require.False(t, b.observe("d", down, now, now), "it is the only one of this minute")
	require.False(t, b.observe("d", down, now.Add(-2*time.Minute), now), "an older one does not take its place")
	require.True(t, b.observe("d", down, now, now))
}
