package integrations

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

func TestAnUnusableSourceAffectsNoOther(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for name, breakIt := range map[string]func(g *gateway){
			"options that are no JSON":    func(g *gateway) { g.exec(`UPDATE integrations SET options = '{"x' WHERE source = 'acme-eu'`) },
			"a provider that is gone":     func(g *gateway) { g.exec(`UPDATE integrations SET provider = 'initech' WHERE source = 'acme-eu'`) },
			"a redaction that is no path": func(g *gateway) { g.exec(`UPDATE integrations SET redact = '["x"]' WHERE source = 'acme-eu'`) },
			"a redaction that is no JSON": func(g *gateway) { g.exec(`UPDATE integrations SET redact = '{' WHERE source = 'acme-eu'`) },
			"a secret encrypted with another key": func(g *gateway) {
				g.exec(`UPDATE integration_secrets SET secret = 'plain' WHERE id = $1`, g.secretsOf(g.euID)[0].ID)
			},
		} {
			t.Run(name, func(t *testing.T) {
				at := newFakeClock()
				g := setup(t, db, func(_ *Config, d *Deps) { d.Now = at.now })
				g.exec(`DELETE FROM integration_secrets WHERE integration_id IN (SELECT id FROM integrations WHERE source = 'acme-eu')`)
				g.exec(`DELETE FROM integrations WHERE source = 'acme-eu'`)
				g.euID = g.create("acme-eu", "first-secret")
				breakIt(g)
				_, err := g.module.Source(t.Context(), "acme-eu")
				f := fault.As(err)
				require.NotNil(t, f, "%v", err)
				require.Equal(t, fault.Unavailable, f.Kind)
				require.Equal(t, 30*time.Second, f.RetryAfter)
				require.Contains(t, f.Message, "until its operator fixes")
				require.NotContains(t, f.Message, "initech")
				_, err = g.module.SourceNow(t.Context(), "acme-eu")
				require.True(t, fault.Is(err, fault.Conflict), "%v", err)
				require.Equal(t, http.StatusAccepted, g.takes("acme", acmeSecret))
				require.Equal(t, http.StatusOK, g.get("/integrations").Status, "it can be seen and mended")
				g.exec(`UPDATE integrations SET provider = 'acme', options = '{}', redact = '[]' WHERE source = 'acme-eu'`)
				g.exec(`UPDATE integration_secrets SET secret = $1 WHERE integration_id = $2`, "sealed:"+SecretPlace(g.secretsOf(g.euID)[0].ID).String()+":svefg-frperg", g.euID)
				at.pass(snapshotAge)
				require.Equal(t, http.StatusAccepted, g.takes("acme-eu", "first-secret"))
			})
		}
	})
}

func TestASourceIsReadAsItWouldBeWithOtherOptions(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.create("acme-eu", "first-secret")
		now, err := g.module.SourceNow(t.Context(), "acme-eu")
		require.NoError(t, err)
		with, err := g.module.SourceWith(t.Context(), "acme-eu", provider.Options{Deduplication: &provider.Deduplication{By: "none"}})
		require.NoError(t, err)
		require.NotEqual(t, now.Spec.Deduplication, with.Spec.Deduplication)
		require.Empty(t, with.Secrets)
		again, err := g.module.SourceNow(t.Context(), "acme-eu")
		require.NoError(t, err)
		require.Equal(t, now.Spec.Deduplication, again.Spec.Deduplication, "nothing is stored")
		_, err = g.module.SourceWith(t.Context(), "acme-eu", provider.Options{Generic: &provider.Definition{}})
		require.True(t, fault.Is(err, fault.Invalid), "%v", err)
		g.exec(`UPDATE integrations SET options = '{"x' WHERE source = 'acme-eu'`)
		_, err = g.module.SourceWith(t.Context(), "acme-eu", provider.Options{})
		require.NoError(t, err, "options that cannot be read can be replaced")
		_, err = g.module.SourceWith(t.Context(), "nobody", provider.Options{})
		require.True(t, fault.Is(err, fault.NotFound), "%v", err)
	})
}

