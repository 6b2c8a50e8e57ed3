package delivery

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/id"
)

// An event whose last outcomes were stored together had its end in the trail once for each.
func TestAnEventsEndIsAuditedOnce(t *testing.T) {
	for sentence, c := range map[string]struct {
		statuses []int
		want     []string
	}{
		"received by all":        {[]int{200, 200, 200}, []string{"event.delivered", "event.delivered", "event.processed"}},
		"given up on everywhere": {[]int{410, 410}, []string{"event.delivery_failed", "event.failed"}},
		"both":                   {[]int{200, 410, 200}, []string{"event.delivered", "event.delivery_failed", "event.failed"}},
		"to be tried again":      {[]int{200, 500}, []string{"event.delivered", "event.retry_scheduled"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			eachHarness(t, func(h *harness) {
				for range c.statuses {
					h.destination(h.receiver.URL)
				}
				eventID := h.accept()
				var refs []ref
				for range c.statuses {
					refs = append(refs, (<-h.publisher.queue).ref)
				}
				slices.SortFunc(refs, ref.compare)
				jobs, err := h.claim(t.Context(), id.New(), refs)
				require.NoError(t, err)
				require.Len(t, jobs, len(c.statuses))
				slices.SortFunc(jobs, func(a, b claimed) int { return a.ref().compare(b.ref()) })
				destinations, err := h.destinations.Of(context.Background(), h.integration)
				require.NoError(t, err)
				var outcomes []attemptResult
				for i, j := range jobs {
					outcomes = append(outcomes, attemptResult{claimed: j, destination: destinations[0], response: response{status: c.statuses[i]}})
				}
				require.NoError(t, h.record(outcomes))
				got := h.audit.actions(eventID)
				slices.Sort(got)
				require.Equal(t, c.want, got)
			})
		})
	}
}
