package access

import (
	"context"
	"errors"
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
	"integration-gateway/platform/testkit"
)

// fixture is the module's environment: a settable clock, and neighbours that record their
// calls.
type fixture struct {
	t  *testing.T
	db *database.DB

	mu         sync.Mutex
	now        time.Time
	entries    []contract.AuditEntry
	sourcesErr error
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fixture) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fixture) Record(_ context.Context, _ *database.Tx, entries []contract.AuditEntry) error {
	f.entries = append(f.entries, entries...)
	return nil
}

func (f *fixture) IntegrationsOf(_ context.Context, sources []string) (map[string]string, error) {
	ids := map[string]string{}
	for _, source := range sources {
		ids[source] = "id of " + source
	}
	return ids, f.sourcesErr
}

// process returns the module as one of several processes has it.
func (f *fixture) process() *Module {
	return New(Config{}, Deps{DB: f.db, Log: slog.New(slog.DiscardHandler), Now: f.clock, Audit: f, Sources: f})
}

func (f *fixture) create(m *Module, n NewKey) (Key, string) {
	f.t.Helper()
	k, text, err := m.Create(operator(), n)
	require.NoError(f.t, err)
	return k, text.Reveal()
}

func operator() context.Context {
	return httpapi.WithActor(context.Background(), httpapi.ManagementActor)
}

func each(t *testing.T, test func(t *testing.T, f *fixture, m *Module)) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := &fixture{t: t, db: db, now: clock.System()}
		test(t, f, f.process())
	})
}

func TestAKeyIsItsHolder(t *testing.T) {
	each(t, func(t *testing.T, f *fixture, m *Module) {
		_, all := f.create(m, NewKey{Name: "ci", Role: "operator"})
		_, one := f.create(m, NewKey{Name: "support", Role: "viewer", Sources: []string{"orders"}})
		caller, err := m.Authenticate(t.Context(), all)
		require.NoError(t, err)
		require.Equal(t, httpapi.Caller{Actor: "api-key:ci", Role: httpapi.Operator}, caller)
		caller, err = m.Authenticate(t.Context(), one)
		require.NoError(t, err)
		require.Equal(t, httpapi.Caller{Actor: "api-key:support", Role: httpapi.Viewer,
			Scope: &httpapi.Scope{Sources: []string{"orders"}, Integrations: []string{"id of orders"}}}, caller)
		for _, wrong := range []string{"", "x", keyPrefix, all[:len(all)-1], all + "x", strings.ToUpper(all), hashOf(all)} {
			_, err := m.Authenticate(t.Context(), wrong)
			require.Equal(t, httpapi.Refuse("wrong_key"), err, wrong)
		}
		require.Len(t, all, len(keyPrefix)+43, "256 random bits")
		var kept int
		require.NoError(t, f.db.Get(t.Context(), &kept, `SELECT count(*) FROM api_keys WHERE hash = $1 OR prefix = $1`, all))
		require.Zero(t, kept, "the key itself is not stored")
		for _, e := range f.entries {
			require.Equal(t, "api_key.created", e.Action)
			require.Equal(t, httpapi.ManagementActor, e.Actor)
			require.NotContains(t, string(e.Details), all)
			require.NotContains(t, string(e.Details), hashOf(all))
		}
	})
}

func TestARevokedKeyIsRefusedEverywhereWithinTwoSeconds(t *testing.T) {
	each(t, func(t *testing.T, f *fixture, m *Module) {
		k, text := f.create(m, NewKey{Name: "ci", Role: "admin"})
		other := f.process()
		for _, process := range []*Module{m, other} {
			_, err := process.Authenticate(t.Context(), text)
			require.NoError(t, err)
		}
		revoked, err := m.Revoke(operator(), k.ID)
		require.NoError(t, err)
		require.NotNil(t, revoked.RevokedAt)
		_, err = m.Authenticate(t.Context(), text)
		require.Equal(t, httpapi.Refuse("wrong_key"), err, "in this process immediately")
		f.advance(freshFor)
		_, err = other.Authenticate(t.Context(), text)
		require.Equal(t, httpapi.Refuse("wrong_key"), err, "in others after a second")

		again, err := m.Revoke(operator(), k.ID)
		require.NoError(t, err)
		require.Equal(t, revoked, again)
		require.Len(t, f.entries, 2, "revoking twice is audited once")
		_, err = m.Revoke(operator(), id.New())
		require.True(t, fault.Is(err, fault.NotFound))
	})
}

