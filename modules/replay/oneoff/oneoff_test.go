package oneoff_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/replay"
	"integration-gateway/modules/replay/bulk"
	"integration-gateway/modules/replay/oneoff"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const (
	managementKey = "a-management-key"
	address       = "https://once.example/hooks?key=hidden"
	signing       = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// world is the module replay, and a URL whose answers the test chooses.
type world struct {
	bulk.Events
	bulk.Deliveries

	t       testing.TB
	db      *database.DB
	module  *replay.Module
	handler http.Handler

	mu      sync.Mutex
	answer  func(n int, s contract.SendOnce) (contract.SentOnce, error)
	sent    []contract.SendOnce
	entries []contract.AuditEntry
}

func newWorld(t testing.TB, db *database.DB) *world {
	w := &world{t: t, db: db}
	w.module = replay.New(replay.Config{OneOff: fast}, replay.Deps{DB: db, Log: slog.New(slog.DiscardHandler), Now: clock.System,
		Events: w, Scheduler: w, Sealer: sealed{}, Audit: w})
	server := httpapi.New(httpapi.Config{ManagementKey: secret.New(managementKey)}, httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System})
	w.module.Routes(server.Routes())
	w.handler = testkit.Checked(t, server.Handler())
	return w
}

var fast = oneoff.Config{Look: time.Millisecond, Claim: time.Minute, Grace: 10 * time.Second}

// sender is the part of another process.
func (w *world) sender(cfg oneoff.Config) *oneoff.Sender {
	return oneoff.New(cfg, oneoff.Deps{DB: w.db, Log: slog.New(slog.DiscardHandler), Now: clock.System, Deliveries: w, Requests: w.module, Sealer: sealed{}})
}

// run runs a process's part, and returns what stops it and waits.
func (w *world) run(s *oneoff.Sender) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	w.t.Cleanup(stop)
	return stop
}

// sealed stands for encryption: what it seals opens in its place alone.
type sealed struct{}

func (sealed) Seal(at secret.Place, value secret.Value) (string, error) {
	return at.String() + "|" + strings.ToUpper(value.Reveal()), nil
}

func (sealed) Open(at secret.Place, stored string) (secret.Value, error) {
	_, ok := strings.CutPrefix(stored, at.String()+"|")
	if !ok {
		return secret.Value{}, errors.New("sealed for another place")
	}
	return secret.New(signing), nil
}

func (w *world) Integration(context.Context, *database.Tx, string) (string, error) {
	return id.New(), nil
}

func (w *world) Dispatch(context.Context, *database.Tx, contract.ReplayOrder, string) error {
	return fault.Internal.New("test", "what goes to a URL is not dispatched")
}

func (w *world) DispatchAll(context.Context, *database.Tx, []contract.ReplayOrder) error {
	return fault.Internal.New("test", "what goes to a URL is not dispatched")
}

func (w *world) CheckURL(field, url string) []fault.Field {
	if strings.HasPrefix(url, "https://") {
		return nil
	}
	return []fault.Field{{Field: field, Message: "must be a URL"}}
}

func (w *world) SendOnce(_ context.Context, s contract.SendOnce) (contract.SentOnce, error) {
	w.mu.Lock()
	w.sent = append(w.sent, s)
	n, answer := len(w.sent), w.answer
	w.mu.Unlock()
	if answer == nil {
		return received, nil
	}
	return answer(n, s)
}

func (w *world) Record(_ context.Context, _ *database.Tx, entries []contract.AuditEntry) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries = append(w.entries, entries...)
	return nil
}

var received = contract.SentOnce{Received: true, Final: true, Status: 200}

// failing is an attempt that was not received.
func failing(status int, final bool) contract.SentOnce {
	kind, problem := "http_status", "the destination answered\x00 HTTP 503"
	return contract.SentOnce{Final: final, Status: status, ErrorKind: &kind, Error: &problem, Wait: time.Millisecond}
}

