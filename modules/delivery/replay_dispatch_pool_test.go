package delivery

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

// readingEvents reads an event as ingestion does: by key, which on PostgreSQL takes a
// connection of the pool that transactions are made with.
type readingEvents struct{ *fakeEvents }

func (r readingEvents) Deliverables(ctx context.Context, ids []string) ([]contract.Deliverable, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var found []string
	if err := r.db.SelectRows(ctx, &found, database.IDs(ids), `SELECT s.event_id FROM event_states s JOIN v ON s.event_id = v.id`); err != nil {
		return nil, err
	}
	return r.fakeEvents.Deliverables(ctx, ids)
}

// Replays to destinations with filters each held a connection in their transaction while
// they waited for a second one: as many at once as there are connections stood still, and
// with them all that a worker writes.
func TestAReplayNeedsNoSecondConnection(t *testing.T) {
	db, err := database.Open(database.Config{URL: testkit.Postgres(t), MaxConnections: 2}, clock.System) // one for transactions
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	h := newHarness(t, db, Config{})
	h.Module.events = readingEvents{h.events}
	url, filter := h.receiver.URL, "eventType != ''"
	h.add(contract.DestinationConfig{URL: &url, Filter: &filter})
	h.run()
	event := h.accept()
	h.becomes(event, contract.EventProcessed)
	request := h.replay(contract.ReplayOrder{EventID: event})
	h.eventually("the replay ends", func() bool { return h.replays.end(request) != nil })
	require.False(t, h.replays.end(request).Failed)
	require.Equal(t, 2, h.receiver.count())
}
