package delivery

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

func TestABreakerTrips(t *testing.T) {
	p := breakerPolicy{volume: 20, rate: 0.8, probe: 5 * time.Second, reach: time.Minute}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		sentence   string
		bad, good  int
		apart      time.Duration
		trips      bool
		afterwards time.Duration
	}{
		{"a handful of failures in a row is no outage", 19, 0, 0, false, 0},
		{"the volume with nothing but failures is", 20, 0, 0, true, 0},
		{"so is the rate, exactly", 16, 4, 0, true, 0},
		{"one below the rate is not", 15, 5, 0, false, 0},
		{"failures spread over more than the window are not", 20, 0, 4 * time.Second, false, 0},
		{"what is a minute old is forgotten", 20, 0, 0, false, time.Minute},
		{"what is younger is not", 20, 0, 0, true, 54 * time.Second},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			w, now := &window{}, start
			for i := range c.bad + c.good {
				w.add(i < c.bad, now)
				now = now.Add(c.apart)
			}
			require.Equal(t, c.trips, w.trips(p, now.Add(c.afterwards)))
		})
	}
	for trips, want := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute} {
		require.Equal(t, want, p.wait(trips))
	}
}

func TestWhatSpeaksOfTheDestinationAndNotOfTheEvent(t *testing.T) {
	for status, down := range map[int]bool{0: true, 200: false, 302: false, 400: false, 404: false, 408: true, 410: false, 429: true, 500: true, 503: true} {
		require.Equal(t, down, response{status: status}.down(), status)
	}
}

// A destination that is down costs its events no attempts beyond those that showed it,
// and gets all of them once it is back.
func TestADestinationThatIsDownIsProbedAndComesBack(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		h := newHarness(t, db, Config{BreakerProbe: 100 * time.Millisecond, RetryBase: 50 * time.Millisecond, MaxAttempts: 8, PerDestination: 4})
		dead := newReceiver(t)
		dead.answers(status500)
		deadID := h.destination(dead.URL)
		h.run()
		var ids []string
		for range 30 {
			ids = append(ids, h.accept())
		}
		breaker := func() string {
			list, err := h.Destinations(context.Background(), []string{h.integration})
			require.NoError(t, err)
			return list[0].Breaker
		}
		h.eventually("the breaker to open", func() bool { return breaker() != "closed" })
		h.eventually("a probe to fail", func() bool {
			var trips int
			require.NoError(t, db.Get(context.Background(), &trips, `SELECT COALESCE(max(trips), 0) FROM destination_breakers`))
			return trips > 0
		})
		h.eventually("all jobs to be parked", func() bool {
			var loose int
			require.NoError(t, db.Get(context.Background(), &loose, `SELECT count(*) FROM processing_jobs WHERE status = 'queued' AND NOT parked`))
			return loose <= 1
		})
		dead.answers(nil)
		for _, eventID := range ids {
			h.becomes(eventID, contract.EventProcessed)
		}
		h.eventually("the breaker to close", func() bool { return breaker() == "closed" })
		h.audited(deadID, "destination.created", "destination.breaker_opened", "destination.breaker_closed")
	})
}
