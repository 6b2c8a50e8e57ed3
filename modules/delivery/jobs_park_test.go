package delivery

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
)

// A relay that had not heard yet of another process's change brought jobs back that were to be
// cancelled, or whose destination had just been taken for down.
func TestNoJobIsBroughtBackByWhatARelayKnewBefore(t *testing.T) {
	const open = `INSERT INTO destination_breakers (destination_id, state, until, trips, opened_at) VALUES ($1, 'open', $2, 0, $2)`
	for _, c := range []struct {
		sentence string
		before   func(h *harness, id string) // of which the relay knows
		change   func(h *harness, id string) // of which it does not
		parked   int
	}{
		{"nothing changed", nil, func(*harness, string) {}, 0},
		{"it is to be finished", nil, func(h *harness, id string) { h.remove(id, contract.FinishJobs) }, 0},
		{"it is to be cancelled", nil, func(h *harness, id string) { h.remove(id, contract.CancelJobs) }, 2},
		{"it is inactive", nil, func(h *harness, id string) { h.exec(`UPDATE destinations SET is_active = false`) }, 2},
		{"its breaker opened", nil, func(h *harness, id string) { h.exec(open, id, h.now()) }, 2},
		{"a probe is due", func(h *harness, id string) { h.exec(open, id, h.now()) }, func(*harness, string) {}, 1},
		{"a probe is due of what is to be cancelled", func(h *harness, id string) { h.exec(open, id, h.now()) },
			func(h *harness, id string) { h.remove(id, contract.CancelJobs) }, 2},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			eachHarness(t, func(h *harness) {
				id := h.destination(h.receiver.URL)
				elsewhere := newHarness(t, h.db, Config{})
				elsewhere.integration = h.integration
				h.accept()
				h.accept()
				h.exec(`UPDATE processing_jobs SET parked = true, wake_at = NULL`)
				if c.before != nil {
					c.before(h, id)
					h.destinations.Changed(h.integration)
				}
				_, err := h.destinations.Of(context.Background(), h.integration)
				require.NoError(t, err)
				c.change(elsewhere, id)
				require.NoError(t, h.unpark(context.Background()))
				var parked int
				require.NoError(t, h.db.Get(context.Background(), &parked, `SELECT count(*) FROM processing_jobs WHERE parked AND status = 'queued'`))
				require.Equal(t, c.parked, parked)
			})
		})
	}
}