// Two processes on one database: what one changes, the other goes by within two seconds.
func TestAChangeIsSeenByEveryProcessWithinTwoSeconds(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		at := newFakeClock()
		here := setup(t, db, func(_ *Config, d *Deps) { d.Now = at.now })
		there := setup(t, db, func(_ *Config, d *Deps) { d.Now = at.now })
		seen := func(name string, before, after int, send func() int, change func() answer) {
			t.Helper()
			require.Equal(t, before, send(), name)
			require.Less(t, change().Status, 300, name)
			require.Equal(t, before, send(), "%s: it is remembered there, or this test shows nothing", name)
			at.pass(time.Second)
			require.Equal(t, after, send(), name)
		}
		send := func(source, secretText string) func() int {
			return func() int { return there.takes(source, secretText) }
		}
		var made string
		seen("a new source", 404, 202, send("acme-eu", "first-secret"), func() answer {
			made = here.create("acme-eu", "first-secret")
			return answer{}
		})
		base := "/integrations/" + made
		seen("a new secret", 401, 202, send("acme-eu", "second-secret"), func() answer {
			return here.manage(http.MethodPost, base+"/secrets", `{"value":"second-secret"}`)
		})
		seen("a removed secret", 202, 401, send("acme-eu", "first-secret"), func() answer {
			return here.manage(http.MethodDelete, base+"/secrets/"+here.secretsOf(made)[0].ID, "")
		})
		seen("a deactivated integration", 202, 404, send("acme-eu", "second-secret"), func() answer {
			return here.manage(http.MethodPatch, base, `{"isActive":false}`)
		})
		seen("an activated one", 404, 202, send("acme-eu", "second-secret"), func() answer {
			return here.manage(http.MethodPatch, base, `{"isActive":true}`)
		})
		seen("a limit of the body", 202, 413, send("acme-eu", "second-secret"), func() answer {
			return here.manage(http.MethodPatch, base, `{"maxBodyBytes":10}`)
		})
		seen("a removed integration", 413, 404, send("acme-eu", "second-secret"), func() answer {
			return here.manage(http.MethodDelete, base, "")
		})
	})
}

// table is what the database has, for newSnapshots.
type table struct {
	mu    sync.Mutex
	names []string
	err   error
	reads int
	hangs chan struct{} // reads wait until it is closed
	began chan struct{} // hears of each read that waits
}

func (f *table) load(context.Context, *snapshot) (*snapshot, error) {
	f.mu.Lock()
	f.reads++
	now, err, hangs := &snapshot{sources: map[string]loaded{}}, f.err, f.hangs
	for _, name := range f.names {
		now.sources[name] = loaded{Source: &provider.Source{Name: name}}
	}
	f.mu.Unlock()
	if hangs != nil {
		f.began <- struct{}{}
		<-hangs
	}
	return now, err
}

func (f *table) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// Each made-up name cost a query, also of an address that was beyond its limit, and good
// webhooks were answered 503 because of them.
func TestMadeUpNamesCauseNoQuery(t *testing.T) {
	now, f := newFakeClock(), &table{names: []string{"acme"}}
	s := newSnapshots(f.load, now.now)
	for i := range 10_000 {
		_, err := s.find(t.Context(), fmt.Sprint("made-up-", i))
		require.True(t, fault.Is(err, fault.NotFound))
	}
	require.Equal(t, 1, f.reads, "one for all of them")
	_, err := s.find(t.Context(), "Not A Name")
	require.True(t, fault.Is(err, fault.NotFound))
	src, err := s.find(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, "acme", src.Name)
	now.pass(snapshotAge)
	for i := range 10_000 {
		_, err := s.find(t.Context(), fmt.Sprint("made-up-", i))
		require.True(t, fault.Is(err, fault.NotFound))
	}
	require.Equal(t, 2, f.reads, "one a second, where nothing reads in the background")
}

