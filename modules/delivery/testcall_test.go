package delivery

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

const testPayload = `{"eventType":"order.created","data":{"n":12345678901234567890}}`

func (h *harness) test(destinationID string, change func(t *contract.DestinationTest)) (contract.DestinationTested, error) {
	h.t.Helper()
	call := contract.DestinationTest{IntegrationID: h.integration, DestinationID: destinationID, Source: "acme", Provider: "acme",
		EventType: "order.created", Payload: []byte(testPayload)}
	if change != nil {
		change(&call)
	}
	return h.TestDestination(httpapi.WithActor(context.Background(), "api-key:oncall"), call)
}

func (h *harness) nothingIsStored() {
	h.t.Helper()
	for _, table := range []string{"delivery_attempts", "processing_jobs", "destination_breakers", "dead_letters"} {
		var n int
		require.NoError(h.t, h.db.Get(context.Background(), &n, "SELECT count(*) FROM "+table))
		require.Zero(h.t, n, table)
	}
}

func TestATestIsSentAsDeliveriesAre(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(config(t, `{"url":"`+h.receiver.URL+`","transform":"{'n': data.n}","headers":{"X-Team":"billing"},"auth":{"type":"bearer","token":"t0ken-of-ours"},"filter":"eventType == 'order.paid'"}`))
		h.receiver.answers(func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Set-Cookie", "session=1")
			w.Header().Set("X-Seen", "Bearer t0ken-of-ours")
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write([]byte("got it, t0ken-of-ours" + strings.Repeat("x", 5000)))
		})
		tested, err := h.test(made.ID, nil)
		require.NoError(t, err)
		require.True(t, tested.Received)
		require.False(t, tested.Wanted, "the filter is told of, and does not matter")
		require.Equal(t, 202, *tested.Status)
		require.Nil(t, tested.Error)
		require.Len(t, tested.Body, testBodyBytes)
		require.NotContains(t, tested.Body+tested.Headers["X-Seen"], "t0ken-of-ours")
		require.NotContains(t, tested.Headers, "Set-Cookie")

		got, body := h.receiver.got[0], string(h.receiver.bodies[0])
		require.Equal(t, `{"n":12345678901234567890}`, body)
		require.Equal(t, "true", got.Header.Get(testHeader))
		require.Equal(t, "billing", got.Header.Get("X-Team"))
		require.Equal(t, "Bearer t0ken-of-ours", got.Header.Get("Authorization"))
		require.Equal(t, tested.EventID, got.Header.Get("X-Event-Id"))
		require.True(t, id.Valid(tested.EventID))
		signedBy(t, got, "Webhook-", made.SigningSecret, body)
		h.nothingIsStored()
		require.Equal(t, []string{"destination.created", "destination.tested"}, h.audit.actions(made.ID))
	})
}

func TestATestMayHaveAnEventsContent(t *testing.T) {
	eachHarness(t, func(h *harness) {
		raw := h.add(config(t, `{"url":"`+h.receiver.URL+`","mode":"raw","isActive":false}`))
		event := id.New()
		h.events.add(event, h.integration)
		tested, err := h.test(raw.ID, func(c *contract.DestinationTest) { c.EventID = event })
		require.NoError(t, err)
		require.True(t, tested.Received, "also while it is paused")
		require.NotEqual(t, event, tested.EventID, "a receiver must not take it for that event")
		got := h.receiver.got[0]
		require.Equal(t, originalBody, string(h.receiver.bodies[0]))
		require.Equal(t, "Acme/1", got.Header.Get("User-Agent"))
		require.Empty(t, got.Header.Get("X-Idempotency-Key"))
		require.Equal(t, tested.EventID, got.Header.Get("Webhook-Id"))

		_, err = h.test(raw.ID, func(c *contract.DestinationTest) { c.EventID = id.New() })
		require.True(t, fault.Is(err, fault.NotFound), "%v", err)
		other := id.New()
		h.events.add(other, id.New())
		_, err = h.test(raw.ID, func(c *contract.DestinationTest) { c.EventID = other })
		require.True(t, fault.Is(err, fault.NotFound), "an event of another integration")
		h.nothingIsStored()
	})
}

