package bulk_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/replay"
	"integration-gateway/modules/replay/bulk"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const managementKey = "a-management-key"

// errKilled stands for a process that dies at this call.
var errKilled = errors.New("killed")

// world is what bulk replays need: events with the destinations that they went to, and
// neighbours that can die at any call.
type world struct {
	t       testing.TB
	db      *database.DB
	module  *replay.Module
	handler http.Handler

	integrationID string
	events        []contract.ReplayEvent
	targets       map[string][]string

	mu         sync.Mutex
	calls      int
	killAt     int // 0: never
	dispatched []contract.ReplayOrder
	sent       []contract.SendOnce
	entries    []contract.AuditEntry
}

func newWorld(t testing.TB, db *database.DB, events, destinations int) *world {
	w := &world{t: t, db: db, integrationID: id.New(), targets: map[string][]string{}}
	began := clock.System().Add(-time.Hour)
	for i := range events {
		e := contract.ReplayEvent{EventID: id.New(), IntegrationID: w.integrationID, Source: "acme", EventType: "order.created",
			ReceivedAt: began.Add(time.Duration(i/3) * time.Second)} // some in the same moment
		w.events = append(w.events, e)
		for range i % (destinations + 1) { // some went nowhere
			w.targets[e.EventID] = append(w.targets[e.EventID], id.New())
		}
	}
	w.module = replay.New(replay.Config{Bulk: fast}, replay.Deps{DB: db, Log: slog.New(slog.DiscardHandler), Now: clock.System, Events: w, Scheduler: w,
		Sources: w, Sealer: plain{}, Audit: w})
	server := httpapi.New(httpapi.Config{ManagementKey: secret.New(managementKey)}, httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System})
	w.module.Routes(server.Routes())
	w.handler = testkit.Checked(t, server.Handler())
	return w
}

// fast has pages of two events, and leases that the next process need not wait for.
var fast = bulk.Config{Look: time.Millisecond, Lease: time.Microsecond, Page: 2, Scan: 5, Batch: 3}

// process returns a new process's part.
func (w *world) process(cfg bulk.Config) *bulk.Replays {
	return bulk.New(cfg, bulk.Deps{DB: w.db, Log: slog.New(slog.DiscardHandler), Now: clock.System, Events: w, Deliveries: w, Sources: w, Requests: w.module,
		URLs: w.module.SealedURLs(), Audit: w})
}

// plain seals nothing.
type plain struct{}

func (plain) Seal(_ secret.Place, value secret.Value) (string, error) { return value.Reveal(), nil }

func (plain) Open(_ secret.Place, stored string) (secret.Value, error) {
	return secret.New(stored), nil
}

// step counts a call, and dies at the chosen one.
func (w *world) step() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls++; w.calls == w.killAt {
		return errKilled
	}
	return nil
}

func (w *world) ReplayPage(_ context.Context, want contract.ReplayEvents, after contract.ReplayPosition, upTo time.Time, limit int) (contract.ReplayPage, error) {
	page := contract.ReplayPage{Last: after, End: true}
	for _, e := range w.events {
		if cmp.Or(e.ReceivedAt.Compare(after.At), cmp.Compare(e.EventID, after.EventID)) <= 0 || e.ReceivedAt.After(upTo) {
			continue
		}
		if limit--; limit < 0 {
			page.End = false
			break
		}
		page.Last = e.At()
		if want.Integrations == nil || slices.Contains(want.Integrations, e.IntegrationID) {
			page.Events = append(page.Events, e)
		}
	}
	return page, w.step()
}

func (w *world) ReplayTargets(_ context.Context, want contract.ReplayDeliveries, eventIDs []string) (map[string][]string, error) {
	found := map[string][]string{}
	for _, eventID := range eventIDs {
		if list := w.targets[eventID]; len(list) > 0 {
			found[eventID] = list
		}
		switch {
		case want.Once:
			found[eventID] = []string{""}
		case want.To != "":
			found[eventID] = []string{want.To}
		}
	}
	return found, w.step()
}

func (w *world) ReplayDestination(_ context.Context, destinationID string) (string, bool, error) {
	for _, list := range w.targets {
		if slices.Contains(list, destinationID) {
			return w.integrationID, false, nil
		}
	}
	return "", false, nil
}

func (w *world) CancelReplays(ctx context.Context, tx *database.Tx, list []contract.ReplayCancel, reason string) (int, error) {
	ends := make([]contract.ReplayEnd, len(list))
	for i, c := range list {
		ends[i] = contract.ReplayEnd{RequestID: c.RequestID, EventID: c.EventID, Failed: true, Error: &reason}
	}
	return len(list), errors.Join(w.step(), w.module.Ended(ctx, tx, ends))
}

