package bulk_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const (
	signing = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	onceAll = `{"all":true,"rate":10000,"reason":"because","url":"https://once.example","signingSecret":"` + signing + `"}`
)

func (w *world) secrets() string {
	return w.text(`SELECT CAST(count(signing_secret) AS text) FROM replay_urls`)
}

// asked returns the events that the requests of a replay are for, in order.
func (w *world) asked(replayID string) (list []string) {
	w.t.Helper()
	require.NoError(w.t, w.db.Select(context.Background(), &list,
		`SELECT normalized_event_id FROM replay_requests WHERE replay_id = $1 AND url_id = replay_id AND destination_id IS NULL ORDER BY normalized_event_id`, replayID))
	return list
}

func (w *world) eventIDs() (list []string) {
	for _, e := range w.events {
		list = append(list, e.EventID)
	}
	slices.Sort(list)
	return list
}

func TestAReplayToAURLSendsEachEventOnce(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db, 30, 2)
		status, answer := w.call(http.MethodPost, "/replays", `{"all":true,"dryRun":true,"url":"https://once.example","signingSecret":"`+signing+`"}`)
		require.Equal(t, http.StatusOK, status, answer)
		dry := answer["data"].(map[string]any)
		require.Equal(t, 30.0, dry["events"], "those that went nowhere as well")
		require.Equal(t, 30.0, dry["counts"].(map[string]any)["matched"])
		require.Empty(t, dry["byDestination"])
		require.Empty(t, dry["first"].([]any)[0].(map[string]any)["destinations"])
		require.Nil(t, dry["changes"])

		replayID := w.order(onceAll)
		require.Equal(t, "https://once.example", w.show(replayID)["url"])
		var processes sync.WaitGroup
		for range 3 {
			processes.Go(func() {
				p := w.process(fast)
				for !w.scanned(replayID)() {
					if _, err := p.Round(context.Background()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		processes.Wait()
		require.Equal(t, w.eventIDs(), w.asked(replayID))
		require.Empty(t, w.dispatched, "delivery has nothing to do with it")
		require.Equal(t, "1", w.secrets())

		ctx, stop := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = w.module.Run(ctx) })
		defer func() { stop(); running.Wait() }()
		require.NoError(t, w.rounds(w.process(fast), func() bool { return w.is(replayID, "completed") }))
		require.Equal(t, map[string]any{"matched": 30.0, "queued": 30.0, "delivered": 30.0, "failed": 0.0}, w.show(replayID)["counts"])
		require.Equal(t, "0", w.secrets(), "the secret is erased when the replay ends")
		w.mu.Lock()
		defer w.mu.Unlock()
		var sent []string
		for _, s := range w.sent {
			sent = append(sent, s.EventID)
			require.Equal(t, contract.SendOnce{EventID: s.EventID, URL: "https://once.example", Secret: secret.New(signing), Attempt: 1}, s)
		}
		slices.Sort(sent)
		require.Equal(t, w.eventIDs(), sent)
	})
}

func TestACancelledReplayToAURLErasesItsSecret(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db, 30, 2)
		replayID := w.order(onceAll)
		p := w.process(fast)
		require.NoError(t, w.rounds(p, func() bool { return len(w.asked(replayID)) >= 4 }))
		status, answer := w.call(http.MethodPost, "/replays/"+replayID+"/cancel", "")
		require.Equal(t, http.StatusOK, status, answer)
		require.NoError(t, w.rounds(p, func() bool { return w.show(replayID)["endedAt"] != nil }))
		counts := w.show(replayID)["counts"].(map[string]any)
		require.Equal(t, counts["queued"], counts["failed"], "what waited was cancelled")
		require.Equal(t, "0", w.secrets())
		require.Empty(t, w.sent)
	})
}

func TestADryRunShowsWhatNormalizingAgainWouldChange(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db, 90, 1)
		status, answer := w.call(http.MethodPost, "/replays", `{"all":true,"dryRun":true,"payload":"renormalized","destination":"`+w.targets[w.events[1].EventID][0]+`"}`)
		require.Equal(t, http.StatusOK, status, answer)
		changes := answer["data"].(map[string]any)["changes"].(map[string]any)
		require.Equal(t, 22.0, changes["changed"])
		require.Equal(t, 23.0, changes["failing"])
		require.Equal(t, 45.0, changes["unchanged"])
		first := changes["first"].([]any)
		require.Len(t, first, 20)
		require.Equal(t, map[string]any{"eventId": w.events[1].EventID, "problem": "no type", "changes": []any{}, "more": false}, first[0])
		require.Equal(t, map[string]any{"eventId": w.events[2].EventID, "problem": nil, "more": false, "changes": []any{
			map[string]any{"path": "$.new", "before": nil, "after": "null"}, map[string]any{"path": "$.type", "before": `"a"`, "after": `"b"`}}}, first[1])

		replayID := w.order(`{"all":true,"rate":10000,"reason":"because","payload":"renormalized"}`)
		require.Equal(t, "renormalized", w.show(replayID)["payload"])
		require.NoError(t, w.rounds(w.process(fast), w.scanned(replayID)))
		require.Equal(t, w.want(), w.got())
		var requests []string
		for _, o := range w.dispatched {
			requests = append(requests, o.RequestID)
		}
		renormalized, err := w.module.Renormalized(t.Context(), requests)
		require.NoError(t, err)
		require.Len(t, renormalized, len(requests), "delivery asks which are")
		stored := w.order(all)
		w.dispatched = nil
		require.NoError(t, w.rounds(w.process(fast), w.scanned(stored)))
		renormalized, err = w.module.Renormalized(t.Context(), []string{w.dispatched[0].RequestID})
		require.NoError(t, err)
		require.Empty(t, renormalized)
	})
}
