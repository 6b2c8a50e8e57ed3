package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/access"
	"integration-gateway/modules/integrations"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// replayed is a gateway whose sources one and two have a destination each, one a second one,
// and whose receiver counts what it gets by event and path.
type replayed struct {
	*guarded
	fixture  *fixture
	mu       sync.Mutex
	received map[string]int
	failing  string // the path that answers 500
}

func newReplayed(t *testing.T, db *database.DB, events int) *replayed {
	r := &replayed{guarded: newGuarded(t, db, "MAX_PROCESSING_RETRIES", "1"), received: map[string]int{}}
	r.fixture = &fixture{system: r.system, t: t}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		sent, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if req.URL.Path == r.failing {
			w.WriteHeader(http.StatusInternalServerError)
		} else {
			r.received[req.Header.Get("X-Event-Id")+req.URL.Path]++
		}
		_, _ = w.Write(sent) // an answer that holds what was sent
	}))
	t.Cleanup(receiver.Close)
	ctx := context.Background()
	for source, paths := range map[string][]string{"one": {"/a", "/b"}, "two": {"/c"}} {
		var to []contract.DestinationConfig
		for _, path := range paths {
			url := receiver.URL + path
			to = append(to, contract.DestinationConfig{URL: &url})
		}
		require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error {
			_, err := r.integrations.CreateIntegration(ctx, tx, integrations.IntegrationConfig{Source: source, Provider: "globex",
				Secrets: []integrations.SecretConfig{{Value: secret.New("a-token-of-" + source)}}, Destinations: to})
			return err
		}))
		sender := demoSource{name: source, secret: "a-token-of-" + source, header: "X-Globex-Token"}
		for i := range events {
			body := fmt.Sprintf(`{"id":"evt_%d","type":"order.%d","timestamp":"2026-01-31T12:00:00Z","resource":{"id":"Order_%d"}}`, i, i%2, i)
			require.NoError(t, r.post(ctx, sender, body))
		}
	}
	return r
}

// working runs the gateway's workers until the test ends.
func (r *replayed) working() {
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = r.delivery.Work(ctx, allQueues) })
	parts.Go(func() { _ = r.delivery.Relay(ctx) })
	parts.Go(func() { _ = r.replay.Run(ctx) })
	r.t.Cleanup(func() {
		cancel()
		parts.Wait()
	})
}

func (r *replayed) settled() {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		return r.fixture.text(`SELECT count(*) FROM processing_jobs WHERE completed_at IS NULL`) == "0"
	}, time.Minute, 10*time.Millisecond)
}

func (r *replayed) ask(key, method, path, body string) (int, map[string]any) {
	r.t.Helper()
	status, text := r.call(method, "/api/v1"+path, key, body)
	var answer struct {
		Data  map[string]any
		Error map[string]any
	}
	require.NoError(r.t, json.Unmarshal(text, &answer), string(text))
	if answer.Data == nil {
		return status, answer.Error
	}
	return status, answer.Data
}

// replayAll orders a replay and returns it once it has ended.
func (r *replayed) replayAll(body string) map[string]any {
	r.t.Helper()
	status, replay := r.ask("operator", "POST", "/replays", body)
	require.Equal(r.t, http.StatusAccepted, status, replay)
	require.Eventually(r.t, func() bool {
		_, replay = r.ask("viewer", "GET", "/replays/"+replay["id"].(string), "")
		return replay["status"] == "completed"
	}, time.Minute, 20*time.Millisecond)
	return replay
}

func (r *replayed) destination(path string) string {
	return r.fixture.text(`SELECT id FROM destinations WHERE url LIKE '%' || $1`, path)
}

func TestABulkReplaySendsEachEventOnceToEachDestination(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		r := newReplayed(t, db, 20)
		r.working()
		r.settled()
		replay := r.replayAll(`{"all":true,"rate":10000,"reason":"the receiver lost them"}`)
		require.Equal(t, map[string]any{"matched": 60.0, "queued": 60.0, "delivered": 60.0, "failed": 0.0}, replay["counts"])
		require.Len(t, r.received, 60)
		for what, n := range r.received {
			require.Equal(t, 2, n, what)
		}
		require.Equal(t, "0", r.fixture.text(`SELECT count(*) FROM event_states WHERE status <> 'processed'`))
		require.Equal(t, "60", r.fixture.text(`SELECT count(*) FROM delivery_attempts WHERE attempt_no = 2`))
		require.True(t, r.fixture.verify(false).Holds)
		require.Equal(t, "bulk_replay.ordered bulk_replay.completed", r.fixture.text(
			`SELECT (SELECT action FROM audit_entries WHERE entity_type = 'replay' ORDER BY id LIMIT 1) || ' ' ||
			        (SELECT action FROM audit_entries WHERE entity_type = 'replay' ORDER BY id DESC LIMIT 1)`))
		require.Equal(t, "60", r.fixture.text(`SELECT count(*) FROM audit_entries WHERE action = 'replay.completed'`))
	})
}

