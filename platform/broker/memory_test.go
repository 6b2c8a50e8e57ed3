package broker

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// byHand is a clock and the timers on it, moved by the test.
type byHand struct {
	mu     sync.Mutex
	at     time.Time
	timers map[int]handTimer
	made   int
}

type handTimer struct {
	due  time.Time
	fire func()
}

func newByHand() *byHand {
	return &byHand{at: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), timers: map[int]handTimer{}}
}

func (h *byHand) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *byHand) wake(d time.Duration, f func()) func() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.made++
	n := h.made
	h.timers[n] = handTimer{h.at.Add(d), f}
	return func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		_, running := h.timers[n]
		delete(h.timers, n)
		return running
	}
}

func (h *byHand) running() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.timers)
}

// pass lets time pass and fires what is due.
func (h *byHand) pass(d time.Duration) {
	h.mu.Lock()
	h.at = h.at.Add(d)
	var due []func()
	for n, timer := range h.timers {
		if !timer.due.After(h.at) {
			due = append(due, timer.fire)
			delete(h.timers, n)
		}
	}
	h.mu.Unlock()
	for _, fire := range due {
		fire()
	}
}

func delayed(d time.Duration) Message {
	return Message{Queue: Process, Delay: d, Body: []byte(d.String())}
}

func TestMemoryDeliversByDueTime(t *testing.T) {
	clock := newByHand()
	b := NewMemory(clock.now, clock.wake)
	in := consume(t, b, Process, 10)
	publish(t, b, delayed(time.Minute), delayed(time.Second), delayed(time.Second+1), hint("now"))
	require.Equal(t, "now", in.nextBody())
	clock.pass(time.Second - 1)
	becomes(t, b, Process, 0)
	require.Empty(t, in.deliveries)
	clock.pass(1)
	require.Equal(t, "1s", in.nextBody())
	clock.pass(time.Hour)
	require.Equal(t, "1.000000001s", in.nextBody())
	require.Equal(t, "1m0s", in.nextBody())
}

func TestMemoryKeepsATimerOnlyWhileItNeedsOne(t *testing.T) {
	clock := newByHand()
	b := NewMemory(clock.now, clock.wake)
	publish(t, b, hint("now"), delayed(time.Minute))
	require.Zero(t, clock.running(), "nobody consumes")
	in := consume(t, b, Process, 1)
	held := in.next()
	require.Equal(t, 1, clock.running())
	publish(t, b, delayed(2*time.Minute))
	require.Equal(t, 1, clock.running(), "the first is enough")
	publish(t, b, delayed(time.Second))
	require.Equal(t, 1, clock.running(), "a sooner one takes its place")
	clock.pass(time.Second)
	becomes(t, b, Process, 1)
	require.Equal(t, 1, clock.running())
	clock.pass(2 * time.Minute)
	becomes(t, b, Process, 3)
	require.Zero(t, clock.running(), "nothing is delayed")
	held.Ack()
	require.Equal(t, "1s", in.nextBody())
	publish(t, b, delayed(time.Minute))
	require.Equal(t, 1, clock.running())
	in.stop()
	require.Zero(t, clock.running(), "the consumer is gone")
	require.NoError(t, b.Close())
}

func TestMemoryKeepsItsOwnCopy(t *testing.T) {
	b := NewMemory(newByHand().now, nil)
	body := []byte("as published")
	publish(t, b, Message{Queue: Process, Body: body})
	copy(body, "overwritten!")
	require.Equal(t, "as published", consume(t, b, Process, 1).nextBody())
}

func TestMemoryLosesNoQueue(t *testing.T) {
	b := NewMemory(newByHand().now, nil)
	consume(t, b, Process, 1).stop()
	require.NoError(t, b.Close())
	select {
	case q := <-b.Lost():
		require.Fail(t, "signalled", q)
	default:
	}
}
