package ingestion

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const (
	managementKey = "a-management-key-of-tests"
	acmeSecret    = "acme-demo-secret"
	globexSecret  = "globex-demo-secret"
)

// auditor keeps refusals and writes entries where the real one does.
type auditor struct {
	mu      sync.Mutex
	refused []contract.Refusal
	poison  string // entries of a webhook with this type of event cannot be written
	failure error
}

func (a *auditor) Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error {
	rows := database.NewRows("id uuid", "entity_type text", "entity_id uuid", "action text", "actor text", "details text", "created_at timestamptz")
	for _, e := range entries {
		if a.poison != "" && strings.Contains(string(e.Details), a.poison) {
			return a.failure
		}
		rows.Add(id.New(), e.EntityType, e.EntityID, e.Action, e.Actor, string(e.Details), tx.Now)
	}
	return tx.Insert(ctx, "audit_entries", rows)
}

func (a *auditor) Refused(r contract.Refusal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = append(a.refused, r)
}

// take gives the refusals so far and forgets them.
func (a *auditor) take() []contract.Refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := a.refused
	a.refused = nil
	return taken
}

// deliveries makes one job an event, but none for integrations in idle.
type deliveries struct {
	idle     map[string]bool
	attempts []contract.Attempt
	jobs     []contract.Job

	routing    func() // is called before the commit
	scheduling func() // is called within it
}

func (d *deliveries) Route(context.Context, []contract.NewEvent) {
	if d.routing != nil {
		d.routing()
	}
}

func (d *deliveries) Schedule(ctx context.Context, tx *database.Tx, events []contract.NewEvent) ([]contract.Scheduled, error) {
	rows := database.NewRows("id uuid", "normalized_event_id uuid", "triggered_by text", "status text",
		"attempt_no bigint", "budget_start bigint", "parked boolean", "wake_at timestamptz", "created_at timestamptz")
	var scheduled []contract.Scheduled
	if d.scheduling != nil {
		d.scheduling()
	}
	for _, e := range events {
		if d.idle[e.IntegrationID] {
			scheduled = append(scheduled, contract.Scheduled{EventID: e.EventID, Reason: "no active destination"})
			continue
		}
		job := id.New()
		rows.Add(job, e.EventID, "webhook", "queued", 1, 0, false, tx.Now, tx.Now)
		scheduled = append(scheduled, contract.Scheduled{EventID: e.EventID, Jobs: []contract.JobRef{{EventID: e.EventID, JobID: job}}})
	}
	return scheduled, tx.Insert(ctx, "processing_jobs", rows)
}

func (d *deliveries) History(context.Context, string) ([]contract.Attempt, []contract.Job, error) {
	return d.attempts, d.jobs, nil
}

func (d *deliveries) Jobs(context.Context, string) ([]contract.Job, error) { return d.jobs, nil }

// rot13 stands for the real hash.
type rot13 struct{}

func (rot13) Digest(text string) string { return "digest:" + turn(text) }

func (r rot13) Matches(text, digest string) bool { return r.Digest(text) == digest }

func (rot13) Seal(at secret.Place, value secret.Value) (string, error) {
	return turn(at.String() + " " + value.Reveal()), nil
}

func (rot13) Open(at secret.Place, stored string) (secret.Value, error) {
	text, ok := strings.CutPrefix(turn(stored), at.String()+" ")
	if !ok {
		return secret.Value{}, errNothingKnown
	}
	return secret.New(text), nil
}

func turn(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return 'a' + (r-'a'+13)%26
		}
		return r
	}, text)
}

// down is a cache that never answers: at once, or only when it is given up on.
type down struct {
	cache.Cache
	hangs bool
}

func (d down) fail(ctx context.Context) error {
	if d.hangs {
		<-ctx.Done()
	}
	return cache.ErrDown
}

func (d down) Claim(ctx context.Context, _ []cache.Claim) ([]cache.Claimed, error) {
	return nil, d.fail(ctx)
}

func (d down) Set(ctx context.Context, _ []cache.Item) error { return d.fail(ctx) }

func (d down) Count(ctx context.Context, _ []cache.Count) ([]cache.Counted, error) {
	return nil, d.fail(ctx)
}

type gateway struct {
	t       testing.TB
	db      *database.DB
	module  *Module
	handler http.Handler
	router  *echo.Echo
	audit   *auditor
	to      *deliveries
	sources *configured
	acme    string // the integrations' ids
	globex  string
}

// eachStore runs test beside others, on databases of its own: it mostly waits for them.
func eachStore(t *testing.T, test func(t *testing.T, db *database.DB)) {
	t.Parallel()
	testkit.EachStore(t, test)
}

