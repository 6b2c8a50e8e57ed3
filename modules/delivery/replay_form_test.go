package delivery

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

// received are the bodies that the destinations got.
func (h *harness) received() (list []string) {
	h.receiver.mu.Lock()
	defer h.receiver.mu.Unlock()
	for _, body := range h.receiver.bodies {
		list = append(list, string(body))
	}
	return list
}

// replayRenormalized replays an event in the form that the mapping of now makes of it.
func (h *harness) replayRenormalized(eventID string, form contract.Renormalized) string {
	form.EventID = eventID
	h.events.mu.Lock()
	h.events.renormalized = map[string]contract.Renormalized{eventID: form}
	h.events.mu.Unlock()
	request := id.New()
	h.replays.mu.Lock()
	h.replays.renormalized = map[string]bool{request: true}
	h.replays.mu.Unlock()
	o := contract.ReplayOrder{RequestID: request, EventID: eventID}
	h.replays.add(o)
	h.tx(func(ctx context.Context, tx *database.Tx) error { return h.Dispatch(ctx, tx, o, h.integration) })
	return request
}

func TestAReplaySendsTheFormOfNowWithItsRetries(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventProcessed)
		stored := h.received()[0]
		h.receiver.answers(func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 2 {
				w.WriteHeader(500)
			}
		})
		request := h.replayRenormalized(eventID, contract.Renormalized{EventType: "order.made", Payload: []byte(`{"eventType":"order.made"}`)})
		h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
		require.False(t, h.replays.end(request).Failed)
		require.Equal(t, []string{stored, `{"eventType":"order.made"}`, `{"eventType":"order.made"}`}, h.received())

		again := h.replay(contract.ReplayOrder{EventID: eventID})
		h.eventually("the replay to end", func() bool { return h.replays.end(again) != nil })
		require.Equal(t, stored, h.received()[3], "another replay sends what is stored")
	})
}

func TestAnEventWithoutAFormOfNowIsADeadLetterAtOnce(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventProcessed)
		request := h.replayRenormalized(eventID, contract.Renormalized{Problem: errors.New("there is no type")})
		h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
		require.Equal(t, "the event cannot be normalized again: there is no type", *h.replays.end(request).Error)
		attempts, _ := h.history(eventID)
		require.Len(t, attempts, 2, "there is no use in another")
		require.Equal(t, failedUnsent, *attempts[1].ErrorKind)
		require.Len(t, h.deadLetters(DeadLetterFilter{}), 1)
		require.Len(t, h.received(), 1)

		request = h.replayRenormalized(eventID, contract.Renormalized{Problem: fault.Unavailable.New("source_broken", "It is being mended.")})
		h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
		attempts, _ = h.history(eventID)
		require.Len(t, attempts, 5, "what may pass is tried again")
	})
}

func TestWhatIsSentOnceLeavesTheEventAlone(t *testing.T) {
	eachHarness(t, func(h *harness) {
		signing := secret.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
		eventID := h.accept()
		once := contract.SendOnce{EventID: eventID, URL: h.receiver.URL, Secret: signing, Attempt: 1}
		h.receiver.answers(func(n int, w http.ResponseWriter, r *http.Request) {
			switch n {
			case 1:
				w.WriteHeader(503)
				_, _ = w.Write([]byte(signing.Reveal()))
			case 2:
				w.WriteHeader(503)
			case 3:
				w.WriteHeader(410)
			}
		})
		sent, err := h.SendOnce(t.Context(), once)
		require.NoError(t, err)
		require.Equal(t, contract.SentOnce{Wait: sent.Wait, Status: 503, ErrorKind: sent.ErrorKind, Error: sent.Error}, sent)
		require.Positive(t, sent.Wait, "it is tried again, like a delivery")
		require.Equal(t, "http_status", *sent.ErrorKind)
		once.Attempt = 3
		sent, err = h.SendOnce(t.Context(), once)
		require.NoError(t, err)
		require.True(t, sent.Final, "the budget is used up")
		once.Attempt = 1
		sent, err = h.SendOnce(t.Context(), once)
		require.NoError(t, err)
		require.True(t, sent.Final, "the receiver is gone")
		sent, err = h.SendOnce(t.Context(), once)
		require.NoError(t, err)
		require.Equal(t, contract.SentOnce{Received: true, Final: true, Status: 200}, sent)
		signedBy(t, h.receiver.got[3], "Webhook-", signing.Reveal(), h.received()[3])

		attempts, jobs := h.history(eventID)
		require.Empty(t, attempts)
		require.Empty(t, jobs)
		require.Equal(t, contract.EventPending, h.state(eventID).Status, "the event had no destination, and nothing has become of it")
		require.Empty(t, h.deadLetters(DeadLetterFilter{}))

		once.EventID = id.New()
		sent, err = h.SendOnce(t.Context(), once)
		require.NoError(t, err)
		require.True(t, sent.Final && !sent.Received, "an event that was erased")
		require.Contains(t, *sent.Error, "erased")
	})
}

