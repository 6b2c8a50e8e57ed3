package erasure

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
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// errKilled stands for a process that dies at this call.
var errKilled = errors.New("killed")

// world stands in for the modules that own the records. Its events are rows of event_states, and
// erased_at marks the erased ones.
type world struct {
	t       *testing.T
	db      *database.DB
	module  *Module
	handler http.Handler
	events  []contract.ErasureEvent
	of      map[string]string // the subject, by event; also the text in its content
	refused []string

	calls, killAt int // 0: never
	marked        []string
	forgotten     []string
	audit         []contract.AuditEntry
}

// fast has pieces of a few events, and leases that the next process need not wait for.
var fast = Config{Batch: 2, Scan: 7, Read: 5, Look: time.Millisecond, Lease: time.Microsecond}

func newWorld(t *testing.T, db *database.DB) *world {
	w := &world{t: t, db: db, of: map[string]string{}}
	w.module = w.process(fast)
	began := clock.System().Add(-time.Hour)
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		rows := database.NewRows("event_id uuid", "status text", "processing_attempts bigint", "received_at timestamptz", "updated_at timestamptz")
		for n := range 20 {
			e := contract.ErasureEvent{EventID: id.New(), Source: []string{"acme", "acme", "globex"}[n%3], ReceivedAt: began.Add(time.Duration(n) * time.Second).Truncate(time.Microsecond)}
			w.events = append(w.events, e)
			w.of[e.EventID] = []string{"ada", "grace"}[n%2]
			rows.Add(e.EventID, "pending", 0, tx.Now, tx.Now)
		}
		return tx.Insert(t.Context(), "event_states", rows)
	}))
	server := httpapi.New(httpapi.Config{ManagementKey: secret.New("a-management-key")}, httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System, Sources: w})
	w.module.Routes(server.Routes())
	w.handler = testkit.Checked(t, server.Handler())
	return w
}

// process returns a new process's part.
func (w *world) process(cfg Config) *Module {
	return New(cfg, Deps{DB: w.db, Log: slog.New(slog.DiscardHandler), Now: clock.System, Events: w, Deliveries: deliveries{w}, Replays: w, Sources: w, Audit: w, Digester: w})
}

func (w *world) die() error {
	if w.calls++; w.calls == w.killAt {
		return errKilled
	}
	return nil
}

func (w *world) erased() (ids []string) {
	require.NoError(w.t, w.db.Select(w.t.Context(), &ids, `SELECT event_id FROM event_states WHERE erased_at IS NOT NULL ORDER BY event_id`))
	return ids
}

func (w *world) ErasurePage(_ context.Context, want contract.ErasureScan, holds func(provider.Request) (found, read bool), after contract.ReplayPosition, upTo time.Time, limit int) (contract.ErasurePage, error) {
	page, erased := contract.ErasurePage{Last: after, End: true}, w.erased()
	for _, e := range w.events {
		at := contract.ReplayPosition{At: e.ReceivedAt, EventID: e.EventID}
		if cmp.Or(at.At.Compare(after.At), cmp.Compare(at.EventID, after.EventID)) <= 0 || at.At.After(upTo) || want.ReceivedTo != nil && at.At.After(*want.ReceivedTo) {
			continue
		}
		if limit--; limit < 0 {
			page.End = false
			break
		}
		page.Looked, page.Last = page.Looked+1, at
		matches := want.Subject == "" || w.of[e.EventID] == want.Subject
		if holds != nil {
			text, _ := json.Marshal(map[string]any{"data": map[string]string{"who": w.of[e.EventID]}})
			matches, _ = holds(provider.Request{Body: text})
		}
		if matches && !slices.Contains(erased, e.EventID) && (want.Sources == nil || slices.Contains(want.Sources, e.Source)) {
			page.Events = append(page.Events, e)
		}
	}
	return page, w.die()
}

func (w *world) ErasureEvents(_ context.Context, eventIDs []string) (known []contract.ErasureEvent, err error) {
	for _, e := range w.events {
		if slices.Contains(eventIDs, e.EventID) {
			known = append(known, e)
		}
	}
	return known, nil
}

// OthersOf has every second event share its webhook with the one after it.
func (w *world) OthersOf(_ context.Context, eventIDs []string) (ids []string, err error) {
	for _, eventID := range eventIDs {
		if at := slices.IndexFunc(w.events, func(e contract.ErasureEvent) bool { return e.EventID == eventID }); at%2 == 0 {
			ids = append(ids, w.events[at+1].EventID)
		}
	}
	return ids, nil
}

