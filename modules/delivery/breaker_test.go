package delivery

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
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

// A worker that had not heard of another process's probe parked it, and the next one came
// only when that one counted as lost.
func TestAProbeThatAnotherProcessLetsThroughIsSent(t *testing.T) {
	eachHarness(t, func(h *harness) {
		id := h.destination(h.receiver.URL)
		event := h.accept()
		h.exec(`INSERT INTO destination_breakers (destination_id, state, until, trips, opened_at) VALUES ($1, 'open', $2, 0, $2)`, id, h.now())
		h.exec(`UPDATE processing_jobs SET parked = true, wake_at = NULL`)
		h.destinations.Changed(h.integration)
		known, err := h.destinations.Of(context.Background(), h.integration)
		require.NoError(t, err)
		require.False(t, known[0].Flows(), "this process knows of the open breaker")

		elsewhere := newHarness(t, h.db, Config{})
		require.NoError(t, elsewhere.unpark(context.Background()))
		require.NoError(t, h.relay(context.Background()))
		ctx, end := context.WithCancel(context.Background())
		var working sync.WaitGroup
		working.Go(func() { _ = h.Work(ctx, []contract.Queue{contract.ProcessQueue}) })
		defer func() { end(); working.Wait() }()
		h.becomes(event, contract.EventProcessed)
		h.eventually("the breaker to close", func() bool {
			var n int
			require.NoError(t, h.db.Get(context.Background(), &n, `SELECT count(*) FROM destination_breakers`))
			return n == 0
		})
	})
}

// A worker whose cache still said "open" claimed a batch of retries, and sent all of them when
// the database said that the destination was being probed.
func TestABatchClaimedForAProbedDestinationSendsOneJob(t *testing.T) {
	eachHarness(t, func(h *harness) {
		ctx := context.Background()
		destinationID := h.destination(h.receiver.URL)
		var refs []ref
		for range 3 {
			h.accept()
			refs = append(refs, (<-h.publisher.queue).ref)
		}
		h.exec(`INSERT INTO destination_breakers (destination_id, state, until, trips, opened_at) VALUES ($1, 'open', $2, 0, $2)`, destinationID, h.now())
		_, err := h.destinations.GetAgain(ctx, []string{destinationID})
		require.NoError(t, err)
		h.exec(`UPDATE destination_breakers SET state = 'half_open'`)
		jobs, err := h.claim(ctx, id.New(), refs)
		require.NoError(t, err)
		ready, back, err := h.prepare(ctx, jobs, map[string]queuedJob{})
		require.NoError(t, err)
		require.Len(t, ready, 1)
		require.Len(t, back, 2)
		for _, r := range back {
			require.False(t, r.parked, "one of them may be the probe")
		}
	})
}

// losing is a broker that has lost queues.
type losing struct {
	broker.Broker
	lost chan broker.Queue
}

// Lost gives what was lost.
func (l losing) Lost() <-chan broker.Queue { return l.lost }

func TestLossesThatWaitedAreMadeUpForOnce(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)), Config{})
	lost := losing{h.broker, make(chan broker.Queue, 8)}
	h.Module.broker = lost
	for _, queue := range []broker.Queue{broker.Process, broker.Replay, broker.Process, broker.Dead} {
		lost.lost <- queue
	}
	require.Equal(t, []broker.Queue{broker.Process, broker.Replay}, h.lostQueues(broker.Delayed))
	require.Equal(t, []broker.Queue{broker.Delayed}, h.lostQueues(broker.Delayed))
	require.Empty(t, h.lostQueues(broker.Dead))
}