func (w *world) call(method, path, body string) (int, map[string]any) {
	w.t.Helper()
	r := httptest.NewRequest(method, httpapi.Base+path, bytes.NewBufferString(body))
	r.Header.Set("content-type", "application/json")
	r.Header.Set(httpapi.HeaderManagementKey, managementKey)
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	require.NotContains(w.t, recorder.Body.String(), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	var answer struct{ Data, Error map[string]any }
	require.NoError(w.t, json.Unmarshal(recorder.Body.Bytes(), &answer), recorder.Body.String())
	if answer.Data == nil {
		return recorder.Code, answer.Error
	}
	return recorder.Code, answer.Data
}

// order replays an event to the URL and returns the request's id.
func (w *world) order(eventID string) string {
	w.t.Helper()
	status, answer := w.call(http.MethodPost, "/events/"+eventID+"/replay", `{"url":"`+address+`","signingSecret":"`+signing+`","reason":"to look at it"}`)
	require.Equal(w.t, http.StatusAccepted, status, answer)
	return answer["replayRequestId"].(string)
}

func (w *world) show(requestID string) map[string]any {
	w.t.Helper()
	status, answer := w.call(http.MethodGet, "/replay-requests/"+requestID, "")
	require.Equal(w.t, http.StatusOK, status, answer)
	return answer
}

func (w *world) becomes(requestID, status string) map[string]any {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.show(requestID)["status"] == status }, time.Minute, 5*time.Millisecond, status)
	return w.show(requestID)
}

func (w *world) text(query string, args ...any) (text string) {
	w.t.Helper()
	require.NoError(w.t, w.db.Get(context.Background(), &text, query, args...))
	return text
}

func TestAReplayGoesToAURLUntilItIsReceived(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		w.answer = func(n int, _ contract.SendOnce) (contract.SentOnce, error) {
			switch n {
			case 1:
				return failing(503, false), nil
			case 2:
				return contract.SentOnce{}, errors.New("the database is away")
			}
			return received, nil
		}
		eventID := id.New()
		requestID := w.order(eventID)
		stored := w.text(`SELECT signing_secret FROM replay_urls`)
		require.True(t, strings.HasPrefix(stored, "replay_urls.signing_secret/"+requestID+"|"), "it is sealed for its place: %s", stored)
		require.Equal(t, "dispatched", w.show(requestID)["status"])
		require.EqualValues(t, 0, w.show(requestID)["attempts"])

		stop := w.run(w.sender(fast))
		shown := w.becomes(requestID, "completed")
		stop()
		require.Len(t, w.sent, 3)
		for i, attempt := range []int{1, 2, 2} {
			require.Equal(t, contract.SendOnce{EventID: eventID, URL: address, Secret: secret.New(signing), Attempt: attempt}, w.sent[i])
		}
		require.EqualValues(t, 2, shown["attempts"], "one was none")
		require.EqualValues(t, 200, shown["httpStatus"])
		require.Nil(t, shown["errorKind"])
		require.Nil(t, shown["errorMessage"])
		require.Equal(t, address, shown["url"])
		require.Nil(t, shown["destinationId"])
		require.Equal(t, "0", w.text(`SELECT CAST(count(signing_secret) AS text) FROM replay_urls`), "the secret is erased")
		for _, e := range w.entries {
			require.NotContains(t, string(e.Details), "hidden", "the trail has the host alone")
		}
		require.Contains(t, string(w.entries[0].Details), `"host":"once.example"`)
	})
}

func TestAReplayToAURLThatIsGivenUpSaysWhy(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		w.answer = func(n int, _ contract.SendOnce) (contract.SentOnce, error) { return failing(503, n == 2), nil }
		requestID := w.order(id.New())
		w.run(w.sender(fast))
		shown := w.becomes(requestID, "failed")
		require.EqualValues(t, 2, shown["attempts"])
		require.EqualValues(t, 503, shown["httpStatus"])
		require.Equal(t, "http_status", shown["errorKind"])
		require.Equal(t, "the destination answered\uFFFD HTTP 503", shown["errorMessage"])
	})
}

// A process that dies in an attempt leaves a claim, and whoever finds it expired sends again. Its
// own late outcome counts as an attempt and does not disturb the other's.
func TestTheClaimOfADeadProcessExpires(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		dead, late := make(chan struct{}), make(chan struct{})
		w.answer = func(n int, _ contract.SendOnce) (contract.SentOnce, error) {
			if n == 1 {
				close(dead)
				<-late
				return failing(503, false), nil
			}
			return received, nil
		}
		requestID := w.order(id.New())
		short := fast
		short.Claim = 200 * time.Millisecond
		stopDead := w.run(w.sender(short))
		<-dead
		cancelled := make(chan struct{})
		go func() { defer close(cancelled); stopDead() }()
		w.run(w.sender(fast))
		w.becomes(requestID, "completed")
		close(late)
		<-cancelled
		require.Len(t, w.sent, 2)
		require.Equal(t, "completed", w.show(requestID)["status"])
	})
}

