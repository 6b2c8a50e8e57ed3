package app

import (
	"context"
	"net/http/httptest"
	"sync"
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

// A destination that pointed at its own source turned one webhook into 440 events a second
// without end: each delivery passed verification there and became a new event.
func TestADeliveryLoopEnds(t *testing.T) {
	const token = "a-token-of-the-loop"
	ctx, db := context.Background(), testkit.Open(t, testkit.SQLite(t))
	g, err := wire(devConfig(t, "MAX_PROCESSING_RETRIES", "2"), &stores{db: db, broker: broker.NewMemory(clock.System, nil), cache: cache.NewMemory(0, clock.System)}, quiet)
	require.NoError(t, err)
	server := httptest.NewServer(testkit.Checked(t, g.server.Handler()))
	t.Cleanup(server.Close)
	url := server.URL + httpapi.Base + "/webhooks/loop"
	anew := `{'id': payload.externalEventId + '+', 'type': eventType, 'timestamp': payload.occurredAt, 'resource': {'id': 'r'}}`
	require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error {
		_, err := g.integrations.CreateIntegration(ctx, tx, integrations.IntegrationConfig{Source: "loop", Provider: "globex",
			Secrets:      []integrations.SecretConfig{{Value: secret.New(token)}},
			Destinations: []contract.DestinationConfig{{URL: &url, Transform: &anew, Headers: map[string]string{"X-Globex-Token": token}}}})
		return err
	}))
	f := &fixture{system: g, t: t}
	sender := demoSource{name: "loop", secret: token, header: "X-Globex-Token"}
	require.NoError(t, g.post(ctx, sender, `{"id":"evt","type":"a","timestamp":"2026-01-31T12:00:00Z","resource":{"id":"r"}}`))
	run, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	parts.Go(func() { _ = g.delivery.Work(run, allQueues) })
	parts.Go(func() { _ = g.delivery.Relay(run) })
	defer parts.Wait()
	defer cancel()
	require.Eventually(t, func() bool {
		return f.text(`SELECT count(*) FROM event_states WHERE status IN ('pending', 'processing', 'retrying')`) == "0"
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, "5", f.text(`SELECT count(*) FROM normalized_events`))
	require.Equal(t, "evt++++", f.text(`SELECT e.external_event_id FROM normalized_events e JOIN event_states s ON s.event_id = e.id WHERE s.status = 'failed'`))
	require.Contains(t, f.text(`SELECT response_body FROM delivery_attempts WHERE status = 'failed' LIMIT 1`), "A destination leads back to a source")
}
