package integrations

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

func (g *gateway) secretsOf(integrationID string) (all []SecretInfo) {
	g.t.Helper()
	require.NoError(g.t, json.Unmarshal(g.get("/integrations/"+integrationID+"/secrets").Data, &all))
	return all
}

func TestRotatingASecret(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		base := "/integrations/" + g.acme + "/secrets"
		a := g.manage(http.MethodPost, base, `{"value":"the-new-secret","note":"2026"}`)
		require.Equal(t, http.StatusCreated, a.Status, "%+v", a.Error)
		require.NotContains(t, string(a.Data), "the-new-secret")
		require.Equal(t, http.StatusAccepted, g.takes("acme", acmeSecret), "both verify")
		require.Equal(t, http.StatusAccepted, g.takes("acme", "the-new-secret"))

		all := g.secretsOf(g.acme)
		require.Len(t, all, 2)
		require.Equal(t, "2026", all[1].Note)
		require.Equal(t, http.StatusConflict, g.manage(http.MethodPost, base, `{"value":"the-new-secret"}`).Status, "it is there already")

		require.Equal(t, http.StatusOK, g.manage(http.MethodPatch, base+"/"+all[0].ID, `{"isActive":false}`).Status)
		require.Equal(t, http.StatusUnauthorized, g.takes("acme", acmeSecret), "at once")
		require.Equal(t, http.StatusOK, g.manage(http.MethodDelete, base+"/"+all[0].ID, "").Status)
		require.Len(t, g.secretsOf(g.acme), 1)
		require.Equal(t, []string{"secret.added", "secret.updated", "secret.removed"}, g.actions(g.acme))
	})
}

func TestRemovingTheLastSecretNeedsForce(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		one := "/integrations/" + g.acme + "/secrets/" + g.secretsOf(g.acme)[0].ID
		for _, c := range []struct{ method, path, body string }{
			{http.MethodDelete, one, ""},
			{http.MethodPatch, one, `{"isActive":false}`},
			{http.MethodPatch, one, `{"expiresAt":"2020-01-01T00:00:00Z"}`},
		} {
			a := g.manage(c.method, c.path, c.body)
			require.Equal(t, http.StatusConflict, a.Status, c)
			require.Contains(t, a.Error.Message, "Add another one first, or use force")
		}
		require.Equal(t, http.StatusAccepted, g.takes("acme", acmeSecret))
		require.Equal(t, http.StatusOK, g.manage(http.MethodPatch, one, `{"note":"kept"}`).Status, "a note harms nobody")
		require.Equal(t, http.StatusOK, g.manage(http.MethodPatch, one, `{"isActive":false,"force":true}`).Status)
		require.Equal(t, http.StatusUnauthorized, g.takes("acme", acmeSecret))
		require.Equal(t, http.StatusOK, g.manage(http.MethodDelete, one, "").Status, "it verified nothing any more")
		require.Empty(t, g.secretsOf(g.acme))

		two := "/integrations/" + g.globex + "/secrets/" + g.secretsOf(g.globex)[0].ID
		require.Equal(t, http.StatusOK, g.manage(http.MethodDelete, two+"?force=true", "").Status)
	})
}

func TestInvalidSecrets(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	base := "/integrations/" + g.acme + "/secrets"
	one := base + "/" + g.secretsOf(g.acme)[0].ID
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     []string
	}{
		{"an empty one", http.MethodPost, base, `{}`, 400, []string{"value: is required"}},
		{"seven bytes", http.MethodPost, base, `{"value":"1234567"}`, 400, []string{"value: has 7 bytes"}},
		{"eight bytes", http.MethodPost, base, `{"value":"12345678"}`, 201, nil},
		{"the value of another secret cannot be changed", http.MethodPatch, one, `{"value":"another-secret"}`, 400, []string{"value: is not a field"}},
		{"an expiry that is no time", http.MethodPatch, one, `{"expiresAt":"noon"}`, 400, []string{"expiresAt: RFC 3339"}},
		{"no such secret", http.MethodPatch, base + "/" + id.New(), `{}`, 404, nil},
		{"no such secret to remove", http.MethodDelete, base + "/" + id.New(), "", 404, nil},
		{"an id that is none", http.MethodDelete, base + "/1", "", 400, []string{"secretId: must be a UUID"}},
		{"of another integration", http.MethodDelete, "/integrations/" + g.globex + "/secrets/" + g.secretsOf(g.acme)[0].ID, "", 404, nil},
		{"no such integration", http.MethodPost, "/integrations/" + id.New() + "/secrets", `{"value":"12345678"}`, 404, nil},
	} {
		a := g.manage(c.method, c.path, c.body)
		require.Equal(t, c.status, a.Status, c.name)
		requireFields(t, c.want, a.Error.Details)
	}
}