func (w *world) LockStates(ctx context.Context, tx *database.Tx, eventIDs []string) (states []contract.EventState, err error) {
	var rows []struct {
		ID     string `db:"event_id"`
		Erased bool   `db:"erased"`
	}
	err = tx.SelectRows(ctx, &rows, database.IDs(eventIDs), `SELECT event_id, erased_at IS NOT NULL AS erased FROM event_states WHERE event_id IN (SELECT id FROM v)`)
	for _, r := range rows {
		states = append(states, contract.EventState{EventID: r.ID, Erased: r.Erased})
	}
	return states, err
}

func (w *world) Forget(ctx context.Context, tx *database.Tx, eventIDs []string) (int, error) {
	if len(eventIDs) == 0 {
		return 0, nil
	}
	n, err := tx.ExecRows(ctx, database.IDs(eventIDs), `UPDATE event_states SET erased_at = $1 FROM v WHERE event_id = v.id`, tx.Now)
	return int(n), cmp.Or(err, w.die())
}

func (w *world) MarkErasure(_ context.Context, mark contract.ErasureMark) error {
	w.marked = append(w.marked, mark.Text+" of "+strings.Join(mark.Sources, ","))
	return w.die()
}

func (w *world) RemoveErasureMarks(_ context.Context, tx *database.Tx, _ string) error {
	tx.AfterCommit(func() { w.marked = nil })
	return nil
}

func (w *world) ErasureRefused(_ context.Context, _ contract.ErasureScan, _ string, _ func(provider.Request) (found, read bool), after string, _ int) (contract.ErasureRefused, error) {
	found := contract.ErasureRefused{Last: after, End: true}
	if len(w.refused) > 0 && w.refused[0] > after { // one in each piece
		found = contract.ErasureRefused{IDs: w.refused[:1], Last: w.refused[0]}
	}
	if found.Last == "" {
		found.Last = noEvent
	}
	return found, w.die()
}

func (w *world) RemoveRefused(ctx context.Context, tx *database.Tx, ids []string) (int, error) {
	require.NotEmpty(w.t, httpapi.Actor(ctx))
	tx.AfterCommit(func() {
		w.refused = slices.DeleteFunc(w.refused, func(one string) bool { return slices.Contains(ids, one) })
	})
	return len(ids), nil
}

func (w *world) ForgetSubject(_ context.Context, tx *database.Tx, text string, integrations []string) error {
	tx.AfterCommit(func() { w.forgotten = append(w.forgotten, text+" of "+strings.Join(integrations, ",")) })
	return w.die()
}

func (w *world) Record(_ context.Context, tx *database.Tx, entries []contract.AuditEntry) error {
	tx.AfterCommit(func() { w.audit = append(w.audit, entries...) })
	return w.die()
}

// IntegrationsOf knows every source.
func (*world) IntegrationsOf(_ context.Context, sources []string) (map[string]string, error) {
	known := map[string]string{}
	for _, source := range sources {
		known[source] = "the-" + source
	}
	return known, nil
}

func (*world) Digest(text string) string { return "digest-of-" + strings.ToUpper(text) }

type deliveries struct{ *world }

func (deliveries) Forget(_ context.Context, _ *database.Tx, states []contract.EventState) (contract.ErasureCounts, error) {
	return contract.ErasureCounts{Deliveries: len(states), Answers: 2 * len(states), DeadLetters: len(states)}, nil
}

// caller is a credential of a role, restricted to sources if there are any.
func caller(role httpapi.Role, sources ...string) httpapi.Caller {
	c := httpapi.Caller{Actor: "api-key:one", Role: role}
	if len(sources) > 0 {
		c.Scope = &httpapi.Scope{Sources: sources}
	}
	return c
}

// as calls the API and returns the answer's data.
func (w *world) as(c httpapi.Caller, status int, method, path, body string) (data map[string]any) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(httpapi.WithCaller(w.t.Context(), c), method, "/api/v1"+path, bytes.NewBufferString(body))
	r.Header.Set(httpapi.HeaderManagementKey, "of the caller")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answered := httptest.NewRecorder()
	w.handler.ServeHTTP(answered, r)
	require.Equal(w.t, status, answered.Code, answered.Body.String())
	var answer map[string]any
	require.NoError(w.t, json.Unmarshal(answered.Body.Bytes(), &answer))
	if list, is := answer["data"].([]any); is {
		return map[string]any{"list": list}
	}
	if status >= 400 {
		return answer["error"].(map[string]any)
	}
	return answer["data"].(map[string]any)
}

