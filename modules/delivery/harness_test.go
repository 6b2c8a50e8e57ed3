package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// harness is the module on a real database, with the in-process broker, a real
// receiver, and stand-ins for the modules that it talks to.
type harness struct {
	*Module
	t           testing.TB
	db          *database.DB
	broker      *broker.Memory
	events      *fakeEvents
	replays     *fakeReplays
	audit       *fakeAudit
	integration string
	sender      *switchable
	receiver    *receiver
	others      []*harness // further workers of the same installation
}

// eachStore runs test beside others, on databases of its own: it mostly waits.
func eachStore(t *testing.T, test func(t *testing.T, db *database.DB)) {
	t.Parallel()
	testkit.EachStore(t, test)
}

func eachHarness(t *testing.T, test func(h *harness)) {
	eachStore(t, func(t *testing.T, db *database.DB) { test(newHarness(t, db, Config{})) })
}

func newHarness(t testing.TB, db *database.DB, cfg Config) *harness {
	h := &harness{t: t, db: db, broker: broker.NewMemory(clock.System, nil), integration: id.New()}
	h.events = &fakeEvents{db: db, payloads: map[string]contract.Deliverable{}, inactive: map[string]bool{}, originals: map[string]contract.Original{}}
	h.replays = &fakeReplays{orders: map[string]contract.ReplayOrder{}, dispatched: map[string]bool{}, ends: map[string]contract.ReplayEnd{}}
	h.audit = &fakeAudit{}
	h.receiver = newReceiver(t)
	cfg = tested(cfg)
	h.sender = &switchable{egress.New(egress.Config{Allow: egress.Allow{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})}
	h.Module = New(cfg, Deps{DB: db, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: clock.System,
		Broker: h.broker, Cache: cache.None{}, Events: h.events, Replays: h.replays, Auditor: h.audit, Refusals: h.audit, Sealer: rot{},
		Sender: h.sender})
	h.newIntegration()
	return h
}

// newIntegration stores the harness's integration.
func (h *harness) newIntegration() {
	h.t.Helper()
	h.tx(func(ctx context.Context, tx *database.Tx) error {
		rows := database.NewRows("id uuid", "source text", "provider text", "name text", "is_active boolean", "created_at timestamptz", "updated_at timestamptz")
		rows.Add(h.integration, h.integration, "acme", "Acme", true, tx.Now, tx.Now)
		return tx.Insert(ctx, "integrations", rows)
	})
}

// tested is a configuration that has operators' settings where cfg says nothing.
func tested(cfg Config) Config {
	setDefault(&cfg.Queues, broker.Names{Process: "ig.events.process", Retry: "ig.events.retry", Replay: "ig.events.replay", Dead: "ig.events.dead"})
	setDefault(&cfg.RetryBase, 20*time.Millisecond)
	setDefault(&cfg.RetryCap, 30*time.Minute)
	setDefault(&cfg.MaxAttempts, 3)
	setDefault(&cfg.RelayEvery, 50*time.Millisecond)
	setDefault(&cfg.Timeout, 30*time.Second) // beside other tests an attempt may take seconds
	setDefault(&cfg.LockTTL, time.Minute)
	setDefault(&cfg.LeaseMargin, 30*time.Second)
	setDefault(&cfg.BreakerVolume, 20)
	setDefault(&cfg.BreakerRate, 0.8)
	setDefault(&cfg.BreakerProbe, 5*time.Second)
	setDefault(&cfg.Concurrency, 256)
	setDefault(&cfg.PerDestination, 64)
	setDefault(&cfg.Grace, 15*time.Second)
	return cfg
}

// switchable is a Sender that another one may take the place of before anything is sent.
type switchable struct{ destination.Sender }

func (s *switchable) use(other destination.Sender) { s.Sender = other }

// run starts the worker and the relay and gives what stops them and waits.
func (h *harness) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var both sync.WaitGroup
	both.Go(func() {
		if err := h.Work(ctx, []contract.Queue{contract.ProcessQueue, contract.ReplayQueue}); err != nil {
			h.t.Errorf("work: %v", err)
		}
	})
	both.Go(func() { _ = h.Relay(ctx) })
	stop = sync.OnceFunc(func() { cancel(); both.Wait() })
	h.t.Cleanup(stop)
	return stop
}

func (h *harness) destination(url string) string {
	return h.add(contract.DestinationConfig{URL: &url}).ID
}