func TestKnownSourcesWorkDuringAnOutage(t *testing.T) {
	now, f := newFakeClock(), &table{err: errors.New("connection refused")}
	s := newSnapshots(f.load, now.now)
	for range 100 {
		_, err := s.find(t.Context(), "acme")
		require.ErrorContains(t, err, "connection refused", "nothing is known yet, and that is no 404")
	}
	require.Equal(t, 1, f.reads, "a failure answers for the next moment")
	now.pass(snapshotRetry)
	f.set(func() { f.names, f.err = []string{"acme"}, nil })
	_, err := s.find(t.Context(), "acme")
	require.NoError(t, err)

	f.set(func() { f.err = errors.New("connection refused") })
	now.pass(time.Hour)
	for range 100 {
		_, err = s.find(t.Context(), "acme")
		require.NoError(t, err)
	}
	require.Equal(t, 3, f.reads)
	_, err = s.find(t.Context(), "perhaps-new")
	require.True(t, fault.Is(err, fault.Unavailable), "what was made meanwhile is not known: %v", err)
	s.invalidate("acme")
	_, err = s.find(t.Context(), "acme")
	require.Error(t, err, "it was changed here, and nobody can tell how: %v", err)
	now.pass(snapshotAge)
	f.set(func() { f.names, f.err = nil, nil })
	_, err = s.find(t.Context(), "acme")
	require.True(t, fault.Is(err, fault.NotFound), "a restored database may have less")
	require.Zero(t, s.pending.Load())
}

func TestAHangingDatabaseDelaysNoKnownSource(t *testing.T) {
	now, f := newFakeClock(), &table{names: []string{"acme"}, began: make(chan struct{}, 1)}
	s := newSnapshots(f.load, now.now)
	_, err := s.find(t.Context(), "acme")
	require.NoError(t, err)
	hangs := make(chan struct{})
	f.set(func() { f.hangs = hangs })
	now.pass(snapshotAge)
	s.read() // as the background does
	<-f.began
	for range 1000 {
		_, err := s.find(t.Context(), "acme")
		require.NoError(t, err)
	}
	require.Equal(t, 2, f.reads)
	close(hangs)
}

func TestAReadThatBeganBeforeAChangeDoesNotCoverIt(t *testing.T) {
	f := &table{names: []string{"a"}, hangs: make(chan struct{}), began: make(chan struct{}, 2)}
	s := newSnapshots(f.load, newFakeClock().now)
	s.read()
	<-f.began
	s.invalidate("a")
	found := make(chan error)
	go func() {
		_, err := s.find(context.Background(), "a")
		found <- err
	}()
	require.Eventually(t, func() bool { return s.waiting.Load() == 1 }, 10*time.Second, time.Millisecond)
	hangs := f.hangs
	f.set(func() { f.names, f.hangs = nil, nil })
	close(hangs)
	require.True(t, fault.Is(<-found, fault.NotFound), "what the read before the change found is not the answer")
	require.Equal(t, 2, f.reads)
}

func TestTheNumberOfRequestsWaitingForASourceIsBounded(t *testing.T) {
	f := &table{names: []string{"acme"}, hangs: make(chan struct{}), began: make(chan struct{}, 1)}
	s := newSnapshots(f.load, clock.System)
	answers := make(chan error, maxWaiting)
	for range maxWaiting {
		go func() {
			_, err := s.find(t.Context(), "acme")
			answers <- err
		}()
	}
	<-f.began
	require.Eventually(t, func() bool { return s.waiting.Load() == maxWaiting }, 10*time.Second, time.Millisecond)
	_, err := s.find(t.Context(), "acme")
	require.True(t, fault.Is(err, fault.Unavailable), "one more: %v", err)
	close(f.hangs)
	for range maxWaiting {
		require.NoError(t, <-answers)
	}
	_, err = s.find(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, 1, f.reads)
}

// A restored backup and a standby that lagged have what was before: an older state is
// followed like a newer one, whatever times stand in it.
func TestTheSourcesFollowARestoredDatabase(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		at := newFakeClock()
		g := setup(t, db, func(_ *Config, d *Deps) { d.Now = at.now })
		require.Equal(t, http.StatusAccepted, g.takes("acme", acmeSecret))
		base := "/integrations/" + g.acme
		require.Equal(t, http.StatusCreated, g.manage(http.MethodPost, base+"/secrets", `{"value":"second-secret"}`).Status)
		require.Equal(t, http.StatusAccepted, g.takes("acme", "second-secret"))
		g.exec(`DELETE FROM integration_secrets WHERE integration_id = $1 AND id > (SELECT id FROM integration_secrets WHERE integration_id = $1 ORDER BY id LIMIT 1)`, g.acme)
		g.exec(`UPDATE integrations SET updated_at = created_at, max_body_bytes = NULL WHERE id = $1`, g.acme)
		at.pass(snapshotAge)
		require.Equal(t, http.StatusUnauthorized, g.takes("acme", "second-secret"))
		require.Equal(t, http.StatusAccepted, g.takes("acme", acmeSecret))
	})
}

