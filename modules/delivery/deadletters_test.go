package delivery

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// fakeReplayer puts requests on the replay queue, as the replay module does.
type fakeReplayer struct {
	h    *harness
	err  error
	asks []contract.ReplayRequest
}

func (f *fakeReplayer) Request(ctx context.Context, tx *database.Tx, a contract.ReplayRequest) (string, error) {
	if f.err != nil {
		return "", f.err
	}
	f.asks = append(f.asks, a)
	o := contract.ReplayOrder{RequestID: id.New(), EventID: a.EventID, DestinationID: &a.DestinationID}
	f.h.replays.add(o)
	return o.RequestID, f.h.Dispatch(ctx, tx, o, f.h.integration)
}

func eachDeadHarness(t *testing.T, test func(h *harness, r *fakeReplayer)) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		h := newHarness(t, db, Config{MaxAttempts: 2})
		r := &fakeReplayer{h: h}
		h.replayer = r
		test(h, r)
	})
}

func (h *harness) deadLetters(f DeadLetterFilter) []DeadLetter {
	h.t.Helper()
	list, err := h.DeadLetters(context.Background(), f, database.Page{Number: 1, Size: 100})
	require.NoError(h.t, err)
	return list.Items
}

// failed has an event given up on and gives its dead letter.
func (h *harness) failed() DeadLetter {
	h.t.Helper()
	eventID := h.accept()
	h.becomes(eventID, contract.EventFailed)
	list := h.deadLetters(DeadLetterFilter{EventID: eventID})
	require.Len(h.t, list, 1)
	return list[0]
}

func TestWhatIsGivenUpOnBecomesADeadLetter(t *testing.T) {
	for _, c := range []struct {
		sentence       string
		status         int
		kind, reason   string
		attempts       int
		queue, trigger string
	}{
		{"a budget that is used up", 500, "exhausted", "the destination answered HTTP 500", 2, "ig.events.retry", "retry"},
		{"a destination that is gone", 410, "refused", "the destination answered HTTP 410", 1, "ig.events.process", "webhook"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			eachDeadHarness(t, func(h *harness, _ *fakeReplayer) {
				destinationID := h.destination(h.receiver.URL)
				h.receiver.answers(func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c.status) })
				h.run()
				d := h.failed()
				require.Equal(t, c.kind, d.Kind)
				require.Equal(t, c.reason, d.Reason)
				require.Equal(t, c.attempts, d.Attempts)
				require.Equal(t, c.queue, d.Queue)
				require.Equal(t, "open", d.Status)
				require.Equal(t, destinationID, *d.DestinationID)
				require.Equal(t, "acme", *d.Source)
				require.Equal(t, "acme", *d.Provider)
				require.Equal(t, "order.created", *d.EventType)
				_, jobs := h.history(*d.EventID)
				last := jobs[len(jobs)-1]
				require.Equal(t, last.ID, *d.JobID)
				require.Equal(t, contract.Trigger(c.trigger), last.TriggeredBy)
			})
		})
	}
}

func TestADeliveryThatSucceedsLeavesNoDeadLetter(t *testing.T) {
	eachDeadHarness(t, func(h *harness, _ *fakeReplayer) {
		h.destination(h.receiver.URL)
		h.receiver.answers(func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				w.WriteHeader(500)
			}
		})
		h.run()
		h.becomes(h.accept(), contract.EventProcessed)
		require.Empty(t, h.deadLetters(DeadLetterFilter{}))
	})
}