func TestAnAttemptThatIsInterruptedHasNoResult(t *testing.T) {
	eachHarness(t, func(h *harness) {
		life, end := context.WithCancel(t.Context())
		h.receiver.answers(func(int, http.ResponseWriter, *http.Request) { end() })
		_, err := h.SendOnce(life, contract.SendOnce{EventID: h.accept(), URL: h.receiver.URL, Secret: secret.New("whsec_x"), Attempt: 1})
		require.True(t, err == nil || errors.Is(err, context.Canceled), "it ended or was interrupted")
		_, err = h.SendOnce(life, contract.SendOnce{EventID: h.accept(), URL: h.receiver.URL, Secret: secret.New("whsec_x"), Attempt: 1})
		require.ErrorIs(t, err, context.Canceled)
	})
}

// A destination is never removed from the table; a job of one that is gone waited, parked, for ever.
func TestAJobOfALostDestinationBecomesADeadLetter(t *testing.T) {
	eachHarness(t, func(h *harness) {
		was, other, lost := h.destination(h.receiver.URL), h.destination(h.receiver.URL+"/other"), id.New()
		eventID := h.accept()
		require.EqualValues(t, 1, h.exec(`UPDATE processing_jobs SET destination_id = $1 WHERE destination_id = $2`, lost, was))
		h.run()
		h.becomes(eventID, contract.EventFailed)
		letters := h.deadLetters(DeadLetterFilter{})
		require.Len(t, letters, 1)
		require.Equal(t, destinationGone, letters[0].Reason)
		require.Equal(t, lost, *letters[0].DestinationID)
		attempts, _ := h.history(eventID)
		require.Len(t, attempts, 1, "nothing was sent for it")
		require.Equal(t, other, attempts[0].DestinationID)
		require.Equal(t, destinationGone, *h.state(eventID).LastError)
	})
}

func TestAParkedJobOfALostDestinationIsReleasedByARepair(t *testing.T) {
	eachHarness(t, func(h *harness) {
		was, lost := h.destination(h.receiver.URL), id.New()
		eventID := h.accept()
		_, jobs := h.history(eventID)
		damage := contract.Damage{Kind: contract.DamageDestination, EventID: eventID, JobID: jobs[0].ID, DestinationID: lost}
		h.exec(`UPDATE processing_jobs SET parked = true, wake_at = NULL, published_at = NULL`)
		done, err := h.Repair(t.Context(), damage)
		require.NoError(t, err)
		require.False(t, done, "its destination is there")
		h.exec(`UPDATE processing_jobs SET destination_id = $1 WHERE destination_id = $2`, lost, was)
		done, err = h.Repair(t.Context(), damage)
		require.NoError(t, err)
		require.True(t, done)
		h.run()
		h.becomes(eventID, contract.EventFailed)
		require.Equal(t, destinationGone, h.deadLetters(DeadLetterFilter{})[0].Reason)
	})
}

func TestAJobOfALostEventEnds(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		eventID := h.accept()
		h.events.mu.Lock()
		delete(h.events.payloads, eventID)
		h.events.mu.Unlock()
		h.exec(`DELETE FROM event_states WHERE event_id = $1`, eventID)
		h.run()
		h.eventually("the job to end", func() bool {
			_, jobs := h.history(eventID)
			return jobs[0].Status == string(failed) && *jobs[0].ErrorMessage == eventGone
		})
		require.Empty(t, h.deadLetters(DeadLetterFilter{}), "there is nothing to send again")
	})
}

// What is sent for an event without a state cannot be recorded, so that it was sent again and again.
func TestAReplayOfAnEventWithoutAStateEnds(t *testing.T) {
	eachHarness(t, func(h *harness) {
		destination := h.destination(h.receiver.URL)
		h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventProcessed)
		h.exec(`DELETE FROM event_states WHERE event_id = $1`, eventID)
		single := h.replay(contract.ReplayOrder{EventID: eventID})
		bulk := contract.ReplayOrder{RequestID: id.New(), EventID: eventID, DestinationID: &destination}
		h.replays.add(bulk)
		h.tx(func(ctx context.Context, tx *database.Tx) error {
			return h.DispatchAll(ctx, tx, []contract.ReplayOrder{bulk})
		})
		for _, request := range []string{single, bulk.RequestID} {
			h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
			require.Equal(t, eventGone, *h.replays.end(request).Error)
		}
		require.Len(t, h.received(), 1)
	})
}
