package ingestion

import (
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// storedCorrelation is what an event's row has of its correlation id.
func (g *gateway) storedCorrelation(eventID string) *string {
	g.t.Helper()
	var stored *string
	require.NoError(g.t, g.db.Get(g.t.Context(), &stored, `SELECT correlation_id FROM normalized_events WHERE id = $1`, eventID))
	return stored
}

// TestAGeneratedCorrelationIDIsStoredAsTheEventsID: nothing of it shows but the room that it
// saves, and whoever sends such an id as its own changes no other event.
func TestAGeneratedCorrelationIDIsStoredAsTheEventsID(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		first := g.do(acmeRequest(acmeBody("generated"))).receipt(t)
		require.Nil(t, g.storedCorrelation(first.EventID))
		require.Equal(t, id.OfEvent(first.EventID), first.CorrelationID)

		repeat := g.do(acmeRequest(acmeBody("generated"))).receipt(t)
		require.True(t, repeat.Duplicate)
		require.Equal(t, first.CorrelationID, repeat.CorrelationID)
		found, err := g.module.Deliverables(t.Context(), []string{first.EventID})
		require.NoError(t, err)
		require.Equal(t, first.CorrelationID, found[0].CorrelationID)

		r := acmeRequest(acmeBody("borrowed"))
		r.Header.Set("X-Correlation-Id", first.CorrelationID)
		borrowed := g.do(r).receipt(t)
		require.Equal(t, first.CorrelationID, borrowed.CorrelationID)
		require.NotEqual(t, first.EventID, borrowed.EventID)
		require.Equal(t, &first.CorrelationID, g.storedCorrelation(borrowed.EventID))

		unused := id.NewCorrelation()
		r = acmeRequest(acmeBody("chosen"))
		r.Header.Set("X-Correlation-Id", unused)
		chosen := g.do(r).receipt(t)
		require.NotEqual(t, id.EventOf(unused), chosen.EventID, "a sender chooses no event's id")
		require.Equal(t, &unused, g.storedCorrelation(chosen.EventID))

		for correlation, want := range map[string][]string{
			first.CorrelationID:        {first.EventID, borrowed.EventID},
			unused:                     {chosen.EventID},
			id.OfEvent(chosen.EventID): {}, // chosen has another
		} {
			found, _ := g.get("/events?correlationId=" + correlation).list(t)
			require.ElementsMatch(t, want, found)
		}
		event := g.get("/events/" + first.EventID).object(t)["event"].(map[string]any)
		require.Equal(t, first.CorrelationID, event["correlationId"])

		require.Equal(t, 1, g.forget(first.EventID))
		event = g.get("/events/" + first.EventID).object(t)["event"].(map[string]any)
		require.Equal(t, first.EventID, event["correlationId"])
	})
}

// TestAWebhooksKeyIsStoredWhereItsOnlyEventDoesNotYieldIt: the API shows both alike.
func TestAWebhooksKeyIsStoredWhereItsOnlyEventDoesNotYieldIt(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		for externalID, stored := range map[string]bool{"plain": false, "with:colons": false, "sha256:e1": true, "no\u00e9l": true} {
			eventID := g.do(acmeRequest(acmeBody(externalID))).receipt(t).EventID
			var n int
			require.NoError(t, db.Get(t.Context(), &n, `SELECT count(*) FROM webhook_events w JOIN normalized_events e ON e.webhook_event_id = w.id
				WHERE e.id = $1 AND w.idempotency_key IS NOT NULL`, eventID))
			require.Equal(t, stored, n == 1, externalID)
			var key string
			require.NoError(t, db.Get(t.Context(), &key, `SELECT idempotency_key FROM idempotency_keys WHERE event_id = $1`, eventID))
			webhook := g.get("/events/" + eventID).object(t)["webhook"].(map[string]any)
			require.Equal(t, key, webhook["idempotencyKey"])
			require.Equal(t, externalID, webhook["externalEventId"])
			require.Equal(t, "acme", webhook["provider"])
		}

		several := g.webhook("t", "first", "second")
		r := g.module.commit([]verifiedWebhook{several})[0]
		require.NoError(t, r.Err)
		for _, eventID := range r.Value.EventIDs {
			webhook := g.get("/events/" + eventID).object(t)["webhook"].(map[string]any)
			require.Equal(t, "acme:first", webhook["idempotencyKey"], "of its first event")
			require.Equal(t, "first", webhook["externalEventId"])
		}
	})
}
