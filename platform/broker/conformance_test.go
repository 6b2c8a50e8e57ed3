package broker

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// TestConformance checks that every driver keeps the promises of broker.go.
func TestConformance(t *testing.T) {
	for _, c := range []struct {
		promise string
		test    func(t *testing.T, open func() Broker)
	}{
		{"what is published is delivered with its body, time and trace", roundTrips},
		{"a confirmed message is in its queue", confirmedIsSafe},
		{"each message gets its own result", answersEach},
		{"messages keep their order", keepsOrder},
		{"a delayed message arrives, and not before its delay", delays},
		{"a short delay does not wait behind a long one", delaysDoNotBlock},
		{"at most prefetch deliveries are unsettled", prefetchBounds},
		{"an acknowledged message is gone", ackRemoves},
		{"a requeued message is redelivered immediately", requeueRedelivers},
		{"a rejected message goes to the dead queue", rejectDeadLetters},
		{"only the first settlement counts", settlesOnce},
		{"settling works from any goroutine", settlesAnywhere},
		{"a consumer that stops leaves the rest to another", stopLeavesTheRest},
		{"a delivery can be settled after its consumer has stopped", settlesAfterStop},
		{"unsettled deliveries go to another at Close", closeRequeues},
		{"many goroutines publish at once", publishesConcurrently},
		{"several consumers share a queue", consumersShare},
		{"ten thousand messages pass", tenThousand},
		{"a closed broker refuses messages, and its consumers return", closes},
		{"a consumer needs a queue and a prefetch", refusesConsumers},
		{"Ping returns nil", pings},
	} {
		t.Run(c.promise, func(t *testing.T) { eachDriver(t, c.test) })
	}
}

func roundTrips(t *testing.T, open func() Broker) {
	b := open()
	trace := func(queue Queue) string {
		if queue == Replay {
			return ""
		}
		return "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	}
	for _, queue := range []Queue{Process, Replay, Dead} {
		in := consume(t, b, queue, 1)
		before := clock.System()
		publish(t, b, Message{Queue: queue, Body: []byte(`{"to":"` + string(queue) + `"}`), Trace: trace(queue)})
		d := in.next()
		d.Ack()
		require.JSONEq(t, `{"to":"`+string(queue)+`"}`, string(d.Body))
		require.False(t, d.PublishedAt.Before(before))
		require.False(t, d.PublishedAt.After(clock.System()))
		require.Equal(t, time.UTC, d.PublishedAt.Location())
		require.Equal(t, trace(queue), d.Trace)
	}
}

func confirmedIsSafe(t *testing.T, open func() Broker) {
	b := open()
	publish(t, b, hint("a"), hint("b"), hint("c"))
	waitForDepth(t, b, Process, 3)
	waitForDepth(t, b, Replay, 0)
}

func answersEach(t *testing.T, open func() Broker) {
	b := open()
	errs := b.Publish(within20s(t), []Message{
		hint("fine"),
		{Queue: "nowhere"},
		{Queue: Process, Delay: MaxDelay + time.Millisecond},
		{Queue: Replay, Delay: time.Millisecond},
		{Queue: Process, Delay: MaxDelay},
		{Queue: Process, Delay: -time.Second, Body: []byte("already late")},
	})
	require.Len(t, errs, 6)
	require.NoError(t, errs[0])
	for _, err := range errs[1:4] {
		require.Equal(t, fault.Internal, fault.KindOf(err))
		require.Error(t, err)
	}
	require.NoError(t, errs[4])
	require.NoError(t, errs[5])
	waitForDepth(t, b, Process, 2)
	require.Empty(t, b.Publish(within20s(t), nil))
}

func keepsOrder(t *testing.T, open func() Broker) {
	b := open()
	const n = 200
	batch := make([]Message, n)
	for i := range batch {
		batch[i] = hint(fmt.Sprint(i))
	}
	publish(t, b, batch[:n/2]...)
	publish(t, b, batch[n/2:]...)
	in := consume(t, b, Process, 10)
	for i := range n {
		require.Equal(t, fmt.Sprint(i), in.nextBody())
	}
}

func delays(t *testing.T, open func() Broker) {
	b := open()
	in := consume(t, b, Process, 10)
	for _, delay := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 600 * time.Millisecond} {
		at := clock.System()
		publish(t, b, Message{Queue: Process, Delay: delay, Body: []byte(delay.String())})
		require.Equal(t, delay.String(), in.nextBody())
		took := clock.Now(clock.System).Since(at)
		require.GreaterOrEqual(t, took, delay)
		require.Less(t, took, delay+10*time.Second)
	}
}