func TestARequeueIsAReplayWithAnEnd(t *testing.T) {
	eachDeadHarness(t, func(h *harness, r *fakeReplayer) {
		h.destination(h.receiver.URL)
		h.receiver.answers(status500)
		call := h.api()
		h.run()
		d := h.failed()

		code, answer := call(http.MethodPost, "/dead-letters/"+strings.ToUpper(d.ID)+"/requeue", "")
		require.Equal(t, 202, code, answer)
		data := answer["data"].(map[string]any)
		require.Equal(t, "requeued", data["status"])
		require.Equal(t, "api-user", data["requeuedBy"])
		require.NotNil(t, data["requeuedAt"])
		request := data["replayRequestId"].(string)
		require.Equal(t, []contract.ReplayRequest{{EventID: *d.EventID, DestinationID: *d.DestinationID, RequestedBy: "api-user",
			Reason: "requeue of dead letter " + d.ID, Actor: "management-key"}}, r.asks)
		h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
		require.True(t, h.replays.end(request).Failed)
		require.Equal(t, []string{"dead_letter.requeued"}, h.audit.actions(d.ID))

		again := h.deadLetters(DeadLetterFilter{EventID: *d.EventID})
		require.Len(t, again, 2, "a requeue that fails again leaves a new one")
		require.Equal(t, "open", again[0].Status)
		require.Equal(t, 4, again[0].Attempts)
		require.Equal(t, "requeued", again[1].Status)

		code, answer = call(http.MethodPost, "/dead-letters/"+d.ID+"/requeue", "")
		require.Equal(t, 409, code, "it was requeued already: %v", answer)

		h.receiver.answers(nil)
		code, answer = call(http.MethodPost, "/dead-letters/"+again[0].ID+"/requeue", `{"requestedBy":" ada ","reason":"the consumer is back"}`)
		require.Equal(t, 202, code, answer)
		require.Equal(t, "ada", r.asks[1].RequestedBy)
		require.Equal(t, "the consumer is back", r.asks[1].Reason)
		h.becomes(*d.EventID, contract.EventProcessed)
		for _, d := range h.deadLetters(DeadLetterFilter{EventID: *d.EventID}) {
			require.Equal(t, "resolved", d.Status, "the destination has received it")
			require.NotNil(t, d.ResolvedAt)
		}
	})
}

func TestAReplayThatIsReceivedResolvesTheDeadLetter(t *testing.T) {
	eachDeadHarness(t, func(h *harness, _ *fakeReplayer) {
		h.destination(h.receiver.URL + "/one")
		other := h.destination(h.receiver.URL + "/other")
		h.receiver.answers(status500)
		call := h.api()
		h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventFailed)
		h.receiver.answers(nil)
		request := h.replay(contract.ReplayOrder{EventID: eventID, DestinationID: &other})
		h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
		for _, d := range h.deadLetters(DeadLetterFilter{EventID: eventID}) {
			want, code := "open", 202
			if *d.DestinationID == other {
				want, code = "resolved", 409
			}
			require.Equal(t, want, d.Status)
			got, _ := call(http.MethodPost, "/dead-letters/"+d.ID+"/requeue", "")
			require.Equal(t, code, got)
		}
	})
}

func TestARequeueThatCannotBe(t *testing.T) {
	eachDeadHarness(t, func(h *harness, r *fakeReplayer) {
		h.destination(h.receiver.URL)
		h.receiver.answers(func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) })
		call := h.api()
		stop := h.run()
		d := h.failed()
		stop()
		for _, c := range []struct {
			sentence string
			err      error
			status   int
		}{
			{"an event that is gone", fault.NotFound.New("event_not_found", "There is no event."), 409},
			{"a destination that is gone", fault.Invalid.New("unknown_destination", "No such destination."), 409},
			{"a database that is away", fault.Unavailable.New("database_unavailable", "It does not answer."), 503},
		} {
			r.err = c.err
			code, answer := call(http.MethodPost, "/dead-letters/"+d.ID+"/requeue", "")
			require.Equal(t, c.status, code, "%s: %v", c.sentence, answer)
		}
		require.Equal(t, "open", h.deadLetters(DeadLetterFilter{})[0].Status)
		require.Empty(t, h.audit.actions(d.ID))
		code, answer := call(http.MethodPost, "/dead-letters/requeue", `{"all":true}`)
		require.Equal(t, 503, code, answer)
		r.err = fault.NotFound.New("event_not_found", "There is no event.")
		code, answer = call(http.MethodPost, "/dead-letters/requeue", `{"all":true}`)
		require.Equal(t, 202, code)
		require.Equal(t, map[string]any{"matched": 1.0, "requeued": 0.0, "failed": 1.0, "skipped": 0.0}, answer["data"])
	})
}