func TestProcessesThatCompeteSendEachRequestOnce(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		var requests []string
		for range 40 {
			requests = append(requests, w.order(id.New()))
		}
		for range 3 {
			w.run(w.sender(fast))
		}
		for _, requestID := range requests {
			w.becomes(requestID, "completed")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		require.Len(t, w.sent, 40)
	})
}

// Attempts under way are finished when the process stops, for a while.
func TestAProcessThatStopsFinishesWhatIsUnderWay(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		begun, stopping := make(chan struct{}), make(chan struct{})
		w.answer = func(int, contract.SendOnce) (contract.SentOnce, error) {
			close(begun)
			<-stopping
			return received, nil
		}
		requestID := w.order(id.New())
		stop := w.run(w.sender(fast))
		<-begun
		go close(stopping)
		stop()
		require.Equal(t, "completed", w.show(requestID)["status"])
	})
}

// A URL that hangs takes its own places alone.
func TestAURLThatHangsHoldsUpNoOther(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		hanging, release := id.New(), make(chan struct{})
		w.answer = func(_ int, s contract.SendOnce) (contract.SentOnce, error) {
			if s.EventID == hanging {
				<-release
			}
			return received, nil
		}
		hung, other := w.order(hanging), w.order(id.New())
		one := fast
		one.PerURL = 1
		w.run(w.sender(one))
		w.becomes(other, "completed")
		require.Equal(t, "dispatched", w.show(hung)["status"])
		close(release)
		w.becomes(hung, "completed")
	})
}

func TestSealedSecretsAreReplacedIfUnchanged(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		requestID, ctx := w.order(id.New()), t.Context()
		rows, err := w.module.SealedURLs().SealedRows(ctx, id.Floor(time.UnixMilli(0)), 10)
		require.NoError(t, err)
		require.Len(t, rows, 1)
		require.Equal(t, "replay_urls.signing_secret/"+requestID, rows[0].Places[0].String())
		replace := func(before, after string) (n int64) {
			require.NoError(t, db.InTx(ctx, func(tx *database.Tx) (err error) {
				n, err = w.module.SealedURLs().ReplaceSealed(ctx, tx, []contract.Resealed{{ID: requestID, Before: []*string{&before}, After: []*string{&after}}})
				return err
			}))
			return n
		}
		require.EqualValues(t, 0, replace("another", "new"))
		require.EqualValues(t, 1, replace(*rows[0].Texts[0], "new"))
		require.Equal(t, "new", w.text(`SELECT signing_secret FROM replay_urls`))
	})
}

func TestInvalidURLsAndSecretsAreReportedByName(t *testing.T) {
	w := newWorld(t, testkit.Open(t, testkit.SQLite(t)))
	for _, test := range []struct{ name, body, fields string }{
		{"a URL without a secret", `{"url":"https://a.example"}`, "signingSecret"},
		{"a secret without a URL", `{"signingSecret":"` + signing + `"}`, "signingSecret"},
		{"a URL that is none", `{"url":"ftp://a.example","signingSecret":"x"}`, "url signingSecret"},
		{"a secret without its prefix", `{"url":"https://a.example","signingSecret":"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`, "signingSecret"},
		{"a secret of 23 bytes", `{"url":"https://a.example","signingSecret":"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="}`, "signingSecret"},
		{"a secret of 24 bytes", `{"url":"https://a.example","signingSecret":"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"}`, ""},
		{"a URL and a destination", `{"url":"https://a.example","signingSecret":"` + signing + `","destinationId":"` + id.New() + `"}`, "url"},
		{"only failed of a URL", `{"url":"https://a.example","signingSecret":"` + signing + `","onlyFailed":true}`, "onlyFailed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, answer := w.call(http.MethodPost, "/events/"+id.New()+"/replay", strings.Replace(test.body, "{", `{"reason":"because",`, 1))
			if test.fields == "" {
				require.Equal(t, http.StatusAccepted, status, answer)
				return
			}
			require.Equal(t, http.StatusBadRequest, status, answer)
			var fields []string
			for _, d := range answer["details"].([]any) {
				fields = append(fields, d.(map[string]any)["field"].(string))
			}
			require.Equal(t, test.fields, strings.Join(fields, " "))
		})
	}
}