// TestABulkReplaySelectsByItsFilter counts by each filter, and replays some of them.
func TestABulkReplaySelectsByItsFilter(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		r := newReplayed(t, db, 10)
		r.failing = "/b"
		r.working()
		r.settled()
		r.failing = ""
		a, b, c := r.destination("/a"), r.destination("/b"), r.destination("/c")
		future, past := clock.System().Add(time.Hour).Format(time.RFC3339), clock.System().Add(-time.Hour).Format(time.RFC3339)
		dry := func(filter, more string) map[string]any {
			status, answer := r.ask("operator", "POST", "/replays", `{"filter":{`+filter+`},"dryRun":true`+more+`}`)
			require.Equal(t, http.StatusOK, status, answer)
			return answer
		}
		for _, test := range []struct {
			filter, more string
			matched      float64
		}{
			{`"source":"one"`, "", 20},
			{`"source":"two"`, "", 10},
			{`"eventType":"order.1"`, "", 15},
			{`"source":"two","eventType":"order.1"`, "", 5},
			{`"subject":"order_7"`, "", 3},
			{`"subject":"%"`, "", 0},
			{`"status":"failed"`, "", 20},
			{`"status":"processed"`, "", 10},
			{`"status":"failed"`, `,"destination":"` + a + `"`, 10},
			{`"destination":"` + b + `"`, "", 10},
			{`"onlyFailed":true`, "", 10},
			{`"onlyNeverDelivered":true`, "", 10},
			{`"onlyFailed":true,"destination":"` + a + `"`, "", 0},
			{`"onlyFailed":true,"destination":"` + b + `"`, `,"destination":"` + a + `"`, 10},
			{`"onlyNeverDelivered":true`, `,"destination":"` + c + `"`, 0},
			{`"receivedFrom":"` + past + `"`, "", 30},
			{`"receivedFrom":"` + future + `"`, "", 0},
			{`"receivedTo":"` + past + `"`, "", 0},
			{`"deliveredFrom":"` + past + `","deliveredTo":"` + future + `"`, "", 20},
			{`"deliveredFrom":"` + future + `"`, "", 0},
			{`"deliveredTo":"` + past + `"`, "", 0},
		} {
			require.Equal(t, test.matched, dry(test.filter, test.more)["counts"].(map[string]any)["matched"], test.filter+test.more)
		}
		require.Equal(t, []any{map[string]any{"destination": b, "deliveries": 10.0}}, dry(`"onlyFailed":true`, "")["byDestination"])

		replay := r.replayAll(`{"filter":{"onlyFailed":true},"rate":10000,"reason":"the receiver is back"}`)
		require.Equal(t, map[string]any{"matched": 10.0, "queued": 10.0, "delivered": 10.0, "failed": 0.0}, replay["counts"])
		require.Equal(t, 0.0, dry(`"onlyFailed":true`, "")["counts"].(map[string]any)["matched"])
		for what, n := range r.received {
			require.Equal(t, 1, n, what)
		}
		require.Len(t, r.received, 30)
		replay = r.replayAll(`{"filter":{"destination":"` + b + `"},"destination":"` + a + `","rate":10000,"reason":"a takes over from b"}`)
		require.Equal(t, 10.0, replay["counts"].(map[string]any)["delivered"])
		require.Equal(t, "20", r.fixture.text(`SELECT count(*) FROM delivery_attempts WHERE destination_id = $1`, a))
	})
}