func TestADeadLetterIsClosedByHand(t *testing.T) {
	eachDeadHarness(t, func(h *harness, r *fakeReplayer) {
		h.destination(h.receiver.URL)
		h.receiver.answers(status500)
		call := h.api()
		h.run()
		d := h.failed()
		path := "/dead-letters/" + d.ID + "/resolve"
		code, answer := call(http.MethodPost, path, `{"requestedBy":"a"}`)
		require.Equal(t, 400, code, answer)
		code, answer = call(http.MethodPost, path, `{"requestedBy":" ada ","reason":"corrected by hand"}`)
		require.Equal(t, 200, code, answer)
		data := answer["data"].(map[string]any)
		require.Equal(t, "resolved", data["status"])
		require.Equal(t, "ada", data["resolvedBy"])
		require.Equal(t, "corrected by hand", data["resolution"])
		require.NotNil(t, data["resolvedAt"])
		require.Equal(t, []string{"dead_letter.resolved"}, h.audit.actions(d.ID))
		require.Empty(t, r.asks, "nothing is sent")
		for _, again := range []string{path, "/dead-letters/" + d.ID + "/requeue"} {
			code, answer = call(http.MethodPost, again, `{"reason":"once more"}`)
			require.Equal(t, 409, code, answer)
		}
		code, _ = call(http.MethodPost, "/dead-letters/"+id.New()+"/resolve", `{"reason":"once more"}`)
		require.Equal(t, 404, code)
		h.becomes(*d.EventID, contract.EventFailed)
	})
}

func TestDeadLettersAreRequeuedInBulk(t *testing.T) {
	eachDeadHarness(t, func(h *harness, _ *fakeReplayer) {
		h.destination(h.receiver.URL)
		h.receiver.answers(func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) })
		call := h.api()
		stop := h.run()
		first, second, third := h.failed(), h.failed(), h.failed()
		stop()
		bulk := func(body string, status int, want ...float64) {
			code, answer := call(http.MethodPost, "/dead-letters/requeue", body)
			require.Equal(t, status, code, answer)
			require.Equal(t, map[string]any{"matched": want[0], "requeued": want[1], "failed": 0.0, "skipped": 0.0}, answer["data"], body)
		}
		bulk(`{"dryRun":true,"all":true}`, 200, 3, 0)
		bulk(`{"kind":"exhausted","dryRun":true}`, 200, 0, 0)
		bulk(`{"eventId":"`+*second.EventID+`"}`, 202, 1, 1)
		bulk(`{"source":"acme","provider":"acme","eventType":"order.created","status":"open","limit":1}`, 202, 2, 1)
		require.Equal(t, "requeued", h.deadLetters(DeadLetterFilter{EventID: *first.EventID})[0].Status, "the oldest first")
		h.run()
		bulk(`{"all":true}`, 202, 1, 1) // not those that it makes itself, by failing again
		h.eventually("three new ones", func() bool { return len(h.deadLetters(DeadLetterFilter{})) == 6 })
		require.Equal(t, []string{"dead_letter.requeued"}, h.audit.actions(third.ID))

		for body, field := range map[string]string{`{"kind":"lost"}`: "kind", `{"status":"requeued"}`: "status", `{"limit":0}`: "limit",
			`{"limit":1001}`: "limit", `{"eventId":"7"}`: "eventId", `{"from":"yesterday"}`: "from", `{"typo":1}`: "typo", `{"reason":"x"}`: "reason",
			`{}`: "all", `{"dryRun":true}`: "all", `{"source":"acme","kind":""}`: "kind", `{"status":"open"}`: "all", `{"all":true,"source":"acme"}`: "all", `{"destination_id":"7"}`: "did you mean destinationId"} {
			code, answer := call(http.MethodPost, "/dead-letters/requeue", body)
			require.Equal(t, 400, code, body)
			require.Contains(t, fmt.Sprint(answer["error"]), field)
		}
	})
}

