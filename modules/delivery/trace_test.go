package delivery

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
	"integration-gateway/platform/tracing"
)

func tracer(t testing.TB, c *testkit.Collector, share float64) *tracing.Tracer {
	t.Helper()
	made, err := tracing.New(tracing.Config{Exporter: tracing.Exporter{URL: c.URL + "/v1/traces", Timeout: 5 * time.Second}, Sampler: tracing.Sample(share),
		Batch: tracing.Batch{Queue: 64, Size: 16, Delay: time.Millisecond, Timeout: 5 * time.Second}, Broker: tracing.RabbitMQ}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { made.Close(t.Context()) })
	return made
}

// TestAMessageOfSeveralEvents: each event has a span of its own in its own trace, and the message
// carries the first, to which the others link.
func TestAMessageOfSeveralEvents(t *testing.T) {
	c := testkit.NewCollector(t)
	m := &Module{cfg: tested(Config{}), now: clock.System, traces: tracer(t, c, 1)}
	list := []announcement{{ref: newRef(id.NewEvent(), id.New())}, {ref: newRef(id.NewEvent(), id.New())}, {ref: newRef(id.NewEvent(), id.New()), delay: time.Second}}
	for i := range list {
		list[i].ref.Destination = id.New()
	}
	messages, groups := compose(list)
	require.Len(t, messages, 2)
	m.endPublishing(m.publishing(messages, groups, clock.System()), []error{nil, broker.ErrUnroutable})
	require.Eventually(t, func() bool { return len(c.Spans()) == 3 }, 10*time.Second, time.Millisecond)
	of := func(a announcement) testkit.Span {
		spans := c.Trace(m.traces.TraceID(a.ref.EventID))
		require.Len(t, spans, 1)
		return spans[0]
	}
	first, second, delayed := of(list[0]), of(list[1]), of(list[2])
	require.Equal(t, "00-"+first.TraceID+"-"+first.ID+"-01", messages[0].Trace)
	require.Empty(t, first.Links)
	require.Equal(t, []string{first.TraceID + "/" + first.ID}, second.Links)
	require.Equal(t, "2", second.Attributes["gateway.message.jobs"])
	require.Equal(t, "ig.events.process", second.Attributes["messaging.rabbitmq.destination.routing_key"])
	require.False(t, first.Failed)
	require.Equal(t, "00-"+delayed.TraceID+"-"+delayed.ID+"-01", messages[1].Trace)
	require.Equal(t, "1000", delayed.Attributes["gateway.message.delay_ms"])
	require.True(t, delayed.Failed)

	span := m.processing(claimed{job: list[1].ref.job(), at: clock.System()}, &inboundMessage{Delivery: broker.Delivery{Trace: messages[0].Trace}})
	m.end(span)
	require.Eventually(t, func() bool { return len(c.Trace(second.TraceID)) == 2 }, 10*time.Second, time.Millisecond)
	require.Equal(t, second.Links, testkit.Named(t, c.Trace(second.TraceID), "process ig.events.process").Links)
}

// TestWhoGetsATraceparent: a destination that says so, also of an event that is not sampled, which
// it is told; and nobody while traces are off.
func TestWhoGetsATraceparent(t *testing.T) {
	c := testkit.NewCollector(t)
	a := attempt{claimed: claimed{job: job{EventID: id.NewEvent()}}, destination: &destination.Destination{}}
	for share, flags := range map[float64]string{0: "00", 1: "01"} {
		m := &Module{now: clock.System, traces: tracer(t, c, share)}
		a.destination.TracePropagation = false
		require.Empty(t, m.traceparent(a, tracing.Span{}))
		a.destination.TracePropagation = true
		require.Equal(t, m.traces.Traceparent(a.EventID), m.traceparent(a, tracing.Span{}))
		require.Regexp(t, "-"+flags+"$", m.traceparent(a, tracing.Span{}))
		require.Empty(t, (&Module{}).traceparent(a, tracing.Span{}))
	}
	require.Equal(t, map[string][]string{"X-A": {"b"}}, map[string][]string(providerHeaders([]byte(`{"traceparent":["x"],"tracestate":["y"],"x-a":["b"]}`))),
		"the provider's own does not reach destinations in raw mode")
}

// TestDeliveriesThatAreNotTracedCostNothing: no allocation in what every job goes through.
func TestDeliveriesThatAreNotTracedCostNothing(t *testing.T) {
	never := tracer(t, testkit.NewCollector(t), 0)
	destinationID, at := id.New(), clock.System()
	a := attempt{claimed: claimed{job: job{EventID: id.NewEvent(), ID: id.New(), DestinationID: &destinationID}, at: at},
		destination: &destination.Destination{}, event: contract.Deliverable{Source: "acme"}}
	messages, groups := compose([]announcement{{ref: a.ref()}})
	for name, traces := range map[string]*tracing.Tracer{"off": nil, "not sampled": never} {
		m := &Module{cfg: tested(Config{}), now: clock.System, traces: traces}
		allocated := testing.AllocsPerRun(100, func() {
			m.endPublishing(m.publishing(messages, groups, at), nil)
			a.span = m.processing(a.claimed, nil)
			span := m.sending(a, at)
			describeRequest(span, nil)
			m.endSending(span, response{}, false)
			m.end(m.recording(a.claimed, at))
			m.end(a.span)
			if m.traceparent(a, span) != "" || m.traces.TraceID(a.EventID) != "" {
				t.Fatal("it is traced")
			}
		})
		require.Zero(t, allocated, name)
	}
	require.Empty(t, messages[0].Trace)
}