func TestAKeyExpires(t *testing.T) {
	each(t, func(t *testing.T, f *fixture, m *Module) {
		expires := f.clock().Add(500 * time.Millisecond)
		_, text := f.create(m, NewKey{Name: "ci", Role: "viewer", ExpiresAt: &expires})
		f.advance(500*time.Millisecond - time.Microsecond)
		_, err := m.Authenticate(t.Context(), text)
		require.NoError(t, err)
		f.advance(time.Microsecond)
		_, err = m.Authenticate(t.Context(), text)
		require.Equal(t, httpapi.Refuse("wrong_key"), err, "also from the cache")
	})
}

func TestLastUsesAreWrittenInBatches(t *testing.T) {
	each(t, func(t *testing.T, f *fixture, m *Module) {
		k, text := f.create(m, NewKey{Name: "ci", Role: "viewer"})
		for range 3 {
			f.advance(10 * time.Millisecond)
			_, err := m.Authenticate(t.Context(), text)
			require.NoError(t, err)
		}
		lastUse := f.clock()
		require.NoError(t, m.flushLastUses(t.Context()))
		keys, err := m.Keys(t.Context())
		require.NoError(t, err)
		require.Len(t, keys, 1)
		require.Equal(t, k.ID, keys[0].ID)
		require.True(t, lastUse.Equal(keys[0].LastUsedAt.Time))
		m.lastUses.add(k.ID, lastUse.Add(-time.Hour)) // from a process whose clock is behind
		require.NoError(t, m.flushLastUses(t.Context()))
		keys, err = m.Keys(t.Context())
		require.NoError(t, err)
		require.True(t, lastUse.Equal(keys[0].LastUsedAt.Time), "it never goes back")
	})
}

func TestStaleKeysAreNotUsedWhileTheDatabaseIsDown(t *testing.T) {
	f := &fixture{t: t, db: testkit.Open(t, testkit.SQLite(t)), now: clock.System()}
	m := f.process()
	_, text := f.create(m, NewKey{Name: "ci", Role: "viewer", Sources: []string{"orders"}})
	_, err := m.Authenticate(t.Context(), text)
	require.NoError(t, err)
	f.sourcesErr = errors.New("away")
	f.advance(freshFor - time.Microsecond)
	_, err = m.Authenticate(t.Context(), text)
	require.NoError(t, err)
	f.advance(time.Microsecond)
	_, err = m.Authenticate(t.Context(), text)
	require.True(t, fault.Is(err, fault.Unavailable))
	_, err = m.Authenticate(t.Context(), "another kind of key")
	require.Equal(t, httpapi.Refuse("wrong_key"), err)
}

func TestInvalidNewKeysAreRejectedByField(t *testing.T) {
	f := &fixture{t: t, db: testkit.Open(t, testkit.SQLite(t)), now: clock.System()}
	m := f.process()
	f.create(m, NewKey{Name: "taken", Role: "viewer"})
	now, later := f.clock(), f.clock().Add(time.Microsecond)
	many := make([]string, maxSources+1)
	for i := range many {
		many[i] = "a"
	}
	for _, c := range []struct {
		name, field string
		key         NewKey
	}{
		{"no name", "name", NewKey{Role: "viewer"}},
		{"a name with a space", "name", NewKey{Name: "a b", Role: "viewer"}},
		{"a name of 65", "name", NewKey{Name: strings.Repeat("a", 65), Role: "viewer"}},
		{"a name of 64", "", NewKey{Name: strings.Repeat("a", 64), Role: "viewer"}},
		{"a name that is taken", "name", NewKey{Name: "taken", Role: "viewer"}},
		{"no role", "role", NewKey{Name: "b"}},
		{"an unknown role", "role", NewKey{Name: "b", Role: "root"}},
		{"an expiry now", "expiresAt", NewKey{Name: "b", Role: "viewer", ExpiresAt: &now}},
		{"an expiry just after now", "", NewKey{Name: "b", Role: "viewer", ExpiresAt: &later}},
		{"restricted to no source", "sources", NewKey{Name: "c", Role: "viewer", Sources: []string{}}},
		{"restricted to an invalid name", "sources", NewKey{Name: "c", Role: "viewer", Sources: []string{"A"}}},
		{"restricted to too many", "sources", NewKey{Name: "c", Role: "viewer", Sources: many}},
		{"restricted to the maximum", "", NewKey{Name: "c", Role: "viewer", Sources: many[1:]}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := m.Create(operator(), c.key)
			if c.field == "" {
				require.NoError(t, err)
				return
			}
			require.Len(t, fault.As(err).Fields, 1)
			require.Equal(t, c.field, fault.As(err).Fields[0].Field)
		})
	}
}

