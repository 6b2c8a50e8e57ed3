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

// world is what stands around the module: a clock to be moved, and neighbours that
// remember what they were told.
type world struct {
	t  *testing.T
	db *database.DB

	mu      sync.Mutex
	now     time.Time
	entries []contract.AuditEntry
	away    error
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) Record(_ context.Context, _ *database.Tx, entries []contract.AuditEntry) error {
	w.entries = append(w.entries, entries...)
	return nil
}

func (w *world) IntegrationsOf(_ context.Context, sources []string) (map[string]string, error) {
	ids := map[string]string{}
	for _, source := range sources {
		ids[source] = "id of " + source
	}
	return ids, w.away
}

// process is the module as one process of several has it.
func (w *world) process() *Module {
	return New(Config{}, Deps{DB: w.db, Log: slog.New(slog.DiscardHandler), Now: w.clock, Audit: w, Sources: w})
}

func (w *world) create(m *Module, n NewKey) (Key, string) {
	w.t.Helper()
	k, text, err := m.Create(operator(), n)
	require.NoError(w.t, err)
	return k, text.Reveal()
}

func operator() context.Context {
	return httpapi.WithActor(context.Background(), httpapi.ManagementActor)
}

func each(t *testing.T, test func(t *testing.T, w *world, m *Module)) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := &world{t: t, db: db, now: clock.System()}
		test(t, w, w.process())
	})
}

func TestAKeyIsItsHolder(t *testing.T) {
	each(t, func(t *testing.T, w *world, m *Module) {
		_, all := w.create(m, NewKey{Name: "ci", Role: "operator"})
		_, one := w.create(m, NewKey{Name: "support", Role: "viewer", Sources: []string{"orders"}})
		caller, err := m.Authenticate(t.Context(), all)
		require.NoError(t, err)
		require.Equal(t, httpapi.Caller{Actor: "api-key:ci", Role: httpapi.Operator}, caller)
		caller, err = m.Authenticate(t.Context(), one)
		require.NoError(t, err)
		require.Equal(t, httpapi.Caller{Actor: "api-key:support", Role: httpapi.Viewer,
			Scope: &httpapi.Scope{Sources: []string{"orders"}, Integrations: []string{"id of orders"}}}, caller)
		for _, wrong := range []string{"", "x", keyStart, all[:len(all)-1], all + "x", strings.ToUpper(all), hashOf(all)} {
			_, err := m.Authenticate(t.Context(), wrong)
			require.Equal(t, httpapi.Refuse("wrong_key"), err, wrong)
		}
		require.Len(t, all, len(keyStart)+43, "256 random bits")
		var kept int
		require.NoError(t, w.db.Get(t.Context(), &kept, `SELECT count(*) FROM api_keys WHERE hash = $1 OR prefix = $1`, all))
		require.Zero(t, kept, "the key itself is not kept")
		for _, e := range w.entries {
			require.Equal(t, "api_key.created", e.Action)
			require.Equal(t, httpapi.ManagementActor, e.Actor)
			require.NotContains(t, string(e.Details), all)
			require.NotContains(t, string(e.Details), hashOf(all))
		}
	})
}

func TestARevokedKeyIsRefusedEverywhereWithinTwoSeconds(t *testing.T) {
	each(t, func(t *testing.T, w *world, m *Module) {
		k, text := w.create(m, NewKey{Name: "ci", Role: "admin"})
		other := w.process()
		for _, process := range []*Module{m, other} {
			_, err := process.Authenticate(t.Context(), text)
			require.NoError(t, err)
		}
		revoked, err := m.Revoke(operator(), k.ID)
		require.NoError(t, err)
		require.NotNil(t, revoked.RevokedAt)
		_, err = m.Authenticate(t.Context(), text)
		require.Equal(t, httpapi.Refuse("wrong_key"), err, "here at once")
		w.pass(freshFor)
		_, err = other.Authenticate(t.Context(), text)
		require.Equal(t, httpapi.Refuse("wrong_key"), err, "elsewhere after a second")

		again, err := m.Revoke(operator(), k.ID)
		require.NoError(t, err)
		require.Equal(t, revoked, again)
		require.Len(t, w.entries, 2, "a second time is no news")
		_, err = m.Revoke(operator(), id.New())
		require.True(t, fault.Is(err, fault.NotFound))
	})
}

