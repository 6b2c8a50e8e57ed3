package delivery

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/id"
)

// A claim locks no state, so that a worker may take the job that a replay is about to
// supersede: the replay waits for it, or the worker comes too late.
func TestAReplayAndAClaimOfTheSameJobLeaveOneOfThem(t *testing.T) {
	eachHarness(t, func(h *harness) {
		ctx := context.Background()
		h.destination(h.receiver.URL)
		for range 60 {
			eventID := h.accept()
			first := (<-h.publisher.queue).ref
			h.replay(contract.ReplayOrder{EventID: eventID})
			order, err := h.claim(ctx, id.New(), []ref{(<-h.publisher.queue).ref})
			require.NoError(t, err)
			require.Len(t, order, 1)

			var taken []claimed
			var both errgroup.Group
			both.Go(func() (err error) { taken, err = h.claim(ctx, id.New(), []ref{first}); return err })
			both.Go(func() error { return h.dispatchReplay(ctx, order[0]) })
			require.NoError(t, both.Wait())
			_, jobs := h.history(eventID)
			live := 0
			for _, j := range jobs {
				if j.DestinationID != nil && (j.Status == "queued" || j.Status == "running") {
					live++
					require.Equal(t, len(taken) == 1, j.ID == first.JobID, "what lives is the worker's, or else the replay's")
				}
			}
			require.Equal(t, 1, live)
			for len(h.publisher.queue) > 0 {
				<-h.publisher.queue
			}
		}
	})
}