func (w *world) Renormalize(_ context.Context, eventIDs []string) (list []contract.Renormalized, _ error) {
	for _, eventID := range slices.Sorted(slices.Values(eventIDs)) {
		r := contract.Renormalized{EventID: eventID, Stored: []byte(`{"type":"a","n":1.10}`)}
		switch i := slices.IndexFunc(w.events, func(e contract.ReplayEvent) bool { return e.EventID == eventID }); {
		case i%4 == 1:
			r.Problem = errors.New("no type")
		case i%4 == 2:
			r.Payload = []byte(`{"type":"b","n":1.10,"new":null}`)
		default:
			r.Payload = r.Stored
		}
		list = append(list, r)
	}
	return list, w.step()
}

func (w *world) CheckURL(field, url string) []fault.Field {
	if url == "https://once.example" {
		return nil
	}
	return []fault.Field{{Field: field, Message: "must be a URL"}}
}

func (w *world) SendOnce(_ context.Context, s contract.SendOnce) (contract.SentOnce, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, s)
	return contract.SentOnce{Received: true, Status: http.StatusOK}, nil
}

func (w *world) IntegrationsOf(_ context.Context, sources []string) (map[string]string, error) {
	known := map[string]string{}
	if slices.Contains(sources, "acme") {
		known["acme"] = w.integrationID
	}
	return known, nil
}

func (w *world) Integration(context.Context, *database.Tx, string) (string, error) {
	return w.integrationID, nil
}

func (w *world) Dispatch(context.Context, *database.Tx, contract.ReplayOrder, string) error {
	return fault.Internal.New("test", "a bulk replay dispatches in bulk")
}

func (w *world) DispatchAll(_ context.Context, tx *database.Tx, orders []contract.ReplayOrder) error {
	tx.AfterCommit(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.dispatched = append(w.dispatched, orders...)
	})
	return w.step()
}

func (w *world) Record(_ context.Context, tx *database.Tx, entries []contract.AuditEntry) error {
	tx.AfterCommit(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.entries = append(w.entries, entries...)
	})
	return w.step()
}

// order orders a replay of everything and returns its id.
func (w *world) order(body string) string {
	w.t.Helper()
	status, answer := w.call(http.MethodPost, "/replays", body)
	require.Equal(w.t, http.StatusAccepted, status, answer)
	return answer["data"].(map[string]any)["id"].(string)
}

func (w *world) show(replayID string) map[string]any {
	w.t.Helper()
	status, answer := w.call(http.MethodGet, "/replays/"+replayID, "")
	require.Equal(w.t, http.StatusOK, status, answer)
	return answer["data"].(map[string]any)
}

func (w *world) call(method, path, body string) (int, map[string]any) {
	w.t.Helper()
	r := httptest.NewRequest(method, httpapi.Base+path, bytes.NewBufferString(body))
	r.Header.Set("content-type", "application/json")
	r.Header.Set(httpapi.HeaderManagementKey, managementKey)
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	var answer map[string]any
	require.NoError(w.t, json.Unmarshal(recorder.Body.Bytes(), &answer), recorder.Body.String())
	return recorder.Code, answer
}

// want returns each event and destination once.
func (w *world) want() []string {
	var all []string
	for eventID, list := range w.targets {
		for _, d := range list {
			all = append(all, eventID+" "+d)
		}
	}
	slices.Sort(all)
	return all
}

// got returns what was dispatched by now.
func (w *world) got() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, o := range w.dispatched {
		all = append(all, o.EventID+" "+*o.DestinationID)
	}
	slices.Sort(all)
	return all
}

// endAll ends everything that was dispatched, every fifth as failed.
func (w *world) endAll() {
	w.t.Helper()
	w.mu.Lock()
	list := slices.Clone(w.dispatched)
	w.mu.Unlock()
	ends := make([]contract.ReplayEnd, len(list))
	for i, o := range list {
		ends[i] = contract.ReplayEnd{RequestID: o.RequestID, EventID: o.EventID, Failed: i%5 == 4}
	}
	require.NoError(w.t, w.db.InTx(context.Background(), func(tx *database.Tx) error { return w.module.Ended(context.Background(), tx, ends) }))
}

// actions returns what was audited of replays.
func (w *world) actions() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.entries {
		if e.EntityType == contract.EntityReplay {
			list = append(list, e.Action)
		}
	}
	return list
}

// rounds runs a process's rounds until done or one fails.
func (w *world) rounds(p *bulk.Replays, done func() bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !done() {
		wait, err := p.Round(ctx)
		if err != nil {
			return err
		}
		require.True(w.t, clock.Sleep(ctx, wait), "the replay never ended")
	}
	return nil
}

// is reports whether a replay has a status.
func (w *world) is(replayID, status string) bool {
	return w.text(`SELECT status FROM replays WHERE id = $1`, replayID) == status
}

func (w *world) text(query string, args ...any) (text string) {
	w.t.Helper()
	require.NoError(w.t, w.db.Get(context.Background(), &text, query, args...))
	return text
}

func (w *world) scanned(replayID string) func() bool {
	return func() bool {
		return w.text(`SELECT CASE WHEN scanned_at IS NULL THEN '' ELSE 'yes' END FROM replays WHERE id = $1`, replayID) == "yes"
	}
}
