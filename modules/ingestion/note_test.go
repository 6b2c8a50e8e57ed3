package ingestion

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/testkit"
)

func TestTheLogLineOfAWebhookNamesItsSourceAndEvent(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	var said bytes.Buffer
	server := httpapi.New(httpapi.Config{}, httpapi.Deps{Log: slog.New(slog.NewJSONHandler(&said, nil)), Now: clock.System})
	g.module.Routes(server.Routes())
	g.handler = server.Handler()
	line := func(r *http.Request) map[string]any {
		said.Reset()
		g.handler.ServeHTTP(httptest.NewRecorder(), r)
		var fields map[string]any
		require.NoError(t, json.Unmarshal(said.Bytes(), &fields), said.String())
		return fields
	}
	accepted := line(acmeRequest(acmeBody("e1")))
	require.Equal(t, "acme", accepted["source"])
	var eventID string
	require.NoError(t, g.db.Get(t.Context(), &eventID, `SELECT id FROM normalized_events`))
	require.Equal(t, eventID, accepted["event_id"])
	require.Equal(t, eventID, line(acmeRequest(acmeBody("e1")))["event_id"], "of a repeat the first")

	refused := line(acmeRequest(acmeBody("e2"), "X-Acme-Signature", "00"))
	require.Equal(t, []any{"acme", "malformed_signature"}, []any{refused["source"], refused["reason"]})
	require.NotContains(t, refused, "event_id")
	unknown := line(request("acm", "{}"))
	require.Equal(t, []any{"acm", "unknown_source"}, []any{unknown["source"], unknown["reason"]}, "a misspelt one is found by its name")
	require.NotContains(t, line(request("Not%20a%20name", "{}")), "source", "what only a caller says is not repeated")
	require.Equal(t, "acme", line(httptest.NewRequest(http.MethodGet, "/api/v1/webhooks/acme", nil))["source"])
}