func TestAKeyEndsWhenItSaysSo(t *testing.T) {
	each(t, func(t *testing.T, w *world, m *Module) {
		expires := w.clock().Add(500 * time.Millisecond)
		_, text := w.create(m, NewKey{Name: "ci", Role: "viewer", ExpiresAt: &expires})
		w.pass(500*time.Millisecond - time.Microsecond)
		_, err := m.Authenticate(t.Context(), text)
		require.NoError(t, err)
		w.pass(time.Microsecond)
		_, err = m.Authenticate(t.Context(), text)
		require.Equal(t, httpapi.Refuse("wrong_key"), err, "also where it is remembered")
	})
}

func TestTheLastUseIsWrittenInSum(t *testing.T) {
	each(t, func(t *testing.T, w *world, m *Module) {
		k, text := w.create(m, NewKey{Name: "ci", Role: "viewer"})
		for range 3 {
			w.pass(10 * time.Millisecond)
			_, err := m.Authenticate(t.Context(), text)
			require.NoError(t, err)
		}
		lastUse := w.clock()
		require.NoError(t, m.flushUses(t.Context()))
		keys, err := m.Keys(t.Context())
		require.NoError(t, err)
		require.Len(t, keys, 1)
		require.Equal(t, k.ID, keys[0].ID)
		require.True(t, lastUse.Equal(keys[0].LastUsedAt.Time))
		m.uses.add(k.ID, lastUse.Add(-time.Hour)) // of a process whose clock is behind
		require.NoError(t, m.flushUses(t.Context()))
		keys, err = m.Keys(t.Context())
		require.NoError(t, err)
		require.True(t, lastUse.Equal(keys[0].LastUsedAt.Time), "it does not go back")
	})
}

func TestWhileKeysCannotBeReadNobodyIsLetInByAnOldAnswer(t *testing.T) {
	w := &world{t: t, db: testkit.Open(t, testkit.SQLite(t)), now: clock.System()}
	m := w.process()
	_, text := w.create(m, NewKey{Name: "ci", Role: "viewer", Sources: []string{"orders"}})
	_, err := m.Authenticate(t.Context(), text)
	require.NoError(t, err)
	w.away = errors.New("away")
	w.pass(freshFor - time.Microsecond)
	_, err = m.Authenticate(t.Context(), text)
	require.NoError(t, err)
	w.pass(time.Microsecond)
	_, err = m.Authenticate(t.Context(), text)
	require.True(t, fault.Is(err, fault.Unavailable))
	_, err = m.Authenticate(t.Context(), "another kind of key")
	require.Equal(t, httpapi.Refuse("wrong_key"), err)
}

func TestMistakesInANewKeyAreNamed(t *testing.T) {
	w := &world{t: t, db: testkit.Open(t, testkit.SQLite(t)), now: clock.System()}
	m := w.process()
	w.create(m, NewKey{Name: "taken", Role: "viewer"})
	now, later := w.clock(), w.clock().Add(time.Microsecond)
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
		{"a role that there is not", "role", NewKey{Name: "b", Role: "root"}},
		{"an end now", "expiresAt", NewKey{Name: "b", Role: "viewer", ExpiresAt: &now}},
		{"an end just after", "", NewKey{Name: "b", Role: "viewer", ExpiresAt: &later}},
		{"confined to nothing", "sources", NewKey{Name: "c", Role: "viewer", Sources: []string{}}},
		{"confined to no name", "sources", NewKey{Name: "c", Role: "viewer", Sources: []string{"A"}}},
		{"confined to too many", "sources", NewKey{Name: "c", Role: "viewer", Sources: many}},
		{"confined to just as many", "", NewKey{Name: "c", Role: "viewer", Sources: many[1:]}},
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
	w := &world{t: t, db: testkit.Open(t, testkit.SQLite(t)), now: clock.System()}
	m := w.process()
	server := httpapi.New(httpapi.Config{}, httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: w.clock, Keys: m})
	m.Routes(server.Routes())
	_, admin := w.create(m, NewKey{Name: "boss", Role: "admin"})
	call := func(method, path, body string) (int, string) {
		r := httptest.NewRequest(method, "/api/v1"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Internal-Api-Key", admin)
		answer := httptest.NewRecorder()
		server.Handler().ServeHTTP(answer, r)
		return answer.Code, answer.Body.String()
	}
	status, body := call("POST", "/api-keys", `{"name":"ci","role":"viewer","sources":["orders"]}`)
	require.Equal(t, http.StatusCreated, status, body)
	require.Contains(t, body, `"key":"`+keyStart)
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