func (h *harness) add(c contract.DestinationConfig) (made contract.NewDestination) {
	h.t.Helper()
	h.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		made, err = h.AddDestination(ctx, tx, h.integration, c)
		return err
	})
	return made
}

// accept stores an event as ingestion does and gives its id.
func (h *harness) accept() string {
	eventID := id.New()
	h.schedule(eventID)
	return eventID
}

// schedule stores an event as ingestion does and gives what became of it.
func (h *harness) schedule(eventID string) contract.Scheduled {
	h.t.Helper()
	h.events.add(eventID, h.integration)
	events := []contract.NewEvent{h.newEvent(eventID)}
	h.Route(context.Background(), events)
	var scheduled []contract.Scheduled
	h.tx(func(ctx context.Context, tx *database.Tx) error {
		if err := h.events.insert(ctx, tx, eventID); err != nil {
			return err
		}
		var err error
		scheduled, err = h.Schedule(ctx, tx, events)
		return err
	})
	return scheduled[0]
}

// newEvent is an event that was added, as ingestion has it before it is stored.
func (h *harness) newEvent(eventID string) contract.NewEvent {
	h.events.mu.Lock()
	defer h.events.mu.Unlock()
	e := h.events.payloads[eventID]
	return contract.NewEvent{EventID: eventID, IntegrationID: h.integration, CorrelationID: e.CorrelationID, Source: e.Source,
		Provider: e.Provider, EventType: e.EventType, Payload: e.Payload, Headers: []byte(originalHeaders)}
}

// originalHeaders and originalBody are those of every webhook here.
const (
	originalHeaders = `{"content-type":["application/json; charset=utf-8"],"host":["gateway.example"],"content-length":["12"],"user-agent":["Acme/1"],
		"x-acme-signature":["abc"],"x-many":["a","b"],"x-acme-token":["[redacted]"],"x-forwarded-for":["1.2.3.4"],"content-encoding":["gzip"],"x-event-id":["theirs"]}`
	originalBody = "{ \"a\" : 1.10 }\n"
)

func (h *harness) replay(o contract.ReplayOrder) string {
	o.RequestID = id.New()
	h.replays.add(o)
	h.tx(func(ctx context.Context, tx *database.Tx) error {
		return h.Dispatch(ctx, tx, o, h.integration)
	})
	return o.RequestID
}

// claim claims jobs under one token.
func (h *harness) claim(ctx context.Context, token string, refs []ref) ([]claimed, error) {
	return h.Module.claim(ctx, bidsOf(token, refs))
}

func bidsOf(token string, refs []ref) []bid {
	bids := make([]bid, len(refs))
	for i, r := range refs {
		bids[i] = bid{ref: r, token: token}
	}
	return bids
}

func (h *harness) tx(do func(ctx context.Context, tx *database.Tx) error) {
	h.t.Helper()
	ctx := context.Background()
	require.NoError(h.t, h.db.InTx(ctx, func(tx *database.Tx) error { return do(ctx, tx) }))
}

func (h *harness) exec(query string, args ...any) int64 {
	h.t.Helper()
	var n int64
	h.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		n, err = tx.Exec(ctx, query, args...)
		return err
	})
	return n
}

func (h *harness) state(eventID string) contract.EventState {
	h.t.Helper()
	s, err := h.events.read(eventID)
	require.NoError(h.t, err)
	return s
}

// becomes waits until the event has a status.
func (h *harness) becomes(eventID string, want contract.EventStatus) contract.EventState {
	h.t.Helper()
	h.eventually("event to become "+string(want), func() bool { return h.state(eventID).Status == want })
	return h.state(eventID)
}

// eventually waits for what must come. Its bound is for what never does: SQLite under the
// race detector is thirty times slower, and slower still beside other tests.
func (h *harness) eventually(what string, true func() bool) {
	h.t.Helper()
	require.Eventually(h.t, true, 3*time.Minute, 10*time.Millisecond, what)
}

// audited waits until the event's audit trail is these actions.
func (h *harness) audited(eventID string, want ...string) {
	h.t.Helper()
	h.eventually("the audit trail "+strings.Join(want, ", "), func() bool { return slices.Equal(want, h.audit.actions(eventID)) })
}

func (h *harness) history(eventID string) ([]contract.Attempt, []contract.Job) {
	h.t.Helper()
	attempts, jobs, err := h.History(context.Background(), eventID)
	require.NoError(h.t, err)
	return attempts, jobs
}