func TestAKeyIsShownOnce(t *testing.T) {
	f := &fixture{t: t, db: testkit.Open(t, testkit.SQLite(t)), now: clock.System()}
	m := f.process()
	server := httpapi.New(httpapi.Config{}, httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: f.clock, Keys: m})
	m.Routes(server.Routes())
	_, admin := f.create(m, NewKey{Name: "boss", Role: "admin"})
	call := func(method, path, body string) (int, string) {
		r := httptest.NewRequest(method, "/api/v1"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Internal-Api-Key", admin)
		answer := httptest.NewRecorder()
		testkit.Checked(t, server.Handler()).ServeHTTP(answer, r)
		return answer.Code, answer.Body.String()
	}
	status, body := call("POST", "/api-keys", `{"name":"ci","role":"viewer","sources":["orders"]}`)
	require.Equal(t, http.StatusCreated, status, body)
	require.Contains(t, body, `"key":"`+keyPrefix)
	require.Contains(t, body, `"createdBy":"api-key:boss"`)
	status, body = call("GET", "/api-keys", "")
	require.Equal(t, http.StatusOK, status)
	require.NotContains(t, body, `"key"`)
	require.NotContains(t, body, `"hash"`)
	require.Contains(t, body, `"sources":["orders"]`)
	keys, err := m.Keys(t.Context())
	require.NoError(t, err)
	status, body = call("DELETE", "/api-keys/"+keys[1].ID, "")
	require.Equal(t, http.StatusOK, status, body)
	status, _ = call("POST", "/api-keys", `{"name":"x","role":"viewer","scope":["orders"]}`)
	require.Equal(t, http.StatusBadRequest, status, "a field that is mistyped must not mean all sources")
}

func TestASessionFindsItsKeyAsLongAsItLives(t *testing.T) {
	each(t, func(t *testing.T, f *fixture, m *Module) {
		expires := f.clock().Add(time.Hour)
		k, text := f.create(m, NewKey{Name: "ada", Role: "operator", ExpiresAt: &expires})
		other, _ := f.create(m, NewKey{Name: "bob", Role: "viewer", Sources: []string{"orders"}})
		keyID, err := m.KeyID(t.Context(), text)
		require.NoError(t, err)
		require.Equal(t, k.ID, keyID)
		_, err = m.KeyID(t.Context(), text+"x")
		require.Equal(t, httpapi.Refuse("wrong_key"), err)

		caller, err := m.CallerOf(t.Context(), keyID)
		require.NoError(t, err)
		require.Equal(t, httpapi.Caller{Actor: "api-key:ada", Role: httpapi.Operator}, caller)
		caller, err = m.CallerOf(t.Context(), other.ID)
		require.NoError(t, err)
		require.Equal(t, []string{"orders"}, caller.Scope.Sources)
		_, err = m.CallerOf(t.Context(), id.New())
		require.Equal(t, httpapi.Refuse("wrong_key"), err)

		_, err = m.Revoke(operator(), other.ID)
		require.NoError(t, err)
		_, err = m.CallerOf(t.Context(), other.ID)
		require.Equal(t, httpapi.Refuse("wrong_key"), err, "revoked")
		f.advance(time.Hour)
		_, err = m.CallerOf(t.Context(), keyID)
		require.Equal(t, httpapi.Refuse("wrong_key"), err, "expired")
	})
}
