package integrations

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/testkit"
)

// A change is read, and the sources beside it are not.
func TestOnlyChangedIntegrationsAreRead(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		made := g.create("acme-eu", "first-secret")
		before := g.loaded(nil)
		require.Len(t, before.sources, 3)
		for _, c := range []struct {
			sentence, query string
			changed         bool
		}{
			{"nothing", `SELECT 1`, false},
			{"a match of a secret", `UPDATE integration_secrets SET match_count = match_count + 1, last_matched_at = created_at`, false},
			{"a limit", `UPDATE integrations SET rate_limit_per_minute = 7 WHERE source = 'acme-eu'`, true},
			{"a secret's end", `UPDATE integration_secrets SET expires_at = created_at WHERE integration_id = (SELECT id FROM integrations WHERE source = 'acme-eu')`, true},
			{"a secret that goes", `DELETE FROM integration_secrets WHERE integration_id = (SELECT id FROM integrations WHERE source = 'acme-eu')`, true},
		} {
			g.exec(c.query)
			after := g.loaded(before)
			require.Same(t, before.sources["acme"].Source, after.sources["acme"].Source, c.sentence)
			require.Equal(t, c.changed, before.sources["acme-eu"].Source != after.sources["acme-eu"].Source, c.sentence)
			require.Len(t, after.names, 3, c.sentence)
			before = after
		}
		g.exec(`UPDATE integrations SET is_active = $1 WHERE id = $2`, false, made)
		after := g.loaded(before)
		require.True(t, after.sources["acme-eu"].Disabled, "a disabled one stays, since what it refuses is verified")
		require.False(t, before.sources["acme-eu"].Disabled, "a snapshot does not change")
		g.exec(`UPDATE integrations SET archived_at = $1 WHERE id = $2`, g.now(), made)
		after = g.loaded(after)
		require.NotContains(t, after.sources, "acme-eu")
		require.NotContains(t, after.names, made)
		require.Contains(t, before.sources, "acme-eu", "a snapshot does not change")
	})
}

func (g *gateway) loaded(before *snapshot) *snapshot {
	g.t.Helper()
	next, err := g.module.load(g.t.Context(), before)
	require.NoError(g.t, err)
	return next
}

// A standby that lagged and was promoted, and a restored backup, have an older state, and
// whatever is changed there next.
func TestADatabaseWithAnOlderStateIsFollowed(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.exec(`UPDATE integrations SET rate_limit_per_minute = 9 WHERE id = $1`, g.acme)
		made := g.create("later", "first-secret")
		known := g.loaded(nil)
		require.Equal(t, 9, *known.sources["acme"].RateLimit)
		require.Contains(t, known.sources, "later")

		g.exec(`DELETE FROM integration_secrets WHERE integration_id = $1`, made)
		g.exec(`DELETE FROM integrations WHERE id = $1`, made)
		g.exec(`UPDATE integrations SET rate_limit_per_minute = NULL WHERE id = $1`, g.acme)
		g.exec(`UPDATE integrations SET rate_limit_per_minute = 3 WHERE id = $1`, g.globex)
		known = g.loaded(known)
		require.Nil(t, known.sources["acme"].RateLimit)
		require.Equal(t, 3, *known.sources["globex"].RateLimit)
		require.NotContains(t, known.sources, "later")
		require.NotContains(t, known.names, made)
	})
}

// Lists that were slow held the connections that sources were read by: a webhook waited for
// five seconds and was answered 503.
func TestSlowListsDelayNoSource(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	g := setup(t, db)
	ctx, stop := context.WithCancel(t.Context())
	slow := make(chan error, 8)
	for range cap(slow) { // more than there are connections for lists
		go func() {
			var nothing []string
			slow <- db.Select(ctx, &nothing, `SELECT CAST(pg_sleep(30) AS text)`)
		}()
	}
	require.Eventually(t, func() bool {
		return g.module.d.DB.InTx(t.Context(), func(tx *database.Tx) error {
			var n int
			return tx.Get(t.Context(), &n, `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid() LIMIT 1`)
		}) == nil
	}, 10*time.Second, 10*time.Millisecond)
	began := time.Now()
	require.Equal(t, 202, g.takes("acme", acmeSecret), "the first, which reads everything")
	g.exec(`UPDATE integrations SET rate_limit_per_minute = 9 WHERE id = $1`, g.acme)
	g.module.snapshots.invalidate("acme")
	require.Equal(t, 202, g.takes("acme", acmeSecret), "and one that waits for a change")
	active, err := g.module.ActiveIntegrations(t.Context(), []string{g.acme, g.globex})
	require.NoError(t, err)
	require.Len(t, active, 2)
	require.Less(t, time.Since(began), 15*time.Second, "the slow ones take thirty")
	stop()
	for range cap(slow) {
		require.Error(t, <-slow, "it was still under way")
	}
}

func TestADisabledSourceIsKnownWithItsSecretsAndNotActive(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		require.Equal(t, http.StatusOK, g.manage(http.MethodPatch, "/integrations/"+g.acme, `{"isActive":false}`).Status)
		src, err := g.module.Source(t.Context(), "acme")
		require.NoError(t, err)
		require.True(t, src.Disabled)
		require.Len(t, src.Secrets, 1)
		active, err := g.module.ActiveIntegrations(t.Context(), []string{g.acme, g.globex})
		require.NoError(t, err)
		require.Equal(t, map[string]bool{g.globex: true}, active)
		_, err = g.module.SourceNow(t.Context(), "acme")
		require.True(t, fault.Is(err, fault.Conflict), "nothing is released into it")

		g.exec(`UPDATE integrations SET options = $1 WHERE id = $2`, "{", g.acme)
		g.module.snapshots.invalidate("acme")
		_, err = g.module.Source(t.Context(), "acme")
		require.True(t, fault.Is(err, fault.NotFound), "one that cannot verify is as good as none")
	})
}