// The background keeps up while nobody asks, and decrypts what changed alone.
func TestTheBackgroundKeepsUpWithTheSources(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	sealer := &countingSealer{}
	g := setup(t, db, func(_ *Config, d *Deps) { d.Sealer = sealer })
	require.NoError(t, g.module.KnowSources(t.Context()))
	opened := sealer.opened.Load()
	ctx, stop := contextOf(t)
	done := make(chan error)
	go func() { done <- g.module.Run(ctx) }()
	g.exec(`UPDATE integrations SET name = 'same to the hot path', rate_limit_per_minute = 7 WHERE source = 'globex'`)
	require.Eventually(t, func() bool {
		known := g.module.snapshots.known.Load().sources["globex"]
		return known.RateLimit != nil && *known.RateLimit == 7
	}, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, opened+1, sealer.opened.Load(), "the secrets of acme are as they were")
	stop()
	require.NoError(t, <-done)
}

type countingSealer struct {
	rot13
	opened atomic.Int64
}

func (c *countingSealer) Open(place secret.Place, stored string) (secret.Value, error) {
	c.opened.Add(1)
	return c.rot13.Open(place, stored)
}

func TestDuringARotationBothSecretsVerifyAndARevokedOneStopsWithinASecond(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(_ *Config, d *Deps) { d.Now = func() time.Time { return now } })
	token := func(text string) int { return g.takes("globex", text) }
	require.Equal(t, 202, token(globexSecret))
	secretID := id.New()
	sealed, err := rot13{}.Seal(SecretPlace(secretID), secret.New("new-secret"))
	require.NoError(t, err)
	g.exec(`INSERT INTO integration_secrets (id, integration_id, secret, purpose, is_active, created_at) VALUES ($1, $2, $3, 'token', $4, $5)`, secretID, g.globex, sealed, true, now)
	now = now.Add(snapshotAge)
	require.Equal(t, 202, token("new-secret"))
	require.Equal(t, 202, token(globexSecret))
	g.exec(`UPDATE integration_secrets SET is_active = $1 WHERE secret <> $2`, false, sealed)
	now = now.Add(snapshotAge - time.Microsecond)
	require.Equal(t, 202, token(globexSecret), "remembered for less than a second")
	now = now.Add(time.Microsecond)
	require.Equal(t, 401, token(globexSecret))
	require.Equal(t, 202, token("new-secret"))

	g.exec(`UPDATE integrations SET is_active = $1 WHERE source = 'globex'`, false)
	require.Equal(t, 202, token("new-secret"))
	g.module.snapshots.invalidate("globex")
	require.Equal(t, 404, token("new-secret"), "told of the change, at once")
}

func TestSourcesUseTheirProvidersCurrentDefinition(t *testing.T) {
	at := newFakeClock()
	defined := func(header string) provider.Registry {
		spec, err := provider.Named{Name: "initech", Definition: provider.Definition{
			Proof: provider.Proof{Scheme: "token", Signature: provider.SignatureDefinition{Header: header}}, Event: provider.EventDefinition{Type: provider.At("text:made")},
		}}.Spec()
		require.NoError(t, err)
		registry, err := provider.Builtin().With(spec)
		require.NoError(t, err)
		return registry
	}
	known := defined("X-Before")
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(_ *Config, d *Deps) { d.Providers, d.Now = known, at.now })
	g.add("initech", "initech", "a-secret-of-initech")
	headers := func() []string {
		src, err := g.module.Source(t.Context(), "initech")
		require.NoError(t, err)
		return src.Spec.Headers()
	}
	require.Equal(t, []string{"X-Before"}, headers())
	known.Replace(defined("X-After"))
	at.pass(snapshotAge)
	require.Equal(t, []string{"X-After"}, headers())
}
