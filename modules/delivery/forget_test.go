package delivery

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// forget erases events as the erasure does: all in one transaction.
func (h *harness) forget(eventIDs ...string) (gone contract.ErasureCounts) {
	h.t.Helper()
	h.tx(func(ctx context.Context, tx *database.Tx) error {
		states, err := h.events.LockStates(ctx, tx, eventIDs)
		if err != nil {
			return err
		}
		if gone, err = h.Forget(ctx, tx, states); err != nil {
			return err
		}
		for _, eventID := range eventIDs {
			if err := h.events.erase(ctx, tx, eventID); err != nil {
				return err
			}
		}
		return nil
	})
	return gone
}

// answering has the receiver answer with a status and something about a person.
func answering(status int) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("hello ada@example.com"))
	}
}

func TestAnErasedEventHasNoAnswersAndNoDeadLetters(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.receiver.answers(answering(http.StatusInternalServerError))
		h.run()
		event, other := h.accept(), h.accept()
		h.becomes(event, contract.EventFailed)
		h.becomes(other, contract.EventFailed)
		require.Equal(t, contract.ErasureCounts{Answers: 3, DeadLetters: 1}, h.forget(event))
		attempts, _ := h.history(event)
		require.Len(t, attempts, 3, "that there were attempts stays")
		for _, a := range attempts {
			require.Nil(t, a.ResponseBody)
			require.Equal(t, 500, *a.HTTPStatus)
		}
		attempts, _ = h.history(other)
		require.Equal(t, "hello ada@example.com", *attempts[0].ResponseBody, "another event keeps its own")
		require.Len(t, h.deadLetters(DeadLetterFilter{}), 1)
		require.Equal(t, contract.EventFailed, h.state(event).Status)
		require.Equal(t, "the destination answered HTTP 500", *h.state(event).LastError)
		require.Zero(t, h.forget(event), "the second time there is nothing left")
	})
}

func TestWhatWaitsOfAnErasedEventIsEndedAndNeverSent(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.destination(h.receiver.URL + "/two")
		event, other := h.accept(), h.accept()
		request := h.replay(contract.ReplayOrder{EventID: event})
		require.Equal(t, contract.ErasureCounts{Deliveries: 3}, h.forget(event))
		require.Equal(t, erasedReason, *h.replays.end(request).Error)
		state := h.state(event)
		require.Equal(t, contract.EventFailed, state.Status)
		require.Equal(t, erasedReason, *state.LastError)
		_, jobs := h.history(event)
		for _, j := range jobs {
			require.Equal(t, "failed", j.Status)
			require.Equal(t, erasedReason, *j.ErrorMessage)
		}
		h.run()
		h.becomes(other, contract.EventProcessed)
		for _, got := range h.receiver.got {
			require.Equal(t, other, got.Header.Get("X-Event-Id"))
		}
	})
}

func TestAnAttemptUnderWayEndsWithoutItsAnswerAndWithoutARetry(t *testing.T) {
	for name, status := range map[string]int{"received": http.StatusOK, "not received": http.StatusInternalServerError} {
		t.Run(name, func(t *testing.T) {
			eachHarness(t, func(h *harness) {
				h.destination(h.receiver.URL)
				reached, goOn := make(chan struct{}), make(chan struct{})
				h.receiver.answers(func(n int, w http.ResponseWriter, r *http.Request) {
					reached <- struct{}{}
					<-goOn
					answering(status)(n, w, r)
				})
				stop := h.run()
				event := h.accept()
				<-reached
				require.Equal(t, contract.ErasureCounts{Deliveries: 1}, h.forget(event))
				close(goOn)
				h.eventually("the attempt to be told", func() bool { attempts, _ := h.history(event); return len(attempts) == 1 })
				stop()
				attempts, jobs := h.history(event)
				require.Nil(t, attempts[0].ResponseBody, "what came back is not kept")
				require.Equal(t, status, *attempts[0].HTTPStatus)
				require.Len(t, jobs, 1, "nothing follows")
				require.Equal(t, contract.EventFailed, h.state(event).Status)
				require.Empty(t, h.deadLetters(DeadLetterFilter{}))
			})
		})
	}
}

func TestAReplayThatWasAskedForMeanwhileEndsWithTheReason(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		stop := h.run()
		event := h.accept()
		h.becomes(event, contract.EventProcessed)
		stop()
		h.forget(event)
		request := h.replay(contract.ReplayOrder{EventID: event})
		h.run()
		h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
		require.Equal(t, erasedReason, *h.replays.end(request).Error)
		require.Len(t, h.receiver.got, 1, "the delivery from before")
		require.Equal(t, contract.EventProcessed, h.state(event).Status)
	})
}

func TestARepairMakesNoJobForAnErasedEvent(t *testing.T) {
	eachHarness(t, func(h *harness) {
		destination := h.destination(h.receiver.URL)
		h.receiver.answers(answering(http.StatusInternalServerError))
		stop := h.run()
		event := h.accept()
		h.becomes(event, contract.EventFailed)
		stop()
		h.forget(event)
		done, err := h.Repair(t.Context(), contract.Damage{Kind: contract.DamageMissingJob, EventID: event, DestinationID: destination})
		require.NoError(t, err)
		require.False(t, done, "although nothing says any more that the last one was given up on")
		_, jobs := h.history(event)
		require.Len(t, jobs, 3)
	})
}

func TestAnErasureLocksJobsInTheOrderOfClaims(t *testing.T) {
	eachHarness(t, func(h *harness) {
		if h.db.Dialect.Name != "postgres" {
			return // SQLite has one writer
		}
		h.destination(h.receiver.URL)
		first, second := h.accept(), h.accept()
		h.exec(`UPDATE processing_jobs SET status = 'running', claim_token = $1, lease_until = $2 WHERE normalized_event_id = $3`,
			id.New(), h.now().Add(time.Hour), first)
		forgotten := make(chan contract.ErasureCounts)
		h.tx(func(ctx context.Context, tx *database.Tx) error {
			lock := func(eventID, how string) error {
				var ids []string
				return tx.Select(ctx, &ids, `SELECT id FROM processing_jobs WHERE normalized_event_id = $1 FOR UPDATE`+how, eventID)
			}
			require.NoError(t, lock(first, ""))
			go func() { forgotten <- h.forget(first, second) }()
			h.eventually("the erasure to wait for the first job", func() bool {
				var waiting int
				err := h.db.Get(ctx, &waiting, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
				return err == nil && waiting > 0
			})
			require.NoError(t, lock(second, " NOWAIT"), "it has not taken the second before")
			return nil
		})
		require.Equal(t, contract.ErasureCounts{Deliveries: 2}, <-forgotten)
	})
}
