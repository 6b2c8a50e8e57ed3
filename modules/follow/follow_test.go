package follow

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

const managementKey = "a-management-key-of-tests"

// patience bounds the wait for something that must come.
const patience = 30 * time.Second

// fixture is the module over a trail in memory, in which rows commit in any order.
type fixture struct {
	t      *testing.T
	m      *Module
	server *httpapi.Server
	url    string

	mu      sync.Mutex
	entries []contract.TrailEntry
	events  map[string]contract.EventSummary
	reads   int
	failure error
	keys    map[string]httpapi.Caller
}

func setup(t *testing.T, cfg Config) *fixture {
	f := &fixture{t: t, events: map[string]contract.EventSummary{}, keys: map[string]httpapi.Caller{}}
	if cfg.Every == 0 {
		cfg.Every = time.Millisecond
	}
	f.m = New(cfg, Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System, Trail: f, Events: f})
	f.server = httpapi.New(httpapi.Config{ManagementKey: secret.New(managementKey)},
		httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System, Keys: f})
	f.m.Routes(f.server.Routes())
	listener := httptest.NewServer(f.server.Handler())
	t.Cleanup(listener.Close)
	t.Cleanup(f.server.Drain)
	f.url = listener.URL + "/api/v1/events/stream"
	return f
}

func (f *fixture) Authenticate(_ context.Context, key string) (httpapi.Caller, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if caller, known := f.keys[key]; known {
		return caller, nil
	}
	return httpapi.Caller{}, httpapi.Refuse("wrong_key")
}

func (f *fixture) RowsAfter(_ context.Context, after string, limit int) ([]contract.TrailRow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if f.failure != nil {
		return nil, f.failure
	}
	var rows []contract.TrailRow
	for _, e := range f.entries {
		if e.ID > after {
			rows = append(rows, contract.TrailRow{ID: e.ID})
		}
	}
	slices.SortFunc(rows, func(a, b contract.TrailRow) int { return strings.Compare(a.ID, b.ID) })
	return rows[:min(limit, len(rows))], nil
}

func (f *fixture) EntriesOf(_ context.Context, rows []contract.TrailRow) ([]contract.TrailEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []contract.TrailEntry
	for _, r := range rows {
		for _, e := range f.entries {
			if e.ID == r.ID {
				found = append(found, e)
			}
		}
	}
	return found, nil
}

func (f *fixture) Summaries(_ context.Context, ids []string) (map[string]contract.EventSummary, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := map[string]contract.EventSummary{}
	for _, eventID := range ids {
		if e, known := f.events[eventID]; known {
			found[eventID] = e
		}
	}
	return found, nil
}

// commit adds an entry whose id was made that long ago, and returns its id.
func (f *fixture) commit(ago time.Duration, action, source string) string {
	e := contract.TrailEntry{ID: id.At(time.Now().Add(-ago)), Action: action, Details: json.RawMessage(`{}`), EntityType: contract.EntityNormalizedEvent}
	e.Row = e.ID
	f.mu.Lock()
	defer f.mu.Unlock()
	if action == "webhook.rejected" {
		e.EntityType, e.Details = contract.EntityWebhookEvent, json.RawMessage(`{"source":"`+source+`","reason":"no_match"}`)
	} else {
		eventID := id.New()
		e.EntityID = &eventID
		subject := "Order 7"
		f.events[eventID] = contract.EventSummary{ID: eventID, Source: source, Provider: "acme", EventType: "order.created", Subject: &subject, Status: contract.EventPending}
	}
	f.entries = append(f.entries, e)
	return e.ID
}

// follower is a client.
type follower struct {
	t      *testing.T
	answer *http.Response
	lines  *bufio.Scanner
	lastID string
	end    context.CancelFunc
}

func (f *fixture) request(key, since, query string) (*http.Response, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	f.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+query, http.NoBody)
	require.NoError(f.t, err)
	r.Header.Set(httpapi.HeaderManagementKey, key)
	if since != "" {
		r.Header.Set(headerLastEventID, since)
	}
	answer, err := http.DefaultClient.Do(r) //nolint:bodyclose // by the cleanup
	require.NoError(f.t, err)
	f.t.Cleanup(func() { _ = answer.Body.Close() })
	return answer, cancel
}