func TestDeadLettersAreListedAndFound(t *testing.T) {
	eachDeadHarness(t, func(h *harness, _ *fakeReplayer) {
		destinationID := h.destination(h.receiver.URL)
		h.receiver.answers(func(n int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500 - 90*(n/3)) }) // the third is a 410
		call := h.api()
		h.run()
		exhausted, refused := h.failed(), h.failed()
		for query, want := range map[string][]string{
			"":                                    {refused.ID, exhausted.ID},
			"?kind=refused":                       {refused.ID},
			"?status=open":                        {refused.ID, exhausted.ID},
			"?status=requeued":                    {},
			"?source=acme&provider=acme":          {refused.ID, exhausted.ID},
			"?source=globex":                      {},
			"?eventType=order.created":            {refused.ID, exhausted.ID},
			"?destinationId=" + destinationID:     {refused.ID, exhausted.ID},
			"?eventId=" + *exhausted.EventID:      {exhausted.ID},
			"?from=" + refused.CreatedAt.String(): {refused.ID},
			"?to=" + exhausted.CreatedAt.String(): {exhausted.ID},
			"?page=2&pageSize=1":                  {exhausted.ID},
		} {
			code, answer := call(http.MethodGet, "/dead-letters"+query, "")
			require.Equal(t, 200, code, query)
			ids := []string{}
			for _, item := range answer["data"].([]any) {
				require.NotContains(t, item, "body", "a list has no bodies")
				ids = append(ids, item.(map[string]any)["id"].(string))
			}
			require.Equal(t, want, ids, query)
		}
		_, answer := call(http.MethodGet, "/dead-letters?pageSize=1", "")
		next := answer["meta"].(map[string]any)["nextCursor"].(string)
		_, answer = call(http.MethodGet, "/dead-letters?pageSize=1&cursor="+next, "")
		require.Equal(t, exhausted.ID, answer["data"].([]any)[0].(map[string]any)["id"])
		_, answer = call(http.MethodGet, "/dead-letters/"+refused.ID, "")
		require.Contains(t, answer["data"], "body")
		require.Nil(t, answer["data"].(map[string]any)["replayRequestId"])

		for path, status := range map[string]int{"?kind=lost": 400, "?status=all": 400, "?eventId=7": 400, "?destinationId=7": 400, "?from=x": 400,
			"?to=x": 400, "?page=0": 400, "?cursor=x": 400, "/7": 400, "/" + id.New(): 404} {
			code, answer := call(http.MethodGet, "/dead-letters"+path, "")
			require.Equal(t, status, code, "%s: %v", path, answer)
		}
		code, _ := call(http.MethodPost, "/dead-letters/"+id.New()+"/requeue", "")
		require.Equal(t, 404, code)
		code, _ = call(http.MethodPost, "/dead-letters/"+refused.ID+"/requeue", `{"requestedBy":"x"}`)
		require.Equal(t, 400, code)
	})
}

func TestDeadLettersNeedTheManagementKey(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)), Config{})
	for _, route := range []struct{ method, path string }{
		{http.MethodGet, "/dead-letters"}, {http.MethodGet, "/dead-letters/" + id.New()},
		{http.MethodPost, "/dead-letters/" + id.New() + "/requeue"}, {http.MethodPost, "/dead-letters/requeue"},
	} {
		code, answer := h.apiAs("wrong")(route.method, route.path, "")
		require.Equal(t, 401, code, route.path)
		require.Nil(t, answer["data"])
	}
}

