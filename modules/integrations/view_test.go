package integrations

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/testkit"
)

func TestIntegrations(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		asleep := g.add("asleep", "acme", "hush-hush")
		g.exec(`UPDATE integrations SET is_active = $1 WHERE source = 'asleep'`, false)
		g.to.idle[asleep] = true
		cases := []struct {
			query string
			want  []string
		}{
			{"", []string{g.acme, asleep, g.globex}},
			{"?provider=acme", []string{g.acme, asleep}},
			{"?provider=acme&activeOnly=true", []string{g.acme}},
			{"?activeOnly=false", []string{g.acme, asleep, g.globex}},
			{"?provider=initech", nil},
		}
		for _, c := range cases {
			got, meta := g.get("/integrations" + c.query).list(t)
			require.Equal(t, c.want, got, c.query)
			require.InDelta(t, len(c.want), meta["total"], 0)
		}
		a := g.get("/integrations")
		for _, hidden := range []string{acmeSecret, globexSecret, "hush-hush", "hunter2", "sealed"} {
			require.NotContains(t, string(a.Data), hidden)
		}
		var rows []map[string]any
		require.NoError(t, json.Unmarshal(a.Data, &rows))
		require.ElementsMatch(t, []string{"id", "source", "provider", "name", "callbackUrl", "destinations", "isActive", "createdAt", "updatedAt",
			"secrets", "options", "redact", "rateLimitPerMinute", "maxBodyBytes", "warnings", "archivedAt"}, keys(rows[0]))
		require.Equal(t, []any{}, rows[0]["warnings"])
		require.Equal(t, []any{"The source is disabled: its webhooks are answered 404, which its provider may give up on. Those that verify are kept in quarantine for 168h, " +
			"and can be released once it is enabled. Its events are not delivered until then."}, rows[1]["warnings"])
		require.Equal(t, "https://user:xxxxx@example.com/in", rows[0]["callbackUrl"])
		require.Len(t, rows[0]["destinations"], 2)
		require.ElementsMatch(t, []string{"id", "url", "isActive", "mode", "filter", "transform", "headers", "auth", "tls", "policy", "breaker", "pause", "tracePropagation",
			"createdAt", "updatedAt"}, keys(rows[0]["destinations"].([]any)[0]))
		require.Nil(t, rows[1]["callbackUrl"])
		require.Equal(t, []any{}, rows[1]["destinations"])
	})
}

func TestQueriesThatAreRefused(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	require.Equal(t, "activeOnly", g.get("/integrations?activeOnly=maybe").Error.Details[0].Field)
	r := httptest.NewRequest(http.MethodGet, "/api/v1/integrations", nil)
	require.Equal(t, http.StatusUnauthorized, g.do(r).Status)
	r.Header.Set(httpapi.HeaderManagementKey, "wrong")
	require.Equal(t, http.StatusUnauthorized, g.do(r).Status)
}