func (w *world) order(body string) string {
	w.t.Helper()
	made := w.as(caller(httpapi.Admin), http.StatusAccepted, http.MethodPost, "/erasures", body)
	return made["id"].(string)
}

func (w *world) show(erasureID string) map[string]any {
	w.t.Helper()
	return w.as(caller(httpapi.Viewer), http.StatusOK, http.MethodGet, "/erasures/"+erasureID, "")
}

// finish does rounds until an erasure has ended.
func (w *world) finish(m *Module, erasureID string) error {
	for range 200 {
		if _, err := m.Round(context.Background()); err != nil {
			return err
		}
		if w.show(erasureID)["endedAt"] != nil {
			return nil
		}
	}
	return errors.New("it never ended")
}

// stored is the text of the erasure's own row.
func (w *world) stored(erasureID string) (text string) {
	w.t.Helper()
	require.NoError(w.t, w.db.Get(w.t.Context(), &text, `SELECT target FROM erasures WHERE id = $1`, erasureID))
	return text
}

func TestWhatAnErasureRemoves(t *testing.T) {
	for _, c := range []struct {
		name, order, kind, marked, forgotten string
		events, others                       int
	}{
		{"of a subject", `{"subject":"ada"`, bySubject, "ada of ", "ada of ", 10, 10},
		{"of a subject in a source", `{"subject":"ada","source":"acme"`, bySubject, "ada of acme", "ada of the-acme", 7, 7},
		{"of a value", `{"value":"ada","paths":["$.data.who"],"all":true`, byValue, "ada of ", "ada of ", 10, 10},
		{"of a value elsewhere", `{"value":"ada","paths":["$.data.name"],"all":true`, byValue, "ada of ", "ada of ", 0, 0},
		{"with a limit", `{"subject":"ada","limit":3`, bySubject, "ada of ", "ada of ", 3, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.EachStore(t, func(t *testing.T, db *database.DB) {
				w := newWorld(t, db)
				w.refused = []string{id.New(), id.New()}
				dry := w.as(caller(httpapi.Admin), http.StatusOK, http.MethodPost, "/erasures", c.order+`,"dryRun":true}`)
				require.Equal(t, true, dry["complete"])
				require.EqualValues(t, c.events, dry["events"])
				require.EqualValues(t, c.others, dry["others"])
				require.Len(t, dry["first"], c.events)
				require.Equal(t, c.events == 0, dry["oldest"] == nil)
				require.Empty(t, w.erased(), "counting erases nothing")
				require.Empty(t, w.marked)
				require.Empty(t, w.audit)

				erasureID := w.order(c.order + `,"reason":"a request of hers"}`)
				require.Empty(t, w.erased(), "a worker does it")
				require.NoError(t, w.finish(w.module, erasureID))
				require.Len(t, w.erased(), c.events)
				for _, eventID := range w.erased() {
					require.Equal(t, "ada", w.of[eventID])
				}
				require.Empty(t, w.refused)
				require.Equal(t, []string{c.marked}, w.marked, "once, before the search")
				require.Equal(t, []string{c.forgotten}, w.forgotten)

				shown, n := w.show(erasureID), float64(c.events)
				require.Equal(t, "completed", shown["status"])
				require.Equal(t, c.kind, shown["kind"])
				require.Equal(t, strings.Contains(c.name, "limit"), shown["limited"])
				require.Equal(t, map[string]any{"events": n, "webhooks": n, "others": float64(c.others), "deliveries": n, "answers": 2 * n, "deadLetters": n, "quarantined": 2.0}, shown["counts"])
				require.Equal(t, "digest-of-ADA", shown["textDigest"])
				require.NotContains(t, w.stored(erasureID), "ada", "the row forgets it too")

				require.Len(t, w.audit, c.events+2)
				first, last := w.audit[0], w.audit[len(w.audit)-1]
				require.Equal(t, "records.erasure_ordered", first.Action)
				require.Equal(t, "records.erased", last.Action)
				require.Contains(t, string(last.Details), `"erasureId":"`+erasureID+`"`)
				require.Contains(t, string(last.Details), `"textDigest":"digest-of-ADA"`)
				for _, e := range w.audit[1 : c.events+1] {
					require.Equal(t, "event.erased", e.Action)
					require.Equal(t, "api-key:one", e.Actor)
					require.JSONEq(t, `{"erasureId":"`+erasureID+`"}`, string(e.Details))
				}
				all, _ := json.Marshal(w.audit)
				require.NotContains(t, string(all), `"ada"`, "the trail does not name it")
			})
		})
	}
}

