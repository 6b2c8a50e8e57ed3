package integrations

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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

// auditor writes entries where the real one does.
type auditor struct{}

func (auditor) Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error {
	rows := database.NewRows("id uuid", "entity_type text", "entity_id uuid", "action text", "actor text", "details text", "created_at timestamptz")
	for _, e := range entries {
		rows.Add(id.New(), e.EntityType, e.EntityID, e.Action, e.Actor, string(e.Details), tx.Now)
	}
	return tx.Insert(ctx, "audit_entries", rows)
}

// rot13 stands for the real encryption: what is stored is not the secret, and
// opens in its place alone.
type rot13 struct{}

func (rot13) Seal(at secret.Place, v secret.Value) (string, error) {
	return "sealed:" + at.String() + ":" + turn(v.Reveal()), nil
}

func (rot13) Open(at secret.Place, stored string) (secret.Value, error) {
	text, ok := strings.CutPrefix(stored, "sealed:"+at.String()+":")
	if !ok {
		return secret.Value{}, errors.New("not sealed")
	}
	return secret.New(turn(text)), nil
}

func turn(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return 'a' + (r-'a'+13)%26
		}
		return r
	}, text)
}

type gateway struct {
	t       testing.TB
	db      *database.DB
	module  *Module
	now     clock.Now
	handler http.Handler
	to      *destinations
	acme    string // the integrations' ids
	globex  string
	euID    string
}

// setup makes a module with the sources acme and globex. change may adjust what it is made
// of.
func setup(t testing.TB, db *database.DB, change ...func(*Config, *Deps)) *gateway {
	g := &gateway{t: t, db: db, to: &destinations{idle: map[string]bool{}}}
	cfg := Config{MaxSourceBodyBytes: 32 << 20, QuarantineTime: 168 * time.Hour}
	d := Deps{
		DB: db, Log: slog.New(slog.DiscardHandler), Now: clock.System, Providers: provider.Builtin(),
		Audit: auditor{}, Destinations: g.to, Sealer: rot13{},
	}
	for _, c := range change {
		c(&cfg, &d)
	}
	g.module, g.now = New(cfg, d), d.Now
	t.Cleanup(func() { _ = g.module.Close() })
	server := httpapi.New(httpapi.Config{ManagementKey: secret.New(managementKey)}, httpapi.Deps{Log: d.Log, Now: clock.System})
	g.module.Routes(server.Routes())
	g.handler = testkit.Checked(t, server.Handler())
	g.acme = g.add("acme", "acme", acmeSecret)
	g.globex = g.add("globex", "globex", globexSecret)
	return g
}

// add makes a source that is as old as the gateway: one that exists stays, and the audit
// trail does not tell of it.
func (g *gateway) add(source, providerName string, secrets ...string) (integrationID string) {
	g.t.Helper()
	require.NoError(g.t, g.db.InTx(g.t.Context(), func(tx *database.Tx) error {
		ctx := g.t.Context()
		integrationID = id.New()
		n, err := tx.Exec(ctx, insertNewIntegrationSQL, integrationID, source, providerName, source, true, nil, nil, "{}", "[]", tx.Now)
		if err != nil || n == 0 {
			return errors.Join(err, tx.Get(ctx, &integrationID, selectIntegrationBySourceSQL, source))
		}
		var all []SecretConfig
		for _, s := range secrets {
			row := integrationRow{Provider: providerName, Options: "{}"}
			all = append(all, SecretConfig{Value: secret.New(s)}.purposed(row.spec(g.module.d.Providers)))
		}
		_, err = g.module.insertSecrets(ctx, tx, integrationID, all)
		return err
	}))
	g.module.snapshots.invalidate(source)
	return integrationID
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

func (a answer) list(t testing.TB) (ids []string, meta map[string]any) {
	t.Helper()
	var rows []struct{ ID string }
	require.NoError(t, json.Unmarshal(a.Data, &rows), "%d %+v", a.Status, a.Error)
	require.NoError(t, json.Unmarshal(a.Meta, &meta))
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids, meta
}

func keys(o any) (names []string) {
	for name := range o.(map[string]any) {
		names = append(names, name)
	}
	return names
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

func (g *gateway) get(path string) answer { return g.manage(http.MethodGet, path, "") }

// manage sends a management request.
func (g *gateway) manage(method, path, body string) answer {
	r := httptest.NewRequest(method, "/api/v1"+path, strings.NewReader(body))
	r.Header.Set(httpapi.HeaderManagementKey, managementKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return g.do(r)
}

// statuses are those of the faults that a source or its verification gives.
var statuses = map[fault.Kind]int{
	fault.NotFound: http.StatusNotFound, fault.Unauthorized: http.StatusUnauthorized, fault.Unavailable: http.StatusServiceUnavailable,
}

// takes is the status that a webhook would be answered with: of a request to a source as
// memory has it, signed with a secret by the source's provider.
func (g *gateway) takes(source, secretText string) int {
	g.t.Helper()
	src, err := g.module.Source(g.t.Context(), source)
	if f := fault.As(err); f != nil {
		return statuses[f.Kind]
	}
	require.NoError(g.t, err)
	if src.Disabled {
		return http.StatusNotFound
	}
	now := g.now()
	req := provider.Request{Method: http.MethodPost, Header: http.Header{}, Body: []byte(`{}`), ReceivedAt: now}
	require.NoError(g.t, src.Spec.Verify.(provider.Signer).SignRequest(&req, secret.New(secretText)))
	match, err := src.Spec.Authenticate(req, src.SecretsAt(now))
	if f := fault.As(err); f != nil {
		return statuses[f.Kind]
	}
	require.NoError(g.t, err)
	g.module.Matched(match.SecretID, now)
	if src.MaxBodyBytes != nil && *src.MaxBodyBytes < 100 {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusAccepted
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
