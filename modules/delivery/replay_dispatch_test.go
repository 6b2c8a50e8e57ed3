package delivery

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

func TestAReplayHasANewBudgetAndNumbersThatRunOn(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.receiver.answers(status500)
		h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventFailed)
		h.receiver.answers(func(n int, w http.ResponseWriter, _ *http.Request) {
			if n < 5 {
				w.WriteHeader(500)
			}
		})
		request := h.replay(contract.ReplayOrder{EventID: eventID})
		h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
		require.False(t, h.replays.end(request).Failed)
		require.Equal(t, contract.EventProcessed, h.state(eventID).Status)
		attempts, jobs := h.history(eventID)
		require.Len(t, attempts, 5)
		require.Equal(t, 5, attempts[4].AttemptNo)
		require.Len(t, jobs, 6, "three of the first budget, the dispatch, and two of the second")
		require.Nil(t, jobs[3].DestinationID)
		require.Equal(t, "ig.events.replay", jobs[3].QueueName)
	})
}

func TestAReplayThatFailsEndsAsFailed(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.receiver.answers(status500)
		h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventFailed)
		request := h.replay(contract.ReplayOrder{EventID: eventID})
		h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
		require.True(t, h.replays.end(request).Failed)
		require.Contains(t, *h.replays.end(request).Error, "HTTP 500")
		attempts, _ := h.history(eventID)
		require.Len(t, attempts, 6)
	})
}

func TestAReplaySupersedesARetryThatWaits(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		h := newHarness(t, db, Config{RetryBase: time.Hour})
		h.destination(h.receiver.URL)
		h.receiver.answers(func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				w.WriteHeader(500)
			}
		})
		h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventRetrying)
		request := h.replay(contract.ReplayOrder{EventID: eventID})
		h.becomes(eventID, contract.EventProcessed)
		h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
		_, jobs := h.history(eventID)
		require.Contains(t, *jobs[1].ErrorMessage, "superseded by replay")
		require.Equal(t, "failed", jobs[1].Status)
		require.Equal(t, 2, h.receiver.count())
	})
}

func TestAReplayWaitsForTheAttemptUnderWay(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		began, release := make(chan struct{}, 1), make(chan struct{})
		h.receiver.answers(func(n int, _ http.ResponseWriter, r *http.Request) {
			if n == 1 {
				began <- struct{}{}
				select {
				case <-release:
				case <-r.Context().Done():
				}
			}
		})
		h.run()
		eventID := h.accept()
		<-began
		request := h.replay(contract.ReplayOrder{EventID: eventID})
		h.eventually("the dispatch to be given back", func() bool {
			var n int
			require.NoError(t, h.db.Get(context.Background(), &n,
				`SELECT count(*) FROM processing_jobs WHERE destination_id IS NULL AND status = 'queued' AND scheduled_at > created_at`))
			return n == 1
		})
		require.Equal(t, 1, h.receiver.count())
		close(release)

		h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
		require.Equal(t, 2, h.receiver.count())
		attempts, _ := h.history(eventID)
		require.Equal(t, 2, attempts[1].AttemptNo)
	})
}

func TestReplaysAtOnceEachReachAnEnd(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventProcessed)
		var requests []string
		for range 5 {
			requests = append(requests, h.replay(contract.ReplayOrder{EventID: eventID}))
		}
		for _, r := range requests {
			h.eventually("every replay to end", func() bool { return h.replays.end(r) != nil })
		}
		h.becomes(eventID, contract.EventProcessed)
		attempts, _ := h.history(eventID)
		for i, a := range attempts {
			require.Equal(t, i+1, a.AttemptNo)
		}
	})
}

func TestFanOutAndWhereAReplayGoes(t *testing.T) {
	eachHarness(t, func(h *harness) {
		bad := newReceiver(t)
		bad.answers(status500)
		good, failing := h.destination(h.receiver.URL), h.destination(bad.URL)
		h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventFailed)
		require.Equal(t, 1, h.receiver.count())
		require.Equal(t, 3, bad.count())

		bad.answers(nil)
		request := h.replay(contract.ReplayOrder{EventID: eventID, OnlyFailed: true})
		h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
		require.Equal(t, contract.EventProcessed, h.state(eventID).Status)
		require.Equal(t, 1, h.receiver.count(), "what was received is left alone")
		require.Equal(t, 4, bad.count())

		request = h.replay(contract.ReplayOrder{EventID: eventID, DestinationID: &good})
		h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
		require.Equal(t, 2, h.receiver.count())
		require.Equal(t, 4, bad.count())

		request = h.replay(contract.ReplayOrder{EventID: eventID, DestinationID: &failing, OnlyFailed: true})
		h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
		require.True(t, h.replays.end(request).Failed, "a replay that goes nowhere says so")
	})
}

func TestAReplayToAStrangersDestinationIsRefused(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		eventID, stranger := h.accept(), id.New()
		err := h.db.InTx(context.Background(), func(tx *database.Tx) error {
			return h.Dispatch(context.Background(), tx, contract.ReplayOrder{RequestID: id.New(), EventID: eventID, DestinationID: &stranger}, h.integration)
		})
		require.True(t, fault.Is(err, fault.Invalid))
	})
}