// receiver is a destination. It answers what answer says, 200 by default.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []*http.Request
	bodies [][]byte
	answer func(n int, w http.ResponseWriter, r *http.Request)
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.got, r.bodies = append(r.got, req), append(r.bodies, body)
		n, answer := len(r.got), r.answer
		r.mu.Unlock()
		if answer != nil {
			answer(n, w, req)
		}
	}))
	t.Cleanup(func() { r.CloseClientConnections(); r.Close() })
	return r
}

func (r *receiver) answers(answer func(n int, w http.ResponseWriter, r *http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func status500(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }

type fakeEvents struct {
	db       *database.DB
	mu       sync.Mutex
	payloads map[string]contract.Deliverable
	inactive map[string]bool

	originals    map[string]contract.Original
	asked        int // for originals
	deferring    int // reads of payloads that are deferred, from now on
	renormalized map[string]contract.Renormalized
}

func (f *fakeEvents) add(eventID, integrationID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.payloads[eventID] = contract.Deliverable{EventID: eventID, IntegrationID: integrationID, Source: "acme", Provider: "acme", EventType: "order.created",
		IdempotencyKey: "key-of-" + eventID, CorrelationID: "corr-" + eventID, Payload: []byte(`{"eventType":"order.created","data":{"n":12345678901234567890}}`)}
	f.originals[eventID] = contract.Original{EventID: eventID, Headers: []byte(originalHeaders), Body: []byte(originalBody)}
}

func (f *fakeEvents) insert(ctx context.Context, tx *database.Tx, eventID string) error {
	rows := database.NewRows("event_id uuid", "status text", "processing_attempts bigint", "received_at timestamptz", "updated_at timestamptz")
	rows.Add(eventID, "pending", 0, tx.Now, tx.Now)
	return tx.Insert(ctx, "event_states", rows)
}

func (f *fakeEvents) Deliverables(_ context.Context, ids []string) (list []contract.Deliverable, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, eventID := range ids {
		if d, ok := f.payloads[eventID]; ok {
			d.Active = !f.inactive[d.IntegrationID]
			if f.deferring > 0 {
				f.deferring--
				d.Payload, d.Deferred = nil, true
			}
			list = append(list, d)
		}
	}
	return list, nil
}

func (f *fakeEvents) Originals(_ context.Context, ids []string) (list []contract.Original, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked += len(ids)
	for _, eventID := range ids {
		if o, ok := f.originals[eventID]; ok {
			list = append(list, o)
		}
	}
	return list, nil
}

func (f *fakeEvents) Renormalize(_ context.Context, ids []string) (list []contract.Renormalized, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, eventID := range ids {
		if r, ok := f.renormalized[eventID]; ok {
			list = append(list, r)
		}
	}
	return list, nil
}

type stateRow struct {
	EventID  string      `db:"event_id"`
	Status   string      `db:"status"`
	Attempts int         `db:"processing_attempts"`
	Error    *string     `db:"last_error"`
	At       *clock.Time `db:"last_processed_at"`
	Erased   bool        `db:"erased"`
}

func (r stateRow) state() contract.EventState {
	s := contract.EventState{EventID: r.EventID, Status: contract.EventStatus(r.Status), ProcessingAttempts: r.Attempts, LastError: r.Error, Erased: r.Erased}
	if r.At != nil {
		s.LastProcessedAt = &r.At.Time
	}
	return s
}

const stateColumns = `event_id, status, processing_attempts, last_error, last_processed_at, erased_at IS NOT NULL AS erased`

func (f *fakeEvents) read(eventID string) (contract.EventState, error) {
	var row stateRow
	err := f.db.Get(context.Background(), &row, `SELECT `+stateColumns+` FROM event_states WHERE event_id = $1`, eventID)
	return row.state(), err
}

func (f *fakeEvents) LockStates(ctx context.Context, tx *database.Tx, ids []string) ([]contract.EventState, error) {
	return f.lock(ctx, tx, ids, tx.Dialect.ForUpdate)
}

func (f *fakeEvents) LockFreeStates(ctx context.Context, tx *database.Tx, ids []string) ([]contract.EventState, error) {
	return f.lock(ctx, tx, ids, tx.Dialect.SkipLocked)
}

func (f *fakeEvents) lock(ctx context.Context, tx *database.Tx, ids []string, locking string) ([]contract.EventState, error) {
	var rows []stateRow
	err := tx.SelectRows(ctx, &rows, database.IDs(ids), `SELECT `+stateColumns+` FROM event_states WHERE event_id IN (SELECT v.id FROM v) ORDER BY event_id`+locking)
	states := make([]contract.EventState, len(rows))
	for i, r := range rows {
		states[i] = r.state()
	}
	return states, err
}

func (f *fakeEvents) SaveStates(ctx context.Context, tx *database.Tx, states []contract.EventState) error {
	rows := database.NewRows("id uuid", "new_status text", "attempts bigint", "problem text", "at timestamptz", "now timestamptz")
	for _, s := range states {
		rows.Add(s.EventID, string(s.Status), s.ProcessingAttempts, s.LastError, s.LastProcessedAt, s.UpdatedAt)
	}
	_, err := tx.ExecRows(ctx, rows, `UPDATE event_states SET status = v.new_status, processing_attempts = v.attempts,
		last_error = v.problem, last_processed_at = v.at, updated_at = v.now FROM v WHERE event_id = v.id`)
	return err
}

// erase takes an event's payload away and marks it, as ingestion does.
func (f *fakeEvents) erase(ctx context.Context, tx *database.Tx, eventID string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.payloads, eventID)
	delete(f.originals, eventID)
	_, err := tx.Exec(ctx, `UPDATE event_states SET erased_at = $1 WHERE event_id = $2`, tx.Now, eventID)
	return err
}

func (f *fakeEvents) setActive(id string, active bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inactive[id] = !active
}

func (f *fakeEvents) ActiveIntegrations(_ context.Context, ids []string) (map[string]bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	active := map[string]bool{}
	for _, id := range ids {
		active[id] = !f.inactive[id]
	}
	return active, nil
}

type fakeReplays struct {
	mu         sync.Mutex
	orders     map[string]contract.ReplayOrder
	dispatched map[string]bool
	ends       map[string]contract.ReplayEnd

	renormalized map[string]bool
}

func (f *fakeReplays) add(o contract.ReplayOrder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders[o.RequestID] = o
}

func (f *fakeReplays) Orders(_ context.Context, _ *database.Tx, ids []string) (list []contract.ReplayOrder, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		if _, ended := f.ends[id]; !ended && !f.dispatched[id] {
			list = append(list, f.orders[id])
		}
	}
	return list, nil
}