func TestEventsAreErasedByTheirIDs(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		w.refused = []string{id.New()}
		var ids []string
		for _, e := range w.events[:5] {
			ids = append(ids, strings.ToUpper(e.EventID))
		}
		text, _ := json.Marshal(append(ids, ids[0]))
		dry := w.as(caller(httpapi.Admin), http.StatusOK, http.MethodPost, "/erasures", `{"eventIds":`+string(text)+`,"dryRun":true}`)
		require.EqualValues(t, 5, dry["events"])
		require.Equal(t, []any{map[string]any{"source": "acme", "events": 4.0}, map[string]any{"source": "globex", "events": 1.0}}, dry["bySource"])
		erasureID := w.order(`{"eventIds":` + string(text) + `,"reason":"wrongly sent"}`)
		require.NoError(t, w.finish(w.module, erasureID))
		require.Len(t, w.erased(), 5)
		require.Len(t, w.refused, 1, "an id names no refused request")
		require.Empty(t, w.forgotten)
		require.Nil(t, w.show(erasureID)["textDigest"])
	})
}

// TestAProcessMayDieAtAnyStep kills the process at its first call of a neighbour, then at the second,
// and so on until one lives to the end. Each time another process goes on.
func TestAProcessMayDieAtAnyStep(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for killAt := 1; ; killAt++ {
			w := newWorld(t, db)
			w.refused = []string{id.New(), id.New()}
			before := len(w.erased())
			erasureID := w.order(`{"subject":"ada","reason":"a request"}`)
			w.calls, w.killAt = 0, killAt
			died := w.finish(w.process(fast), erasureID)
			w.killAt = 0
			require.True(t, died == nil || errors.Is(died, errKilled), died)
			require.NoError(t, w.finish(w.process(fast), erasureID))
			require.Len(t, w.erased(), before+10)
			counts := w.show(erasureID)["counts"].(map[string]any)
			require.EqualValues(t, 10, counts["events"], "killed at call %d", killAt)
			require.EqualValues(t, 2, counts["quarantined"])
			require.Len(t, w.audit, 12, "each event is audited once")
			if died == nil {
				require.Greater(t, killAt, 10, "it died at each of its calls")
				return
			}
		}
	})
}

func TestAnotherProcessWaitsForTheLease(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		long := fast
		long.Lease = time.Hour
		first, second := w.process(long), w.process(long)
		erasureID := w.order(`{"subject":"ada","reason":"a request"}`)
		_, err := first.Round(t.Context())
		require.NoError(t, err)
		worked, err := second.Round(t.Context())
		require.NoError(t, err)
		require.False(t, worked)
		stopped, stop := context.WithCancel(t.Context())
		stop()
		require.NoError(t, first.Run(stopped)) // it gives the lease up
		require.NoError(t, w.finish(second, erasureID))
		require.Len(t, w.erased(), 10)
	})
}

func TestACancelledErasureStops(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		erasureID := w.order(`{"subject":"ada","reason":"a request"}`)
		for len(w.erased()) == 0 {
			_, err := w.module.Round(t.Context())
			require.NoError(t, err)
		}
		n := len(w.erased())
		for range 2 {
			require.Equal(t, "cancelled", w.as(caller(httpapi.Admin), http.StatusOK, http.MethodPost, "/erasures/"+erasureID+"/cancel", "")["status"])
		}
		worked, err := w.module.Round(t.Context())
		require.NoError(t, err)
		require.False(t, worked)
		require.Len(t, w.erased(), n)
		require.NotContains(t, w.stored(erasureID), "ada")
		require.Equal(t, "records.erasure_cancelled", w.audit[len(w.audit)-1].Action)

		done := w.order(`{"subject":"ada","reason":"a request"}`)
		require.NoError(t, w.finish(w.module, done))
		w.as(caller(httpapi.Admin), http.StatusConflict, http.MethodPost, "/erasures/"+done+"/cancel", "")
	})
}

