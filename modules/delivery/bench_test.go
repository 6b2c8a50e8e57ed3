package delivery

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// BenchmarkRecord is the storing of outcomes of 64 deliveries that were received: their
// attempts, jobs and events' states. An operation is a group; the audit trail is not in it.
func BenchmarkRecord(b *testing.B) {
	const size = 64
	for _, store := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", testkit.SQLite}, {"postgres", testkit.Postgres}} {
		b.Run(fmt.Sprintf("%s/group=%d", store.name, size), func(b *testing.B) {
			h := newHarness(b, testkit.Open(b, store.url(b)), Config{})
			h.Module.events = groupedEvents{h.events}
			h.destination("http://127.0.0.1:1/")
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				list := h.delivered(size)
				b.StartTimer()
				if err := h.record(list); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "outcomes/s")
		})
	}
}

// TestWhatADeliveryStoresIsLittle holds the bytes of an event that goes straight through, in its
// state and its attempt with their indexes and dead versions. Those of its job depend on what else
// the server does: it reuses the space of old versions only when no transaction may still see them.
func TestWhatADeliveryStoresIsLittle(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.Postgres(t)), Config{})
	h.Module.events = groupedEvents{h.events}
	h.destination("http://127.0.0.1:1/")
	const events = 4000
	for range events / 100 {
		require.NoError(t, h.record(h.delivered(100)))
	}
	for table, limit := range map[string]int{"event_states": 415, "delivery_attempts": 365} {
		var bytes int
		require.NoError(t, h.db.Get(t.Context(), &bytes,
			`SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = CAST($1 AS text)::regclass`, table))
		t.Logf("%s: %d bytes an event", table, bytes/events)
		require.LessOrEqual(t, bytes/events, limit, table)
	}
}

// delivered are the outcomes of n new events' deliveries, claimed and not recorded.
func (h *harness) delivered(n int) []attemptResult {
	ctx := context.Background()
	events := make([]contract.NewEvent, n)
	for i := range events {
		events[i] = contract.NewEvent{EventID: id.New(), IntegrationID: h.integration, CorrelationID: id.New()}
		h.events.add(events[i].EventID, h.integration)
	}
	var scheduled []contract.Scheduled
	h.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		for _, e := range events {
			if err := h.events.insert(ctx, tx, e.EventID); err != nil {
				return err
			}
		}
		scheduled, err = h.Schedule(ctx, tx, events)
		return err
	})
	var refs []ref
	for _, s := range scheduled {
		refs = append(refs, newRef(s.EventID, s.Jobs[0].JobID))
	}
	jobs, err := h.claim(ctx, id.New(), refs)
	require.NoError(h.t, err)
	require.Len(h.t, jobs, n)
	destinations, err := h.destinations.Of(ctx, h.integration)
	require.NoError(h.t, err)
	list := make([]attemptResult, n)
	for i, c := range jobs {
		list[i] = attemptResult{claimed: c, destination: destinations[0], event: h.events.payloads[c.EventID],
			response: response{status: http.StatusOK, duration: 5 * time.Millisecond}, chance: 0.5}
	}
	return list
}

// groupedEvents saves states in one statement, as the real module does.
type groupedEvents struct{ *fakeEvents }

const saveStatesSQL = `
UPDATE event_states
SET    status = v.status, processing_attempts = v.attempts, last_processed_at = v.at, updated_at = v.updated_at
FROM   v
WHERE  event_states.event_id = v.event_id`

func (groupedEvents) SaveStates(ctx context.Context, tx *database.Tx, states []contract.EventState) error {
	if len(states) == 0 {
		return nil
	}
	rows := database.NewRows("event_id uuid", "status text", "attempts bigint", "at timestamptz", "updated_at timestamptz")
	for _, s := range states {
		rows.Add(s.EventID, string(s.Status), s.ProcessingAttempts, s.LastProcessedAt, s.UpdatedAt)
	}
	_, err := tx.ExecRows(ctx, rows, saveStatesSQL)
	return err
}