// TestAKeyOfOneSourceReplaysOnlyThat orders, sees and changes replays with keys of a source.
func TestAKeyOfOneSourceReplaysOnlyThat(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		r := newReplayed(t, db, 3)
		_, key, err := r.access.Create(httpapi.WithActor(t.Context(), httpapi.ManagementActor),
			access.NewKey{Name: "of-one", Role: "operator", Sources: []string{"one"}})
		require.NoError(t, err)
		r.keys["one"] = key.Reveal()
		dry := func(key, body string) any {
			status, answer := r.ask(key, "POST", "/replays", body)
			require.Equal(t, http.StatusOK, status, answer)
			return answer["counts"].(map[string]any)["matched"]
		}
		require.Equal(t, 9.0, dry("operator", `{"all":true,"dryRun":true}`))
		require.Equal(t, 6.0, dry("one", `{"all":true,"dryRun":true}`), "everything is what the key may see")
		require.Equal(t, 6.0, dry("one", `{"filter":{"source":"one"},"dryRun":true}`))
		require.Equal(t, 0.0, dry("operator of acme", `{"all":true,"dryRun":true}`))
		for _, body := range []string{`{"filter":{"source":"two"},"dryRun":true}`, `{"filter":{"source":"nobodys"},"dryRun":true}`,
			`{"filter":{"destination":"` + r.destination("/c") + `"},"dryRun":true}`, `{"all":true,"destination":"` + r.destination("/c") + `","dryRun":true}`} {
			status, answer := r.ask("one", "POST", "/replays", body)
			require.Equal(t, http.StatusBadRequest, status, body)
			require.Contains(t, answer["message"], "that there is", "what it may not see is unknown to it")
		}
		status, answer := r.ask("operator", "POST", "/replays", `{"filter":{"source":"two"},"destination":"`+r.destination("/a")+`","dryRun":true}`)
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, answer["message"], "of another source")

		order := func(key, body string) string {
			status, replay := r.ask(key, "POST", "/replays", body)
			require.Equal(t, http.StatusAccepted, status, replay)
			return replay["id"].(string)
		}
		all, two, own := order("operator", `{"all":true,"reason":"because"}`), order("operator", `{"filter":{"source":"two"},"reason":"because"}`),
			order("one", `{"all":true,"reason":"because"}`)
		require.ElementsMatch(t, []string{all, two, own}, r.ids("replays", "viewer"))
		require.Equal(t, []string{own}, r.ids("replays", "one"))
		require.Equal(t, []string{own}, r.ids("replays?source=one", "viewer"))
		require.Empty(t, r.ids("replays", "viewer of acme"))
		for _, foreign := range []string{all, two} {
			for _, route := range [][2]string{{"GET", ""}, {"GET", "/events"}, {"POST", "/pause"}, {"POST", "/resume"}, {"POST", "/cancel"}} {
				status, answer := r.ask("one", route[0], "/replays/"+foreign+route[1], "")
				require.Equal(t, http.StatusNotFound, status, answer)
			}
		}
		status, _ = r.ask("one", "POST", "/replays/"+own+"/pause", "")
		require.Equal(t, http.StatusOK, status)
		status, _ = r.ask("one", "POST", "/replays/"+own+"/resume", "")
		require.Equal(t, http.StatusOK, status)
		for _, foreign := range []string{all, two} {
			status, _ = r.ask("operator", "POST", "/replays/"+foreign+"/cancel", "")
			require.Equal(t, http.StatusOK, status)
		}
		r.working()
		require.Eventually(t, func() bool {
			_, replay := r.ask("one", "GET", "/replays/"+own, "")
			return replay["status"] == "completed"
		},
			time.Minute, 20*time.Millisecond)
		require.Equal(t, "6", r.fixture.text(`SELECT count(*) FROM replay_requests`))
		require.Len(t, r.ids("replays/"+own+"/events", "one"), 6)
	})
}

// TestACancelledReplayEndsWhatWaits cancels a replay whose destination does not answer.
func TestACancelledReplayEndsWhatWaits(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		r := newReplayed(t, db, 5)
		r.working()
		r.settled()
		r.exec(`UPDATE destinations SET is_active = false`)
		status, replay := r.ask("operator", "POST", "/replays", `{"all":true,"rate":10000,"reason":"because"}`)
		require.Equal(t, http.StatusAccepted, status, replay)
		path := "/replays/" + replay["id"].(string)
		shown := func() map[string]any { _, replay := r.ask("viewer", "GET", path, ""); return replay }
		require.Eventually(t, func() bool {
			return r.fixture.text(`SELECT count(*) FROM processing_jobs WHERE parked AND status = 'queued'`) == "15"
		}, time.Minute, 20*time.Millisecond)
		require.Equal(t, "running", shown()["status"], "what is parked has not ended")
		status, _ = r.ask("operator", "POST", path+"/cancel", "")
		require.Equal(t, http.StatusOK, status)
		require.Eventually(t, func() bool { return shown()["endedAt"] != nil }, time.Minute, 20*time.Millisecond)
		require.Equal(t, map[string]any{"matched": 15.0, "queued": 15.0, "delivered": 0.0, "failed": 15.0}, shown()["counts"])
		require.Equal(t, "0", r.fixture.text(`SELECT count(*) FROM processing_jobs WHERE completed_at IS NULL`))
		require.True(t, r.fixture.verify(false).Holds)
	})
}
