package app

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/integrations"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// The stream outlives the deadlines of a request, and ends when the process stops.
func TestTheStreamShowsWhatIsAuditedUntilTheProcessStops(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		cfg := devConfig(t, "HTTP_READ_TIMEOUT_MS", "100", "HTTP_WRITE_TIMEOUT_MS", "100", "APP_PORT", "0")
		g, err := wire(cfg, &stores{db: db, broker: broker.NewMemory(clock.System, nil), cache: cache.NewMemory(0, clock.System)}, quiet)
		require.NoError(t, err)
		require.NoError(t, g.server.Listen(t.Context()))
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- serving(g.server, time.Minute)(ctx) }()

		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.server.Addr()+"/api/v1/events/stream?source=acme", http.NoBody)
		require.NoError(t, err)
		r.Header.Set("X-Internal-Api-Key", cfg.ManagementKey.Reveal())
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		require.Equal(t, http.StatusOK, answer.StatusCode)
		lines := bufio.NewScanner(answer.Body)
		next := func(field string) string {
			for lines.Scan() {
				if name, value, _ := strings.Cut(lines.Text(), ": "); name == field {
					return value
				}
			}
			require.NoError(t, lines.Err())
			return ""
		}
		require.Equal(t, "following", next(""))

		from := time.Now()
		for _, source := range []string{"globex", "acme"} {
			details, _ := json.Marshal(map[string]string{"source": source, "reason": "no_match"})
			require.Eventually(t, func() bool { return time.Since(from) > 300*time.Millisecond }, time.Minute, time.Millisecond, "beyond the deadlines of a request")
			require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
				return g.audit.Record(t.Context(), tx, []contract.AuditEntry{
					{EntityType: contract.EntityWebhookEvent, Action: "webhook.rejected", Actor: contract.ActorGateway, Details: details}})
			}))
		}
		require.Equal(t, "refused", next("event"))
		require.Contains(t, next("data"), `"source":"acme"`)
		eventID := g.acmeEvent(t)
		require.Equal(t, "received", next("event"))
		require.Contains(t, next("data"), eventID)
		stop()
		require.Equal(t, "end", next("event"))
		require.JSONEq(t, `{"reason":"stopping"}`, next("data"))
		require.NoError(t, <-served)
	})
}

// acmeEvent stores an event of acme as receipt does, with its entries in a group.
func (g *system) acmeEvent(t *testing.T) string {
	guard := &guarded{system: g, t: t}
	ctx, to := httpapi.WithActor(t.Context(), httpapi.ManagementActor), "http://127.0.0.1:9/acme"
	require.NoError(t, g.db.InTx(ctx, func(tx *database.Tx) error {
		_, err := g.integrations.CreateIntegration(ctx, tx, integrations.IntegrationConfig{Source: "acme", Provider: "acme",
			Secrets: []integrations.SecretConfig{{Value: secret.New("a-long-secret")}}, Destinations: []contract.DestinationConfig{{URL: &to}}})
		return err
	}))
	eventID := guard.records("acme")["events"]
	require.NoError(t, g.db.InTx(t.Context(), func(tx *database.Tx) error {
		return g.audit.Record(t.Context(), tx, []contract.AuditEntry{
			{EntityType: contract.EntityNormalizedEvent, EntityID: &eventID, Action: "event.normalized", Actor: contract.ActorGateway},
			{EntityType: contract.EntityNormalizedEvent, EntityID: &eventID, Action: "event.queued", Actor: contract.ActorGateway}})
	}))
	return eventID
}
