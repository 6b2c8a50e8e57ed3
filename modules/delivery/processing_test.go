package delivery

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/id"
)

func TestAnAttemptThatLastsIsShownAsProcessing(t *testing.T) {
	eachHarness(t, func(h *harness) {
		answer := make(chan int)
		h.destination(h.receiver.URL)
		h.receiver.answers(func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(<-answer) })
		h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventProcessing)
		answer <- 200
		h.becomes(eventID, contract.EventProcessed)
	})
}

func TestAnEventIsShownAsProcessingOnlyWhileADeliveryIsUnderWay(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		under, waiting := h.accept(), h.accept()
		a := <-h.publisher.queue
		taken, err := h.claim(context.Background(), id.New(), []ref{a.ref})
		require.NoError(t, err)
		require.Len(t, taken, 1)
		require.Equal(t, contract.EventPending, h.state(under).Status, "for a moment")
		for _, r := range h.showProcessing([]string{waiting, under, under, id.New()}) {
			require.NoError(t, r.Err)
		}
		require.Equal(t, contract.EventProcessing, h.state(under).Status)
		require.Equal(t, contract.EventPending, h.state(waiting).Status, "nothing of it is under way")
	})
}