func TestATargetOfOneSourceStaysWithinIt(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		acme, globex := caller(httpapi.Admin, "acme"), caller(httpapi.Admin, "globex")
		const order = `{"subject":"ada","reason":"a request"}`
		for _, role := range []httpapi.Role{httpapi.Viewer, httpapi.Operator} {
			w.as(caller(role, "acme"), http.StatusForbidden, http.MethodPost, "/erasures", order)
		}
		made := w.as(acme, http.StatusAccepted, http.MethodPost, "/erasures", order)
		erasureID := made["id"].(string)
		require.NoError(t, w.finish(w.module, erasureID))
		require.Len(t, w.erased(), 7)
		require.Equal(t, []string{"ada of acme"}, w.marked)
		require.Equal(t, []string{"ada of the-acme"}, w.forgotten)

		w.as(caller(httpapi.Viewer, "acme", "globex"), http.StatusOK, http.MethodGet, "/erasures/"+erasureID, "")
		w.as(globex, http.StatusNotFound, http.MethodGet, "/erasures/"+erasureID, "")
		w.as(globex, http.StatusNotFound, http.MethodPost, "/erasures/"+erasureID+"/cancel", "")
		require.Empty(t, w.as(globex, http.StatusOK, http.MethodGet, "/erasures", "")["list"])
		require.Len(t, w.as(acme, http.StatusOK, http.MethodGet, "/erasures?source=acme&status=completed", "")["list"], 1)
		all := w.order(order)
		w.as(acme, http.StatusNotFound, http.MethodGet, "/erasures/"+all, "")

		wrong := w.as(acme, http.StatusBadRequest, http.MethodPost, "/erasures", `{"subject":"ada","source":"globex","reason":"a request"}`)
		require.Contains(t, wrong["message"], "names no source")
		of := w.events[2].EventID // globex's
		wrong = w.as(acme, http.StatusBadRequest, http.MethodPost, "/erasures", `{"eventIds":["`+w.events[0].EventID+`","`+of+`"],"reason":"a request"}`)
		require.Contains(t, wrong["message"], "eventIds[1] names no event that there is")
		require.NotContains(t, wrong["message"], "eventIds[0]")
	})
}

func TestInvalidOrders(t *testing.T) {
	for _, c := range []struct{ name, order, field string }{
		{"nothing to erase", `{}`, "subject"},
		{"two things", `{"subject":"a","value":"b","paths":["$.a"],"all":true}`, "subject"},
		{"an empty subject", `{"subject":""}`, "subject"},
		{"a long subject", `{"subject":"` + strings.Repeat("ü", 500) + `"}`, "subject"},
		{"a value without paths", `{"value":"a","all":true}`, "paths"},
		{"a value everywhere", `{"value":"a","paths":["$.a"]}`, "all"},
		{"everything of a window", `{"value":"a","paths":["$.a"],"all":true,"source":"acme"}`, "all"},
		{"no path", `{"value":"a","paths":["a"],"all":true}`, "paths[0]"},
		{"a path with a filter", `{"value":"a","paths":["$.a","$[?@.a == 1]"],"all":true}`, "paths[1]"},
		{"paths of a subject", `{"subject":"a","paths":["$.a"]}`, "paths"},
		{"no ids", `{"eventIds":[]}`, "eventIds"},
		{"an id that is none", `{"eventIds":["a"]}`, "eventIds[0]"},
		{"ids of a source", `{"eventIds":["01a20d22-776d-7693-b3eb-b9fe0a44c93d"],"source":"acme"}`, "eventIds"},
		{"no source", `{"subject":"a","source":"No Source"}`, "source"},
		{"a window that ends before it begins", `{"subject":"a","receivedFrom":"2026-01-02T00:00:00Z","receivedTo":"2026-01-01T00:00:00Z"}`, "receivedTo"},
		{"a limit of none", `{"subject":"a","limit":0}`, "limit"},
		{"a short reason", `{"subject":"a","reason":"x"}`, "reason"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var o Order
			require.NoError(t, json.Unmarshal([]byte(c.order), &o))
			dry := true
			o.DryRun = &dry
			faults := o.Mistakes()
			require.Len(t, faults, 1, "%v", faults)
			require.Equal(t, c.field, faults[0].Field)
		})
	}
	require.Equal(t, "reason", Order{EventIDs: []string{id.New()}}.Mistakes()[0].Field, "is required")
}

// TestAToolErasesByItself: the command goes on if a worker has taken the erasure over.
func TestAToolErasesByItself(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		subject, reason, told := "ada", "a request", 0
		long := fast
		long.Lease = time.Minute
		done, err := w.process(long).Erase(httpapi.WithActor(t.Context(), contract.ActorCLI), Order{Subject: &subject, Reason: &reason}, func(View) { told++ })
		require.NoError(t, err)
		require.Equal(t, "completed", done.Status)
		require.Equal(t, 10, done.Counts.Events)
		require.Positive(t, told)
		require.Len(t, w.erased(), 10)
		require.Equal(t, contract.ActorCLI, w.audit[1].Actor)
	})
}
