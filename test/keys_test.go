package test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAKeyIsValidUntilItIsRevoked creates a key while a gateway runs, uses it, and revokes
// it.
func TestAKeyIsValidUntilItIsRevoked(t *testing.T) {
	t.Parallel()
	g := onServers(t, journeySettings...)
	g.serve()
	var made struct{ Key, ID string }
	said := g.run("keys", "create", "shop-support", "--role", "viewer", "--source", "acme", "--json")
	require.NoError(t, json.Unmarshal([]byte(said[strings.Index(said, "{"):strings.LastIndex(said, "}")+1]), &made), said)
	asked := func(method, path string) int {
		res, _, err := g.ask(method, "/api/v1"+path, nil, map[string]string{"x-internal-api-key": made.Key})
		require.NoError(t, err)
		return res.StatusCode
	}
	eventually(t, func() bool { return asked(http.MethodGet, "/events") == http.StatusOK }, "a running process accepts the new key")
	require.Equal(t, http.StatusForbidden, asked(http.MethodDelete, "/api-keys/"+made.ID), "its role is enforced")
	require.Equal(t, http.StatusForbidden, asked(http.MethodGet, "/alerts"), "and its restriction to sources")
	g.run("keys", "revoke", "shop-support", "--yes")
	eventually(t, func() bool { return asked(http.MethodGet, "/events") == http.StatusUnauthorized }, "it is refused")
	require.NotContains(t, g.run("keys", "list"), made.Key)
	for _, p := range g.processes {
		if strings.HasPrefix(p.name, "serve") {
			require.NotContains(t, p.output.String(), made.Key, "no log line contains it")
		}
	}
}