func (f *fixture) follow(key, since, query string) *follower {
	answer, cancel := f.request(key, since, query)
	require.Equal(f.t, http.StatusOK, answer.StatusCode)
	require.Equal(f.t, httpapi.EventStream, answer.Header.Get("Content-Type"))
	return &follower{t: f.t, answer: answer, lines: bufio.NewScanner(answer.Body), end: cancel, lastID: since}
}

// next returns the name and data of the next event, or a comment.
func (f *follower) next() (name, data string) {
	f.t.Helper()
	for f.lines.Scan() {
		field, value, _ := strings.Cut(f.lines.Text(), ": ")
		switch field {
		case "event":
			name = value
		case "data":
			data = value
		case "id":
			f.lastID = value
		case "":
			if value != "" {
				name = ":" + value
				continue
			}
			if name != "" {
				return name, data
			}
		}
	}
	require.NoError(f.t, f.lines.Err())
	return "", ""
}

// entry returns the id of the next message's entry.
func (f *follower) entry() string {
	f.t.Helper()
	for {
		name, data := f.next()
		if strings.HasPrefix(name, ":") {
			continue
		}
		var said struct{ ID string }
		require.NoError(f.t, json.Unmarshal([]byte(data), &said), "%s %s", name, data)
		return said.ID
	}
}

func TestWhatHappensIsShown(t *testing.T) {
	f := setup(t, Config{})
	f.commit(time.Second, "event.normalized", "acme") // before the client came
	c := f.follow(managementKey, "", "")
	for _, step := range []struct{ action, kind, status string }{
		{"event.normalized", "received", "pending"}, {"event.retry_scheduled", "status", "retrying"}, {"event.processed", "status", "processed"},
		{"event.failed", "status", "failed"}, {"event.erased", "status", "pending"}, {"webhook.rejected", "refused", ""},
	} {
		f.commit(0, "event.queued", "acme")
		entryID := f.commit(0, step.action, "acme")
		name, data := c.next()
		for strings.HasPrefix(name, ":") {
			name, data = c.next()
		}
		require.Equal(t, step.kind, name)
		var said struct {
			ID, Action, Source string
			Event              *struct{ Status, Source string }
		}
		require.NoError(t, json.Unmarshal([]byte(data), &said))
		require.Equal(t, []string{entryID, step.action, "acme"}, []string{said.ID, said.Action, said.Source})
		require.Equal(t, step.status == "", said.Event == nil)
		if said.Event != nil {
			require.Equal(t, step.status, said.Event.Status)
		}
	}
}

// Ids are made before the commit: a slow transaction's rows appear below those that were
// shown long before.
func TestARowThatCommitsLateIsShown(t *testing.T) {
	f := setup(t, Config{})
	c := f.follow(managementKey, "", "")
	late := id.At(time.Now().Add(-20 * time.Second))
	shown := f.commit(0, "event.normalized", "acme")
	require.Equal(t, shown, c.entry())
	eventID := id.New()
	f.mu.Lock()
	f.events[eventID] = contract.EventSummary{ID: eventID, Source: "acme"}
	f.entries = append(f.entries, contract.TrailEntry{ID: late, Row: late, Action: "event.failed", EntityType: contract.EntityNormalizedEvent, EntityID: &eventID, Details: json.RawMessage(`{}`)})
	f.mu.Unlock()
	require.Equal(t, late, c.entry())
	next := f.commit(0, "event.normalized", "acme")
	require.Equal(t, next, c.entry(), "and nothing twice")
}

func TestAClientThatResumesMissesNothing(t *testing.T) {
	f := setup(t, Config{})
	old := f.commit(time.Hour, "event.normalized", "acme")
	var want []string
	for i := range 3 * rowsPerRead {
		want = append(want, f.commit(50*time.Minute-time.Duration(i)*time.Second, "event.failed", "acme"))
	}
	fresh := f.commit(10*time.Second, "event.failed", "acme")
	c := f.follow(managementKey, old, "")
	for i, entryID := range want {
		require.Equal(t, entryID, c.entry(), i)
		require.Less(t, c.lastID, entryID, "a client that disconnects now resumes before it")
	}
	require.Equal(t, fresh, c.entry())
	c.end()

	late := f.commit(20*time.Second, "event.failed", "acme") // commits after it was gone, below what it saw
	c = f.follow(managementKey, c.lastID, "")
	var again []string
	for !slices.Contains(again, fresh) || !slices.Contains(again, late) {
		again = append(again, c.entry())
	}
	require.Contains(t, append(slices.Clone(want[len(want)-1:]), late, fresh), again[0])
	live := f.commit(0, "event.failed", "acme")
	require.Equal(t, live, c.entry(), "what was sent while resuming is not sent again")
}

