package integrations

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/provider"
	"integration-gateway/platform/testkit"
)

func TestProviders(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	r := httptest.NewRequest(http.MethodGet, "/api/v1/providers", nil)
	require.Equal(t, http.StatusUnauthorized, g.do(r).Status)
	a := g.get("/providers")
	var rows []providerView
	require.NoError(t, json.Unmarshal(a.Data, &rows))
	require.Len(t, rows, len(provider.Builtin().Names()))
	byName := map[string]providerView{}
	for _, row := range rows {
		byName[row.Name] = row
		require.NotEmpty(t, row.Help)
		require.NotEmpty(t, row.Steps)
	}
	stripe := byName["stripe"]
	require.Equal(t, []string{"Stripe-Signature"}, stripe.Headers)
	require.Equal(t, "toleranceSeconds", stripe.Options[0].Name)
	require.Contains(t, stripe.Samples, "payment_intent.succeeded")
	require.Nil(t, stripe.Unsigned)
	require.Contains(t, *byName["mailgun"].Unsigned, "covers only")
	require.Equal(t, "publicUrl", byName["square"].Options[0].Name)
	require.Contains(t, string(a.Data), `"name":"confirmSubscriptions"`)
	require.NotContains(t, string(a.Data), "null,null")
}
