package ingestion

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	otlp "go.opentelemetry.io/proto/slim/otlp/trace/v1"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
	"integration-gateway/platform/tracing"
)

func tracer(t testing.TB, c *testkit.Collector, share float64) *tracing.Tracer {
	t.Helper()
	made, err := tracing.New(tracing.Config{Exporter: tracing.Exporter{URL: c.URL + "/v1/traces", Timeout: 5 * time.Second}, Sampler: tracing.Sample(share),
		Batch: tracing.Batch{Queue: 1024, Size: 64, Delay: time.Millisecond, Timeout: 5 * time.Second}, Database: tracing.SQLite}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { made.Close(context.Background()) })
	return made
}

// arrive waits for the spans of an event's trace.
func arrive(t *testing.T, c *testkit.Collector, eventID string, n int) []testkit.Span {
	t.Helper()
	traceID := strings.ReplaceAll(eventID, "-", "")
	require.Eventually(t, func() bool { return len(c.Trace(traceID)) >= n }, 10*time.Second, time.Millisecond)
	require.Len(t, c.Trace(traceID), n)
	return c.Trace(traceID)
}

// TestTheTraceOfAWebhook: of a new event, a repeat, and a request that is released from
// quarantine.
func TestTheTraceOfAWebhook(t *testing.T) {
	tracedGateway(t, func(t *testing.T, g *gateway, c *testkit.Collector) {
		const correlationID = "4bf92f3577b34da6a3ce929d0e0e4736"
		first := g.do(acmeRequest(acmeBody("e1"), "X-Correlation-Id", correlationID)).receipt(t)
		root := testkit.Named(t, arrive(t, c, first.EventID, 3), "POST /api/v1/webhooks/:source")
		require.Equal(t, correlationID, root.Attributes["gateway.correlation_id"])
		require.Equal(t, fmt.Sprint(len(acmeBody("e1"))), root.Attributes["http.request.body.size"])

		g.do(acmeRequest(acmeBody("e1"), "X-Correlation-Id", "ada.lovelace")).receipt(t)
		for _, s := range arrive(t, c, first.EventID, 6) {
			if s.Kind == otlp.Span_SPAN_KIND_SERVER && s.ID != root.ID {
				require.Equal(t, root.ID, s.ParentID)
				require.Equal(t, "duplicate", s.Attributes["gateway.outcome"])
				require.Empty(t, s.Attributes["gateway.correlation_id"], "it may be a name")
			}
		}

		before := len(c.Spans())
		require.Equal(t, http.StatusUnauthorized, g.do(acmeRequest(acmeBody("e2"), "X-Acme-Signature", sign("other"))).Status)
		require.Eventually(t, func() bool { return len(c.Spans()) == before+2 }, 10*time.Second, time.Millisecond)
		refused := c.Spans()[before:]
		verify := testkit.Named(t, refused, "verify")
		require.True(t, verify.Failed)
		require.Equal(t, "no_match", verify.Attributes["error.type"])
		require.False(t, testkit.Named(t, refused, "POST /api/v1/webhooks/:source").Failed, "it is the sender's failure")
	})
}

// TestTheTracesOfAWebhookWithSeveralEvents: each has its own, and the first has the server's span.
func TestTheTracesOfAWebhookWithSeveralEvents(t *testing.T) {
	tracedGateway(t, func(t *testing.T, g *gateway, c *testkit.Collector) {
		spec, _ := provider.Builtin().Spec("hubspot")
		g.addProvider("hubspot", secret.New("k"))
		const items = `[{"eventId":1,"subscriptionType":"a","occurredAt":1767603590123,"objectId":7},{"eventId":2,"subscriptionType":"a","occurredAt":1767603590123,"objectId":8}]`
		req, err := spec.SampleRequest(provider.Sample{Body: items}, secret.New("k"), clock.System(), "http://example.com/api/v1/webhooks/hubspot-source", "x")
		require.NoError(t, err)
		ids := g.do(incoming(req)).receipt(t).EventIDs
		require.Len(t, ids, 2)
		first := testkit.Named(t, arrive(t, c, ids[0], 3), "POST /api/v1/webhooks/:source")
		second := testkit.Named(t, arrive(t, c, ids[1], 3), "event of POST /api/v1/webhooks/:source")
		require.Equal(t, otlp.Span_SPAN_KIND_INTERNAL, second.Kind)
		require.Empty(t, second.ParentID)
		require.Equal(t, []string{first.TraceID + "/" + first.ID}, second.Links)
		require.Equal(t, ids[1], second.Attributes["gateway.event.id"])
	})
}

// TestTheTraceOfAReleasedRequest begins with its release.
func TestTheTraceOfAReleasedRequest(t *testing.T) {
	c := testkit.NewCollector(t)
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), atThen, remembering(true), func(_ *Config, d *Deps) { d.Traces = tracer(t, c, 1) })
	g.addProvider("github", sampleKey("github"))
	require.Equal(t, http.StatusAccepted, g.do(githubRequest(t, `{}`, "d1")).Status)
	require.Equal(t, http.StatusUnauthorized, g.do(githubRequest(t, `{}`, "d2")).Status)
	require.NoError(t, g.module.flushQuarantine(t.Context()))
	var id string
	require.NoError(t, g.db.Get(t.Context(), &id, `SELECT id FROM quarantine`))
	released, err := g.module.Release(t.Context(), id)
	require.NoError(t, err)
	spans := arrive(t, c, released.EventID, 3)
	root := testkit.Named(t, spans, "release from quarantine")
	require.Empty(t, root.ParentID)
	require.Equal(t, strings.ReplaceAll(released.EventID, "-", "")[16:], root.ID)
	require.Equal(t, root.ID, testkit.Named(t, spans, "store").ParentID)
}

func tracedGateway(t *testing.T, test func(t *testing.T, g *gateway, c *testkit.Collector)) {
	t.Parallel()
	c := testkit.NewCollector(t)
	test(t, setup(t, testkit.Open(t, testkit.SQLite(t)), func(_ *Config, d *Deps) { d.Traces = tracer(t, c, 1) }), c)
}

// TestRefusedRequestsAreTracedUpToABound: anybody can send them.
func TestRefusedRequestsAreTracedUpToABound(t *testing.T) {
	var r refusedTracer
	now := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	for second := range 3 {
		admitted := 0
		for range 1000 {
			if r.admits(now.Add(time.Duration(second) * time.Second)) {
				admitted++
			}
		}
		require.Equal(t, refusedTraces, admitted)
	}
}

// TestWebhooksThatAreNotTracedCostNothing: no allocation while traces are off, in what every
// webhook goes through.
func TestWebhooksThatAreNotTracedCostNothing(t *testing.T) {
	m, at := &Module{d: Deps{Now: clock.System}}, clock.System()
	group := []verifiedWebhook{{storedPayload: storedPayload{events: []draft{{id: "0196f0a0-0000-7000-8000-000000000000"}}}}}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		w := m.newWay(at)
		w.note(&w.verifies)
		w.note(&w.verified)
		if m.trace(nil, &w, "acme", "accepted", nil) != "" || m.tracedOf(group) != "" {
			t.Fatal("it is traced")
		}
	}))
	m.d.Traces = tracer(t, testkit.NewCollector(t), 0)
	w := m.newWay(at)
	w.receipt.EventID = group[0].events[0].id
	require.Zero(t, testing.AllocsPerRun(100, func() {
		w.note(&w.stores)
		if m.trace(nil, &w, "acme", "accepted", nil) != "" || m.tracedOf(group) != "" {
			t.Fatal("it is traced")
		}
	}))
}