// A stream may end before it has shown anything.
func TestAClientCanResumeFromTheBeginning(t *testing.T) {
	f := setup(t, Config{Every: time.Hour})
	for range 2 { // the second one finds a poller that will not look again
		c := f.follow(managementKey, "", "")
		name, _ := c.next()
		require.Equal(t, ":following", name)
		require.True(t, id.Valid(c.lastID))
		require.Equal(t, f.commit(0, "event.failed", "acme"), f.follow(managementKey, c.lastID, "").entry())
		f.mu.Lock()
		f.entries = nil
		f.mu.Unlock()
	}
}

func TestAnOutageOfTheDatabaseLosesNoMessage(t *testing.T) {
	f := setup(t, Config{})
	c := f.follow(managementKey, "", "")
	f.mu.Lock()
	f.failure = errors.New("away")
	before := f.reads
	f.mu.Unlock()
	entryID := f.commit(0, "event.failed", "acme")
	f.until(func() bool { return f.reads > before+3 })
	f.mu.Lock()
	f.failure = nil
	f.mu.Unlock()
	require.Equal(t, entryID, c.entry())
}

// until waits for a condition of the fixture.
func (f *fixture) until(condition func() bool) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return condition()
	}, patience, time.Millisecond)
}

func TestAScopedKeySeesItsSourceAlone(t *testing.T) {
	f := setup(t, Config{})
	f.keys["key-of-acme"] = httpapi.Caller{Actor: "api-key:acme", Role: httpapi.Viewer, Scope: &httpapi.Scope{Sources: []string{"acme"}}}
	c := f.follow("key-of-acme", "", "")
	f.commit(0, "event.normalized", "globex")
	f.commit(0, "webhook.rejected", "globex")
	f.commit(0, "webhook.rejected", "(other)")
	own := f.commit(0, "webhook.rejected", "acme")
	require.Equal(t, own, c.entry())
	since := f.commit(0, "event.failed", "globex")
	own = f.commit(0, "event.failed", "acme")
	require.Equal(t, own, f.follow("key-of-acme", since, "").entry(), "nor when it resumes")
}

func TestFiltersSelectMessagesAsTheListOfEvents(t *testing.T) {
	f := setup(t, Config{})
	for _, query := range []string{"?kind=status", "?source=acme", "?provider=acme&status=failed", "?subject=ORDER", "?eventType=order.created", "?from=0001-01-01T00:00:00Z"} {
		c := f.follow(managementKey, "", query)
		switch query {
		case "?kind=status":
			f.commit(0, "event.normalized", "acme")
		case "?source=acme":
			f.commit(0, "event.normalized", "globex")
		default:
			f.commit(0, "webhook.rejected", "acme")
		}
		want := f.commit(0, "event.failed", "acme")
		require.Equal(t, want, c.entry(), query)
		c.end()
	}
	answer, _ := f.request(managementKey, "nonsense", "")
	require.Equal(t, http.StatusBadRequest, answer.StatusCode)
	answer, _ = f.request(managementKey, "", "?state=failed")
	require.Equal(t, http.StatusBadRequest, answer.StatusCode)
}