func TestAMessageThatNobodyCanReadIsKept(t *testing.T) {
	eachDeadHarness(t, func(h *harness, _ *fakeReplayer) {
		call := h.api()
		h.run()
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- h.EmptyDeadQueue(ctx) }()
		defer func() { cancel(); require.NoError(t, <-ended) }()

		body := []byte("{\"v\":7}\x00\xff")
		require.NoError(t, h.broker.Publish(ctx, []broker.Message{{Queue: broker.Process, Body: body}})[0])
		open := DeadLetterFilter{Kind: deadUnreadable, Status: deadOpen}
		h.eventually("the message in the table", func() bool { return len(h.deadLetters(open)) == 1 })
		d := h.deadLetters(open)[0]
		require.Equal(t, "ig.events.dead", d.Queue)
		require.Contains(t, d.Reason, "(9 bytes)")
		require.Nil(t, d.EventID)

		_, answer := call(http.MethodGet, "/dead-letters/"+d.ID, "")
		require.Equal(t, base64.StdEncoding.EncodeToString(body), answer["data"].(map[string]any)["body"])
		code, answer := call(http.MethodPost, "/dead-letters/"+d.ID+"/requeue", "")
		require.Equal(t, 202, code, answer)
		require.Nil(t, answer["data"].(map[string]any)["replayRequestId"])
		h.eventually("it comes back, as it still is unreadable", func() bool {
			list := h.deadLetters(open)
			return len(list) == 1 && list[0].ID != d.ID
		})
	})
}

func TestALongMessageIsCut(t *testing.T) {
	eachDeadHarness(t, func(h *harness, _ *fakeReplayer) {
		call := h.api()
		for n, status := range map[int]int{maxDeadBody - 1: 202, maxDeadBody: 409, maxDeadBody + 1: 409} {
			h.storeDeadLetters(context.Background(), []broker.Delivery{{Body: []byte(strings.Repeat("x", n)), Ack: func() {}}})
			d := h.deadLetters(DeadLetterFilter{Status: deadOpen})[0]
			require.Contains(t, d.Reason, fmt.Sprintf("(%d bytes)", n))
			full, err := h.DeadLetter(context.Background(), d.ID)
			require.NoError(t, err)
			require.Len(t, full.Body, min(n, maxDeadBody))
			code, answer := call(http.MethodPost, "/dead-letters/"+d.ID+"/requeue", "")
			require.Equal(t, status, code, answer)
			h.exec(`DELETE FROM dead_letters`)
		}
	})
}

func TestADeadMessageIsAcknowledgedAfterTheCommit(t *testing.T) {
	eachDeadHarness(t, func(h *harness, _ *fakeReplayer) {
		h.exec(`ALTER TABLE dead_letters RENAME TO away`)
		var acked, back atomic.Int32
		d := broker.Delivery{Body: []byte("?"), Ack: func() { acked.Add(1) }, Requeue: func() { back.Add(1) }}
		over, cancel := context.WithCancel(context.Background())
		cancel()
		h.storeDeadLetters(over, []broker.Delivery{d})
		require.Zero(t, acked.Load(), "the database is away")
		require.EqualValues(t, 1, back.Load(), "and the process stops: the broker has it again")

		done := make(chan struct{})
		go func() { defer close(done); h.storeDeadLetters(context.Background(), []broker.Delivery{d}) }()
		h.exec(`ALTER TABLE away RENAME TO dead_letters`)
		<-done
		require.EqualValues(t, 1, acked.Load())
		require.Len(t, h.deadLetters(DeadLetterFilter{}), 1)
	})
}

func TestAMessageThatTheBrokerGaveUpOnIsPublishedAgain(t *testing.T) {
	eachDeadHarness(t, func(h *harness, _ *fakeReplayer) {
		h.destination(h.receiver.URL)
		eventID := h.accept()
		_, jobs := h.history(eventID)
		h.exec(`UPDATE processing_jobs SET wake_at = NULL, published_at = $1`, h.now())
		body := fmt.Sprintf(`{"v":1,"jobs":[{"e":"%s","j":"%s"}]}`, eventID, jobs[0].ID)
		h.storeDeadLetters(context.Background(), []broker.Delivery{{Body: []byte(body), Ack: func() {}}})
		require.Empty(t, h.deadLetters(DeadLetterFilter{}))
		var n int
		require.NoError(t, h.db.Get(context.Background(), &n, `SELECT count(*) FROM processing_jobs WHERE wake_at IS NOT NULL AND published_at IS NULL`))
		require.Equal(t, 1, n)
	})
}