// setup makes a gateway with the sources acme and globex. change may adjust what it
// is made of.
func setup(t testing.TB, db *database.DB, change ...func(*Config, *Deps)) *gateway {
	g := &gateway{t: t, db: db, audit: &auditor{failure: errors.New("poison")}, to: &deliveries{idle: map[string]bool{}}, sources: newConfigured()}
	cfg := Config{MaxBodyBytes: 64 << 10, RateLimitPerMinute: 6000, FailureLimitPerMinute: 1000, IdempotencyTTL: time.Hour,
		Quarantine: Quarantine{Retention: time.Hour, PerSource: 1000, BytesPerSource: 1 << 20, BytesPerMinute: 1 << 20}}
	d := Deps{
		DB: db, Log: slog.New(slog.DiscardHandler), Cache: cache.NewMemory(0, clock.System), Now: clock.System, Sources: g.sources,
		Audit: g.audit, Scheduler: g.to, Deliveries: g.to, Digester: rot13{},
	}
	for _, c := range change {
		c(&cfg, &d)
	}
	g.module = New(cfg, d)
	t.Cleanup(func() { _ = g.module.Close() })
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	server := httpapi.New(httpapi.Config{ManagementKey: secret.New(managementKey)}, httpapi.Deps{Log: log, Now: clock.System})
	g.module.Routes(server.Routes())
	g.router, _ = server.Handler().(*echo.Echo)
	g.handler = testkit.Checked(t, g.router)
	g.acme = g.sources.add("acme", "acme", acmeSecret)
	g.globex = g.sources.add("globex", "globex", globexSecret)
	return g
}

func (g *gateway) exec(query string, args ...any) {
	g.t.Helper()
	require.NoError(g.t, g.db.InTx(g.t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(g.t.Context(), query, args...)
		return err
	}))
}

func (g *gateway) count(table string) (n int) {
	g.t.Helper()
	require.NoError(g.t, g.db.Get(g.t.Context(), &n, "SELECT count(*) FROM "+table))
	return n
}

// stored is the number of events and of everything that belongs to one.
func (g *gateway) stored() int {
	g.t.Helper()
	n := g.count("normalized_events")
	for _, table := range []string{"idempotency_keys", "event_states", "processing_jobs"} {
		require.Equal(g.t, n, g.count(table), table)
	}
	require.Equal(g.t, 2*n+g.count("webhook_events")+g.count("webhook_events WHERE marks IS NOT NULL"), g.count("audit_entries"))
	return n
}

type answer struct {
	Status  int
	Header  http.Header
	Success bool            `json:"success"`
	Data    json.RawMessage `json:"data"`
	Meta    json.RawMessage `json:"meta"`
	Error   struct {
		Code    string        `json:"code"`
		Message string        `json:"message"`
		Details []fault.Field `json:"details"`
	} `json:"error"`
}

func (a answer) receipt(t testing.TB) (r receipt) {
	t.Helper()
	require.NoError(t, json.Unmarshal(a.Data, &r), "%d %+v", a.Status, a.Error)
	return r
}

func (g *gateway) do(r *http.Request) answer {
	recorder := httptest.NewRecorder()
	g.handler.ServeHTTP(recorder, r)
	a := answer{Status: recorder.Code, Header: recorder.Header()}
	if err := json.Unmarshal(recorder.Body.Bytes(), &a); err != nil {
		panic(fmt.Sprintf("%s: %s", err, recorder.Body))
	}
	return a
}

func request(source, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/webhooks/"+source, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func sign(body string) string { return signWith(acmeSecret, body) }

// acmeRequest is a signed webhook of acme; headers come in pairs.
func acmeRequest(body string, headers ...string) *http.Request {
	r := request("acme", body)
	r.Header.Set("X-Acme-Signature", sign(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func acmeBody(eventID string) string {
	return `{"eventId":"` + eventID + `","eventType":"order.created","occurredAt":"2026-01-31T12:00:00Z","data":{"id":"d1"}}`
}

func (g *gateway) get(path string) answer { return g.manage(http.MethodGet, path, "") }

// manage sends a management request.
func (g *gateway) manage(method, path, body string) answer {
	if rest, ok := strings.CutPrefix(path, "/integrations"); ok {
		return g.sources.manage(g.t, method, rest, body)
	}
	r := httptest.NewRequest(method, "/api/v1"+path, strings.NewReader(body))
	r.Header.Set(httpapi.HeaderManagementKey, managementKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return g.do(r)
}

// create makes a source of acme and gives its integration's id.
func (g *gateway) create(source string, secrets ...string) string {
	return g.sources.add(source, "acme", secrets...)
}

// actions are what the audit trail says of an entity, in order.
func (g *gateway) actions(entityID string) []string {
	g.t.Helper()
	var actions []string
	require.NoError(g.t, g.db.Select(g.t.Context(), &actions, `SELECT action FROM audit_entries WHERE entity_id = $1 ORDER BY id`, entityID))
	return actions
}

// sentTo is the status of a webhook of acme signed with a secret.
func (g *gateway) sentTo(source, secretText, eventID string) int {
	body := acmeBody(eventID)
	r := request(source, body)
	r.Header.Set("X-Acme-Signature", signWith(secretText, body))
	return g.do(r).Status
}

func signWith(secretText, body string) string {
	spec, _ := provider.Builtin().Spec("acme")
	return spec.Verify.(provider.HMAC).Sign(secret.New(secretText), []byte(body))
}

// requireFields compares mistakes with "field: part of the message".
func requireFields(t *testing.T, want []string, got []fault.Field) {
	t.Helper()
	require.Len(t, got, len(want), "%v", got)
	for i, w := range want {
		field, part, _ := strings.Cut(w, ": ")
		require.Equal(t, field, got[i].Field)
		require.Contains(t, got[i].Message, part)
	}
}

// fakeClock is a clock that tests move. It starts at the beginning of a minute.
type fakeClock struct {
	mu sync.Mutex
	at time.Time
}

func newFakeClock() *fakeClock { return &fakeClock{at: clock.System().Truncate(time.Minute)} }

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *fakeClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
