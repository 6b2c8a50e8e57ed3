package app

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/verify"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

// TestAWebhookIsRoutedForwardedAndTransformed sends one webhook through the whole system:
// to a destination that verifies the provider's own signature, to one with a transformed
// body, and past one whose filter does not match.
func TestAWebhookIsRoutedForwardedAndTransformed(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ctx := context.Background()
		var mu sync.Mutex
		got, bodies := map[string]http.Header{}, map[string]string{}
		receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			got[r.URL.Path], bodies[r.URL.Path] = r.Header, string(body)
		}))
		t.Cleanup(receiver.Close)
		g, err := wire(devConfig(t), &stores{db: db, broker: broker.NewMemory(clock.System, nil), cache: cache.NewMemory(0, clock.System)}, quiet)
		require.NoError(t, err)
		_, err = g.seed(ctx, destinationsFor(receiver.URL, "http", 0))
		require.NoError(t, err)
		f := &fixture{system: g, t: t}
		integration := f.text(`SELECT id FROM integrations WHERE source = 'acme'`)
		seeded := f.text(`SELECT id FROM destinations WHERE integration_id = $1`, integration)
		add := func(path, filter, transform string, mode contract.DestinationMode) (destinationID string) {
			url := receiver.URL + path
			require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error {
				made, err := g.delivery.AddDestination(ctx, tx, integration, contract.DestinationConfig{URL: &url, Filter: &filter, Transform: &transform, Mode: &mode})
				destinationID = made.ID
				return err
			}))
			return destinationID
		}
		only := "data.kind == 'wanted'"
		require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error {
			return g.delivery.ChangeDestination(ctx, tx, integration, seeded, contract.DestinationConfig{Filter: &only})
		}))
		add("/raw", "headers['content-type'] == 'application/json' && "+only, "", contract.ModeRaw)
		add("/own", "has(data.kind)", "{'id': data.id, 'type': eventType}", contract.ModeCanonical)
		never := add("/never", "eventType == 'order.deleted'", "", contract.ModeCanonical)

		wanted := `{ "eventId":"evt_wanted", "eventType":"order.paid","occurredAt":"2026-01-31T12:00:00Z", "data":{"id":12345678901234567890,"kind":"wanted","n":1.10} }`
		unwanted := `{"eventId":"evt_unwanted","eventType":"order.paid","occurredAt":"2026-01-31T12:00:00Z","data":{}}`
		require.NoError(t, g.post(ctx, acme, wanted))
		require.NoError(t, g.post(ctx, acme, unwanted))
		f.eventID = f.text(`SELECT id FROM normalized_events WHERE external_event_id = 'evt_wanted'`)
		f.untilProcessed()

		require.Equal(t, wanted, bodies["/raw"])
		require.Equal(t, acme.credential([]byte(bodies["/raw"])), got["/raw"].Get(acme.header), "the provider's own signature verifies")
		require.Equal(t, `{"id":12345678901234567890,"type":"order.paid"}`, bodies["/own"])
		require.Equal(t, f.eventID, got["/own"].Get("X-Event-Id"))
		require.NotContains(t, bodies, "/never")
		require.Contains(t, f.text(`SELECT details FROM audit_trail WHERE action = 'event.queued' AND entity_id = $1`, f.eventID),
			`"filters":[{"destinationId":"`+never+`","delivered":false,"reason":"its filter did not match"}]`)

		const reason = "no destination wants it: 4 filters did not match"
		past := f.text(`SELECT id FROM normalized_events WHERE external_event_id = 'evt_unwanted'`)
		require.Equal(t, "processed", f.text(`SELECT status FROM event_states WHERE event_id = $1`, past))
		require.Equal(t, reason, f.text(`SELECT last_error FROM event_states WHERE event_id = $1`, past))
		require.Contains(t, f.text(`SELECT details FROM audit_trail WHERE action = 'event.processed' AND entity_id = $1`, past), `"reason":"`+reason+`"`)

		f.exec(`UPDATE destinations SET created_at = $1`, clock.System().Add(-10*time.Minute))
		f.exec(`UPDATE event_states SET updated_at = $1`, clock.System().Add(-9*time.Minute))
		f.exec(`UPDATE normalized_events SET created_at = $1`, clock.System().Add(-9*time.Minute))
		report, err := verify.New(verify.Config{Limit: 10}, verify.Deps{DB: db, Now: clock.System, Repairer: g.delivery}).Run(ctx)
		require.NoError(t, err)
		require.Empty(t, report.Checks["missing_job"].Problems, "a filtered event misses no job")
	})
}