func delaysDoNotBlock(t *testing.T, open func() Broker) {
	b := open()
	in := consume(t, b, Process, 10)
	publish(t, b,
		Message{Queue: Process, Delay: time.Minute, Body: []byte("long")},
		Message{Queue: Process, Delay: 700 * time.Millisecond, Body: []byte("short")},
		Message{Queue: Process, Delay: 250 * time.Millisecond, Body: []byte("shorter")},
		hint("now"),
	)
	require.Equal(t, []string{"now", "shorter", "short"}, []string{in.nextBody(), in.nextBody(), in.nextBody()})
	waitForDepth(t, b, Process, 0)
}

func publishesConcurrently(t *testing.T, open func() Broker) {
	b := open()
	const publishers, each = 20, 50
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			for i := range each {
				publish(t, b, hint(fmt.Sprint(p, " ", i)))
			}
		})
	}
	seen := map[string]bool{}
	in := consume(t, b, Process, 100)
	for len(seen) < publishers*each {
		seen[in.nextBody()] = true
	}
	publishing.Wait()
	waitForDepth(t, b, Process, 0)
}

func consumersShare(t *testing.T, open func() Broker) {
	b := open()
	one, two := consume(t, b, Process, 1), consume(t, b, Process, 1)
	publish(t, b, hint("a"), hint("b"))
	first, second := one.next(), two.next()
	require.NotEqual(t, string(first.Body), string(second.Body))
	first.Ack()
	second.Ack()
	waitForDepth(t, b, Process, 0)
}

func tenThousand(t *testing.T, open func() Broker) {
	b := open()
	const n, size = 10_000, 500
	in := consume(t, b, Process, 300)
	go func() {
		for start := 0; start < n; start += size {
			batch := make([]Message, size)
			for i := range batch {
				batch[i] = hint(fmt.Sprint(start + i))
			}
			publish(t, b, batch...)
		}
	}()
	seen := make(map[string]bool, n)
	for len(seen) < n {
		seen[in.nextBody()] = true
	}
	waitForDepth(t, b, Process, 0)
}

func closes(t *testing.T, open func() Broker) {
	b := open()
	publish(t, b, hint("x"))
	in := consume(t, b, Dead, 1)
	require.NoError(t, b.Ping(within20s(t)))
	require.NoError(t, b.Close())
	require.NoError(t, <-in.ended)
	require.True(t, fault.Is(b.Publish(within20s(t), []Message{hint("y")})[0], fault.Unavailable))
	require.True(t, fault.Is(b.Ping(within20s(t)), fault.Unavailable))
	require.NoError(t, b.Consume(t.Context(), Process, 1, func(Delivery) { t.Error("delivered after Close") }))
	require.NoError(t, b.Close())
}

func refusesConsumers(t *testing.T, open func() Broker) {
	b := open()
	none := func(Delivery) {}
	require.ErrorContains(t, b.Consume(t.Context(), "nowhere", 1, none), `unknown queue "nowhere"`)
	require.ErrorContains(t, b.Consume(t.Context(), Process, 0, none), "prefetch is 0")
	require.ErrorContains(t, b.Consume(t.Context(), Process, 65_536, none), "prefetch is 65536")
	_, err := b.Depth(t.Context(), "nowhere")
	require.ErrorContains(t, err, `unknown queue "nowhere"`)
}

func pings(t *testing.T, open func() Broker) {
	require.NoError(t, open().Ping(within20s(t)))
}