func TestFiltersLeaveOutWhatDoesNotMatch(t *testing.T) {
	subject, at := "Order 7", clock.At(time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC))
	of := body{Source: "acme", Event: &contract.EventSummary{Source: "acme", Provider: "acme", EventType: "order.created", ExternalEventID: &subject,
		CorrelationID: "c1", Subject: &subject, OccurredAt: at, ReceivedAt: at, Status: contract.EventFailed}}
	event, refusal := &message{kind: kindStatus, body: of}, &message{kind: kindRefused, body: body{Source: "acme"}}
	for _, one := range []struct {
		query          string
		event, refusal bool
	}{
		{"", true, true}, {"source=acme", true, true}, {"source=other", false, false},
		{"kind=status", true, false}, {"kind=refused", false, true}, {"kind=received", false, false},
		{"provider=acme", true, false}, {"provider=globex", false, false},
		{"eventType=order.created", true, false}, {"eventType=order", false, false},
		{"externalEventId=Order+7", true, false}, {"externalEventId=x", false, false},
		{"correlationId=c1", true, false}, {"correlationId=c2", false, false},
		{"status=failed", true, false}, {"status=processed", false, false},
		{"subject=dER", true, false}, {"subject=orders", false, false},
		{"from=2026-01-05T09:00:00Z&to=2026-01-05T09:00:00Z", true, false}, {"from=2026-01-05T09:00:01Z", false, false}, {"to=2026-01-05T08:59:59Z", false, false},
		{"receivedFrom=2026-01-05T09:00:00Z&receivedTo=2026-01-05T09:00:00Z", true, false}, {"receivedFrom=2026-01-05T09:00:01Z", false, false}, {"receivedTo=2026-01-05T08:59:59Z", false, false},
	} {
		q, err := httpapi.ParseQuery(one.query, streamSpec)
		require.NoError(t, err)
		want := filterOf(nil, q)
		require.Equal(t, []bool{one.event, one.refusal}, []bool{want.matches(event), want.matches(refusal)}, one.query)
		want.scope = &httpapi.Scope{Sources: []string{"globex"}}
		require.False(t, want.matches(event) || want.matches(refusal), one.query)
	}
}

func TestNobodyReadsWhileNobodyFollows(t *testing.T) {
	f := setup(t, Config{MaxClients: 2})
	first, second := f.follow(managementKey, "", ""), f.follow(managementKey, "", "")
	answer, _ := f.request(managementKey, "", "")
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	require.NotEmpty(t, answer.Header.Get("Retry-After"))
	first.end()
	second.end()
	require.Eventually(t, func() bool {
		f.m.mu.Lock()
		defer f.m.mu.Unlock()
		return f.m.open == 0 && f.m.poller == nil && len(f.m.clients) == 0
	}, patience, time.Millisecond)
	third := f.follow(managementKey, "", "")
	require.Equal(t, f.commit(0, "event.failed", "acme"), third.entry())
}

func TestAStreamEndsWithItsReason(t *testing.T) {
	ends := func(c *follower) string {
		for {
			if name, data := c.next(); name == "end" || name == "" {
				return data
			}
		}
	}
	t.Run("the process stops", func(t *testing.T) {
		f := setup(t, Config{})
		c := f.follow(managementKey, "", "")
		f.server.Drain()
		require.JSONEq(t, `{"reason":"stopping"}`, ends(c))
		require.True(t, id.Valid(c.lastID), "another process can go on")
	})
	t.Run("the key is revoked", func(t *testing.T) {
		f := setup(t, Config{Heartbeat: 5 * time.Millisecond})
		f.keys["short"] = httpapi.Caller{Actor: "api-key:short", Role: httpapi.Viewer}
		c := f.follow("short", "", "")
		for name := ""; name != ":heartbeat"; {
			name, _ = c.next()
		}
		f.mu.Lock()
		delete(f.keys, "short")
		f.mu.Unlock()
		require.JSONEq(t, `{"reason":"credential"}`, ends(c))
	})
	t.Run("the database does not answer while it resumes", func(t *testing.T) {
		f := setup(t, Config{})
		f.failure = errors.New("away")
		require.JSONEq(t, `{"reason":"unavailable"}`, ends(f.follow(managementKey, id.New(), "")))
	})
}

func TestASlowClientIsDroppedAndHoldsNobodyUp(t *testing.T) {
	slow, quick := &client{messages: make(chan *message, 2)}, &client{messages: make(chan *message, 8)}
	list := []*message{{kind: kindStatus, id: "1"}, {kind: kindStatus, id: "2"}, {kind: kindStatus, id: "3"}}
	for _, c := range []*client{slow, quick} {
		c.offer(list)
	}
	require.True(t, slow.behind)
	require.Len(t, quick.messages, 3)
	require.Equal(t, []string{"1", "2"}, []string{(<-slow.messages).id, (<-slow.messages).id}, "it gets what it has")
	_, more := <-slow.messages
	require.False(t, more)
	slow.offer(list)
}