func TestACachedSecretStopsVerifyingWhenItExpires(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		at := newFakeClock()
		g := setup(t, db, func(_ *Config, d *Deps) { d.Now = at.now })
		g.create("acme-eu", "lasting-secret")
		integrationID := g.create("acme-us", "lasting-secret")
		expiry := at.now().Add(500 * time.Millisecond).Format(time.RFC3339Nano)
		a := g.manage(http.MethodPost, "/integrations/"+integrationID+"/secrets", `{"value":"passing-secret","expiresAt":"`+expiry+`"}`)
		require.Equal(t, http.StatusCreated, a.Status, "%+v", a.Error)
		require.Equal(t, http.StatusAccepted, g.takes("acme-us", "passing-secret"))
		at.pass(499 * time.Millisecond)
		require.Equal(t, http.StatusAccepted, g.takes("acme-us", "passing-secret"), "just before")
		at.pass(time.Millisecond)
		require.Equal(t, http.StatusUnauthorized, g.takes("acme-us", "passing-secret"), "at that moment")
		require.Equal(t, http.StatusAccepted, g.takes("acme-us", "lasting-secret"))
	})
}

func TestMatchesOfSecretsAreCounted(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		at := newFakeClock()
		g := setup(t, db, func(_ *Config, d *Deps) { d.Now = at.now })
		require.Equal(t, http.StatusCreated, g.manage(http.MethodPost, "/integrations/"+g.acme+"/secrets", `{"value":"the-new-secret"}`).Status)
		g.takes("acme", acmeSecret)
		at.pass(time.Minute)
		last := at.now()
		for range 3 {
			g.takes("acme", "the-new-secret")
		}
		g.takes("acme", "no-secret-of-ours")
		require.Zero(t, g.secretsOf(g.acme)[0].MatchCount, "no webhook waits for it")
		require.NoError(t, g.module.flushMatches(t.Context()))
		all := g.secretsOf(g.acme)
		require.Equal(t, []int64{1, 3}, []int64{all[0].MatchCount, all[1].MatchCount}, "repeats show that a secret is used")
		require.Equal(t, last.Add(-time.Minute), all[0].LastMatchedAt.Time)
		require.Equal(t, last, all[1].LastMatchedAt.Time)
		require.Nil(t, g.secretsOf(g.globex)[0].LastMatchedAt)

		require.NoError(t, g.module.flushMatches(t.Context()), "nothing new")
		g.takes("acme", acmeSecret)
		require.NoError(t, g.module.Close(), "which writes what is left")
		require.Equal(t, int64(2), g.secretsOf(g.acme)[0].MatchCount)
	})
}

func TestMatchCountsSurviveAnOutage(t *testing.T) {
	m := newMatches()
	now := time.Now()
	m.add("a", now)
	taken := m.take()
	m.add("a", now.Add(time.Second))
	m.add("b", now)
	m.putBack(taken)
	require.Equal(t, map[string]match{"a": {2, now.Add(time.Second)}, "b": {1, now}}, m.take())
	require.Empty(t, m.take())
}

func TestRunWritesMatchesAndClosesTheModule(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	g.takes("acme", acmeSecret)
	ctx, cancel := contextOf(t)
	cancel()
	require.NoError(t, g.module.Run(ctx))
	require.Equal(t, int64(1), g.secretsOf(g.acme)[0].MatchCount)
}