func TestATestSaysWhyItFailed(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.breakers.policy.volume = 1
		made := h.destination(h.receiver.URL)
		h.receiver.answers(status500)
		tested, err := h.test(made, nil)
		require.NoError(t, err)
		require.False(t, tested.Received)
		require.Equal(t, 500, *tested.Status)
		require.Equal(t, "http_status", *tested.ErrorKind)
		require.Equal(t, "the destination answered HTTP 500", *tested.Error)
		require.Equal(t, "closed", h.shown(made).Breaker, "it does not count for the breaker")

		allowed := h.sender.Sender
		h.sender.use(egress.New(egress.Config{})) // the operator has changed the rules
		tested, err = h.test(made, nil)
		h.sender.use(allowed)
		require.NoError(t, err)
		require.Nil(t, tested.Status)
		require.Equal(t, "egress_refused", *tested.ErrorKind)

		broken := h.add(config(t, `{"url":"`+h.receiver.URL+`","transform":"data.missing"}`))
		tested, err = h.test(broken.ID, nil)
		require.NoError(t, err)
		require.Equal(t, "unsent", *tested.ErrorKind)
		require.Contains(t, *tested.Error, "the transformation failed")

		release := make(chan struct{})
		h.receiver.answers(func(int, http.ResponseWriter, *http.Request) { <-release })
		slow := h.add(config(t, `{"url":"`+h.receiver.URL+`","policy":{"timeoutMs":100}}`))
		tested, err = h.test(slow.ID, nil)
		close(release)
		require.NoError(t, err)
		require.Equal(t, "timeout", *tested.ErrorKind)
		require.Contains(t, *tested.Error, "no answer within 100ms")

		h.remove(made, contract.FinishJobs)
		for _, gone := range []string{made, id.New()} {
			_, err = h.test(gone, nil)
			require.True(t, fault.Is(err, fault.NotFound), "%v", err)
		}
		_, err = h.test(slow.ID, func(c *contract.DestinationTest) { c.IntegrationID = id.New() })
		require.True(t, fault.Is(err, fault.NotFound), "a destination of another integration")
		h.nothingIsStored()
	})
}

func TestAProbeIsBroughtForward(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		h := newHarness(t, db, Config{BreakerProbe: time.Hour, RetryBase: time.Millisecond, MaxAttempts: 20})
		h.breakers.policy.volume = 1
		made := h.destination(h.receiver.URL)
		ctx := httpapi.WithActor(context.Background(), "api-key:oncall")
		_, err := h.ProbeDestination(ctx, h.integration, made)
		require.True(t, fault.Is(err, fault.Conflict), "a closed breaker: %v", err)

		h.receiver.answers(status500)
		h.run()
		event := h.accept()
		h.eventually("the breaker to open", func() bool { return h.shown(made).Breaker == "open" })
		h.eventually("the job to wait for it", func() bool { // an attempt that began before would be none of its probes
			var waits int
			require.NoError(t, db.Get(ctx, &waits, `SELECT count(*) FROM processing_jobs WHERE status = 'queued' AND (parked OR wake_at > $1)`, db.Now().Add(10*time.Minute)))
			return waits == 1
		})
		h.receiver.answers(nil)
		probe, err := h.ProbeDestination(ctx, h.integration, made)
		require.NoError(t, err)
		require.Equal(t, "open", probe.Breaker)
		h.becomes(event, contract.EventProcessed)
		h.eventually("the breaker to close", func() bool { return h.shown(made).Breaker == "closed" })
		require.Contains(t, h.audit.actions(made), "destination.probe_requested")

		_, err = h.ProbeDestination(ctx, id.New(), made)
		require.True(t, fault.Is(err, fault.NotFound), "%v", err)
	})
}
