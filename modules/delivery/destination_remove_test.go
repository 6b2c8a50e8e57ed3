package delivery

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

func to[T any](value T) *T { return &value }

// config reads a destination as a caller would write it.
func config(t testing.TB, text string) (c contract.DestinationConfig) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &c))
	return c
}

// requireFields holds a fault.Invalid to parts of its messages, by field.
func requireFields(t *testing.T, err error, want map[string]string) {
	t.Helper()
	require.True(t, fault.Is(err, fault.Invalid), "%v", err)
	got := map[string]string{}
	for _, f := range fault.As(err).Fields {
		got[f.Field] = f.Message
	}
	require.Len(t, got, len(want), "%v", got)
	for field, part := range want {
		require.Contains(t, got, field)
		require.Contains(t, got[field], part)
	}
}

func (h *harness) shown(destinationID string) contract.Destination {
	h.t.Helper()
	h.destinations.Changed(h.integration)
	list, err := h.Destinations(context.Background(), []string{h.integration})
	require.NoError(h.t, err)
	for _, d := range list {
		if d.ID == destinationID {
			return d
		}
	}
	h.t.Fatalf("destination %s is not shown", destinationID)
	return contract.Destination{}
}

func (h *harness) change(destinationID, text string) {
	h.t.Helper()
	h.tx(func(ctx context.Context, tx *database.Tx) error {
		return h.ChangeDestination(ctx, tx, h.integration, destinationID, config(h.t.(*testing.T), text))
	})
}

func (h *harness) remove(destinationID string, jobs contract.OpenJobs) {
	h.t.Helper()
	h.tx(func(ctx context.Context, tx *database.Tx) error {
		return h.RemoveDestination(ctx, tx, h.integration, destinationID, jobs)
	})
}

func TestWhatWaitsForARemovedDestinationIsFinished(t *testing.T) {
	eachHarness(t, func(h *harness) {
		removed := h.add(contract.DestinationConfig{URL: &h.receiver.URL, IsActive: to(false)}).ID
		waiting := h.accept()
		h.remove(removed, contract.FinishJobs)
		h.events.setActive(h.integration, false)
		late := h.schedule(id.New())
		require.Empty(t, late.Jobs)
		require.Equal(t, noDestination, late.Reason)
		h.run()
		h.becomes(waiting, contract.EventProcessed)
		require.Equal(t, 1, h.receiver.count())
		attempts, _ := h.history(waiting)
		require.Equal(t, removed, attempts[0].DestinationID, "its history stays")
		err := h.db.InTx(t.Context(), func(tx *database.Tx) error {
			return h.Dispatch(t.Context(), tx, contract.ReplayOrder{RequestID: id.New(), EventID: waiting, DestinationID: &removed}, h.integration)
		})
		require.True(t, fault.Is(err, fault.Invalid), "nothing new goes there: %v", err)
	})
}

func TestWhatWaitsForARemovedDestinationIsCancelled(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.cfg.RetryBase = time.Hour
		removed := h.destination(h.receiver.URL + "/removed")
		kept := h.destination(h.receiver.URL + "/kept")
		under := make(chan struct{})
		proceed := make(chan struct{})
		h.receiver.answers(func(_ int, w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/kept" {
				return
			}
			under <- struct{}{}
			<-proceed
			w.WriteHeader(500)
		})
		h.run()
		event := h.accept()
		<-under
		replayed := h.replay(contract.ReplayOrder{EventID: event, DestinationID: &removed})
		h.tx(func(ctx context.Context, tx *database.Tx) error {
			return h.CloseIntegration(ctx, tx, id.New(), contract.CancelJobs)
		})
		h.remove(removed, contract.CancelJobs)
		close(proceed) // the attempt under way fails, and its retry would be due in an hour
		h.eventually("the replay to end", func() bool { e := h.replays.end(replayed); return e != nil && e.Failed })
		state := h.becomes(event, contract.EventFailed)
		require.Equal(t, "cancelled by the removal of its destination", *state.LastError)
		attempts, jobs := h.history(event)
		require.Len(t, attempts, 2)
		for _, j := range jobs {
			require.NotContains(t, []string{"queued", "running"}, j.Status)
		}
		require.Equal(t, kept, h.shown(kept).ID)
		// The double keeps entries once their transaction is committed, a moment after it is seen.
		h.eventually("the entry", func() bool { return slices.Contains(h.audit.actions(event), "event.cancelled") })
	})
}

func TestAnArchivedIntegrationHasNoDestinations(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL + "/a")
		h.destination(h.receiver.URL + "/b")
		waiting := h.accept()
		h.tx(func(ctx context.Context, tx *database.Tx) error {
			return h.CloseIntegration(ctx, tx, h.integration, contract.FinishJobs)
		})
		h.events.setActive(h.integration, false)
		list, err := h.Destinations(t.Context(), []string{h.integration})
		require.NoError(t, err)
		require.Empty(t, list)
		h.run()
		h.becomes(waiting, contract.EventProcessed)
		require.Equal(t, 2, h.receiver.count())
		err = h.db.InTx(t.Context(), func(tx *database.Tx) error { return h.CloseIntegration(t.Context(), tx, h.integration, "maybe") })
		require.True(t, fault.Is(err, fault.Invalid))
	})
}

// A job whose destination had been deleted by hand ended every worker that claimed it, and later waited for ever.
func TestADeletedDestinationsJobEndsAndStopsNoWorker(t *testing.T) {
	eachHarness(t, func(h *harness) {
		deleted, kept := h.destination(h.receiver.URL+"/deleted"), h.destination(h.receiver.URL+"/kept")
		event := h.accept()
		h.exec(`DELETE FROM destinations WHERE id = $1`, deleted)
		h.exec(`UPDATE processing_jobs SET wake_at = $1`, h.now())
		elsewhere := newHarness(t, h.db, Config{}) // it never knew the destination
		elsewhere.Module.events = h.events
		elsewhere.run()
		h.eventually("the other destination's job to be done", func() bool { return h.jobsOf(event, kept, succeeded) == 1 })
		h.eventually("the job to end", func() bool { return h.jobsOf(event, deleted, failed) == 1 })
		h.exec(`UPDATE processing_jobs SET wake_at = $1 WHERE normalized_event_id = $2`, h.now(), h.accept())
		h.eventually("the worker to go on", func() bool { return h.receiver.count() == 2 })
	})
}
