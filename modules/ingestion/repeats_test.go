package ingestion

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/testkit"
)

// TestAnErasureReachesTheBodiesThatRepeatAnEvent: a webhook of a known event and a new one was
// stored with its whole body, which belonged to the new event alone.
func TestAnErasureReachesTheBodiesThatRepeatAnEvent(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		const known = `{"id":1,"who":"` + person + `"}`
		first := g.batched(known)
		again := g.batch(known, `{"id":2,"who":"grace@example.com"}`)
		require.Equal(t, first[0], again.EventIDs[0])
		require.Equal(t, 1, g.count("webhook_repeats"))
		others, err := g.module.OthersOf(t.Context(), first)
		require.NoError(t, err)
		require.Equal(t, again.EventIDs[1:2], others)
		require.Equal(t, 2, g.forget(first...), "both webhooks")
		require.NotContains(t, g.dump(), person)
		require.Contains(t, string(g.get("/events/"+again.EventIDs[1]).Data), `"who":"grace@example.com"`)

		later := g.batch(known, `{"id":3,"who":"grace@example.com"}`)
		require.Equal(t, first[0], later.EventIDs[0])
		require.NotContains(t, g.dump(), person, "a repeat beside a new event brings nothing back")
		shown := string(g.get("/events/" + later.EventIDs[1]).Data)
		require.Contains(t, shown, `"who":"grace@example.com"`)
		require.Contains(t, shown, `"bodyState":"erased"`)
	})
}

// verified is a webhook as it waits for its commit.
func (g *gateway) verified(source, body string) verifiedWebhook {
	g.t.Helper()
	src, err := g.module.find(g.t.Context(), source)
	require.NoError(g.t, err)
	req := provider.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body), ReceivedAt: g.db.Now()}
	events, err := src.Spec.Normalize(req)
	require.NoError(g.t, err)
	payload, err := src.payload(req, events, false)
	require.NoError(g.t, err)
	w := verifiedWebhook{source: src, webhookID: id.New(), correlationID: id.NewCorrelation(), receivedAt: req.ReceivedAt, storedPayload: payload}
	w.compact(g.module.headerSets.observe(source, w.headers))
	return w
}

// TestRepeatsWithinOneCommitAreRecorded: both webhooks are in one group.
func TestRepeatsWithinOneCommitAreRecorded(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.batched(`{"id":0,"who":"nobody"}`)
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
			known, both := g.verified("many", `[{"id":1,"who":"`+person+`"}]`), g.verified("many", `[{"id":1,"who":"`+person+`"},{"id":2}]`)
			_, err := g.module.storeNew(t.Context(), tx, []verifiedWebhook{known, both}, true)
			return err
		}))
		require.Equal(t, 1, g.count("webhook_repeats"))
		require.Equal(t, 2, g.forget(g.eventsOf(contract.ErasureScan{Subject: person})...))
		require.NotContains(t, g.dump(), person)
	})
}

// TestAnErasureAndARepeatAtOnce: the repeat arrives while the erasure has not committed.
func TestAnErasureAndARepeatAtOnce(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.Postgres(t)))
	const known = `{"id":1,"who":"` + person + `"}`
	first := g.batched(known)
	done := make(chan receipt, 1)
	require.NoError(t, g.db.InTx(t.Context(), func(tx *database.Tx) error {
		if _, err := g.module.LockStates(t.Context(), tx, first); err != nil {
			return err
		}
		if _, err := g.module.Forget(t.Context(), tx, first); err != nil {
			return err
		}
		go func() { done <- g.batch(known, `{"id":2,"who":"grace@example.com"}`) }()
		g.waitForLock()
		return nil
	}))
	require.Equal(t, first[0], (<-done).EventIDs[0])
	require.NotContains(t, g.dump(), person)
}

// waitForLock waits until a statement waits for a lock.
func (g *gateway) waitForLock() {
	g.t.Helper()
	require.Eventually(g.t, func() bool {
		var waiting int
		err := g.db.Get(context.Background(), &waiting, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
		return err == nil && waiting > 0
	}, 20*time.Second, 5*time.Millisecond)
}

// TestTheSendersAddressIsErased: it outlived the erasure, in the webhook's row and in the trail.
func TestTheSendersAddressIsErased(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		event := g.ofSubject("1", person)
		require.Contains(t, g.dump(), "192.0.2.1")
		require.Equal(t, 1, g.forget(event))
		require.NotContains(t, g.dump(), "192.0.2.1")
		require.Contains(t, string(g.get("/events/"+event).Data), `"sourceIp":null`)
	})
}
