package delivery

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
)

// One row whose secrets cannot be opened stopped every source and every delivery: the
// picture of all destinations could not be read, or ended at that row.
func TestADestinationThatCannotBeOpenedHoldsUpNoOther(t *testing.T) {
	eachHarness(t, func(h *harness) {
		broken := h.destination(h.receiver.URL + "/broken")
		good := h.destination(h.receiver.URL + "/good")
		breaks := func(id string) {
			require.EqualValues(t, 1, h.exec(`UPDATE destinations SET signing_secret = 'un' || signing_secret WHERE id = $1`, id))
			h.destinations.Changed(h.integration)
		}
		breaks(broken)
		h.run()
		event := h.accept()
		h.eventually("the good one is delivered to", func() bool { return h.jobsOf(event, good, succeeded) == 1 })
		h.eventually("the other one's job waits", func() bool { return h.jobsOf(event, broken, queued) == 1 })
		require.Equal(t, 1, h.receiver.count())

		var err error
		url := "https://example.com/"
		h.tx(func(ctx context.Context, tx *database.Tx) error {
			err = h.ChangeDestination(ctx, tx, h.integration, broken, contract.DestinationConfig{URL: &url})
			return nil
		})
		require.True(t, fault.Is(err, fault.Conflict), "%v", err)

		h.exec(`UPDATE destinations SET signing_secret = substr(signing_secret, 3) WHERE id = $1`, broken)
		h.destinations.Changed(h.integration)
		h.becomes(event, contract.EventProcessed)
		require.Equal(t, 2, h.receiver.count(), "once it is mended, what waited goes")

		breaks(broken)
		h.tx(func(ctx context.Context, tx *database.Tx) error {
			return h.RemoveDestination(ctx, tx, h.integration, broken, contract.CancelJobs)
		})
		h.becomes(h.accept(), contract.EventProcessed)
	})
}

func (h *harness) jobsOf(eventID, destinationID string, want status) (n int) {
	h.t.Helper()
	require.NoError(h.t, h.db.Get(context.Background(), &n,
		`SELECT count(*) FROM processing_jobs WHERE normalized_event_id = $1 AND destination_id = $2 AND status = $3`, eventID, destinationID, string(want)))
	return n
}
