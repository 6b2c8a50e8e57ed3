package broker

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// The part of TestConformance about prefetch and settling.

func prefetchBounds(t *testing.T, open func() Broker) {
	b := open()
	publish(t, b, hint("1"), hint("2"), hint("3"), hint("4"), hint("5"))
	in := consume(t, b, Process, 2)
	first, second := in.next(), in.next()
	waitForDepth(t, b, Process, 3)
	require.Empty(t, in.deliveries)
	first.Ack()
	third := in.next()
	waitForDepth(t, b, Process, 2)
	require.Empty(t, in.deliveries)
	second.Ack()
	third.Ack()
	in.nextBody()
	in.nextBody()
	waitForDepth(t, b, Process, 0)
}

func ackRemoves(t *testing.T, open func() Broker) {
	b := open()
	publish(t, b, hint("once"))
	in := consume(t, b, Process, 1)
	in.nextBody()
	in.stop()
	waitForDepth(t, b, Process, 0)
	again := consume(t, b, Process, 1)
	publish(t, b, hint("next"))
	require.Equal(t, "next", again.nextBody())
}

func requeueRedelivers(t *testing.T, open func() Broker) {
	b := open()
	publish(t, b, hint("twice"))
	in := consume(t, b, Process, 1)
	first := in.next()
	first.Requeue()
	second := in.next()
	require.Equal(t, "twice", string(second.Body))
	require.Equal(t, first.PublishedAt, second.PublishedAt)
	second.Ack()
	waitForDepth(t, b, Process, 0)
}

func rejectDeadLetters(t *testing.T, open func() Broker) {
	b := open()
	for _, queue := range []Queue{Process, Replay} {
		publish(t, b, Message{Queue: queue, Body: []byte("garbage in " + string(queue))})
		rejected := consume(t, b, queue, 1).next()
		rejected.Reject()
		dead := consume(t, b, Dead, 1)
		d := dead.next()
		require.Equal(t, "garbage in "+string(queue), string(d.Body))
		require.Equal(t, rejected.PublishedAt, d.PublishedAt)
		d.Ack()
		dead.stop()
	}
	waitForDepth(t, b, Process, 0)
	waitForDepth(t, b, Dead, 0)
}

func settlesOnce(t *testing.T, open func() Broker) {
	b := open()
	publish(t, b, hint("a"), hint("b"))
	in := consume(t, b, Process, 1)
	d := in.next()
	d.Ack()
	d.Ack()
	d.Requeue()
	d.Reject()
	require.Equal(t, "b", in.nextBody())
	waitForDepth(t, b, Process, 0)
	waitForDepth(t, b, Dead, 0)
}

func settlesAnywhere(t *testing.T, open func() Broker) {
	b := open()
	const n = 200
	for range n {
		publish(t, b, hint("x"))
	}
	in := consume(t, b, Process, n)
	var settling sync.WaitGroup
	for range n {
		settling.Go(in.next().Ack)
	}
	settling.Wait()
	in.stop()
	waitForDepth(t, b, Process, 0)
}

func stopLeavesTheRest(t *testing.T, open func() Broker) {
	b := open()
	publish(t, b, hint("1"), hint("2"), hint("3"))
	in := consume(t, b, Process, 1)
	require.Equal(t, "1", in.nextBody())
	in.stop()
	seen := map[string]bool{}
	for len(in.deliveries) > 0 { // delivered between the acknowledgement and the stop
		seen[in.nextBody()] = true
	}
	another := consume(t, b, Process, 10)
	for len(seen) < 2 {
		seen[another.nextBody()] = true
	}
	require.Equal(t, map[string]bool{"2": true, "3": true}, seen)
	waitForDepth(t, b, Process, 0)
}

func settlesAfterStop(t *testing.T, open func() Broker) {
	b := open()
	publish(t, b, hint("acked"), hint("requeued"))
	in := consume(t, b, Process, 2)
	acked, given := in.next(), in.next()
	in.stop()
	waitForDepth(t, b, Process, 0)
	acked.Ack()
	given.Requeue()
	waitForDepth(t, b, Process, 1)
	require.Equal(t, "requeued", consume(t, b, Process, 2).nextBody())
}

func closeRequeues(t *testing.T, open func() Broker) {
	b := open()
	publish(t, b, hint("held"), hint("waiting"))
	in := consume(t, b, Process, 1)
	held := in.next()
	require.NoError(t, b.Close())
	require.NoError(t, <-in.ended)
	other := open()
	if other == nil {
		held.Requeue()
		waitForDepth(t, b, Process, 2)
		return
	}
	d := consume(t, other, Process, 2).next()
	require.Equal(t, "held", string(d.Body))
	held.Ack() // too late: no effect
	d.Requeue()
	waitForDepth(t, other, Process, 0)
}