func (f *fakeReplays) Dispatched(_ context.Context, tx *database.Tx, orders []contract.ReplayOrder) error {
	tx.AfterCommit(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, o := range orders {
			f.dispatched[o.RequestID] = true
		}
	})
	return nil
}

func (f *fakeReplays) Ended(_ context.Context, tx *database.Tx, ends []contract.ReplayEnd) error {
	tx.AfterCommit(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, e := range ends {
			f.ends[e.RequestID] = e
		}
	})
	return nil
}

func (f *fakeReplays) Renormalized(_ context.Context, ids []string) (map[string]bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := map[string]bool{}
	for _, id := range ids {
		if f.renormalized[id] {
			found[id] = true
		}
	}
	return found, nil
}

func (f *fakeReplays) end(id string) *contract.ReplayEnd {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e, ok := f.ends[id]; ok {
		return &e
	}
	return nil
}

// rot stands in for encryption: what it seals is not what it was, and
// opens in its place alone.
type rot struct{}

func (rot) Seal(at secret.Place, v secret.Value) (string, error) {
	return "sealed:" + at.String() + ":" + v.Reveal(), nil
}

func (rot) Open(at secret.Place, stored string) (secret.Value, error) {
	text, ok := strings.CutPrefix(stored, "sealed:"+at.String()+":")
	if !ok {
		return secret.Value{}, errors.New("not sealed")
	}
	return secret.New(text), nil
}

type fakeAudit struct {
	mu       sync.Mutex
	entries  []contract.AuditEntry
	refusals []contract.Refusal
}

func (f *fakeAudit) Refused(r contract.Refusal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusals = append(f.refusals, r)
}

func (f *fakeAudit) refused() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.refusals)
}

func (f *fakeAudit) Record(_ context.Context, tx *database.Tx, entries []contract.AuditEntry) error {
	tx.AfterCommit(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.entries = append(f.entries, entries...)
	})
	return nil
}

func (f *fakeAudit) actions(eventID string) (list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.entries {
		if *e.EntityID == eventID && json.Valid(e.Details) {
			list = append(list, e.Action)
		}
	}
	return list
}
