package broker

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// manualClock is a clock with timers that the test advances.
type manualClock struct {
	mu     sync.Mutex
	at     time.Time
	timers map[int]handTimer
	made   int
}

type handTimer struct {
	due  time.Time
	fire func()
}

func newManualClock() *manualClock {
	return &manualClock{at: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), timers: map[int]handTimer{}}
}

func (c *manualClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *manualClock) wake(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made++
	n := c.made
	c.timers[n] = handTimer{c.at.Add(d), f}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, running := c.timers[n]
		delete(c.timers, n)
		return running
	}
}

func (c *manualClock) running() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers)
}

// advance advances the clock and fires due timers.
func (c *manualClock) advance(d time.Duration) {
	c.mu.Lock()
	c.at = c.at.Add(d)
	var due []func()
	for n, timer := range c.timers {
		if !timer.due.After(c.at) {
			due = append(due, timer.fire)
			delete(c.timers, n)
		}
	}
	c.mu.Unlock()
	for _, fire := range due {
		fire()
	}
}

func delayed(d time.Duration) Message {
	return Message{Queue: Process, Delay: d, Body: []byte(d.String())}
}

func TestMemoryDeliversByDueTime(t *testing.T) {
	clock := newManualClock()
	b := NewMemory(clock.now, clock.wake)
	in := consume(t, b, Process, 10)
	publish(t, b, delayed(time.Minute), delayed(time.Second), delayed(time.Second+1), hint("now"))
	require.Equal(t, "now", in.nextBody())
	clock.advance(time.Second - 1)
	waitForDepth(t, b, Process, 0)
	require.Empty(t, in.deliveries)
	clock.advance(1)
	require.Equal(t, "1s", in.nextBody())
	clock.advance(time.Hour)
	require.Equal(t, "1.000000001s", in.nextBody())
	require.Equal(t, "1m0s", in.nextBody())
}

func TestMemoryKeepsATimerOnlyWhileItNeedsOne(t *testing.T) {
	clock := newManualClock()
	b := NewMemory(clock.now, clock.wake)
	publish(t, b, hint("now"), delayed(time.Minute))
	require.Zero(t, clock.running(), "no consumer")
	in := consume(t, b, Process, 1)
	held := in.next()
	require.Equal(t, 1, clock.running())
	publish(t, b, delayed(2*time.Minute))
	require.Equal(t, 1, clock.running(), "one timer for the first message")
	publish(t, b, delayed(time.Second))
	require.Equal(t, 1, clock.running(), "an earlier message replaces it")
	clock.advance(time.Second)
	waitForDepth(t, b, Process, 1)
	require.Equal(t, 1, clock.running())
	clock.advance(2 * time.Minute)
	waitForDepth(t, b, Process, 3)
	require.Zero(t, clock.running(), "nothing is delayed")
	held.Ack()
	require.Equal(t, "1s", in.nextBody())
	publish(t, b, delayed(time.Minute))
	require.Equal(t, 1, clock.running())
	in.stop()
	require.Zero(t, clock.running(), "the consumer has stopped")
	require.NoError(t, b.Close())
}

func TestMemoryKeepsItsOwnCopy(t *testing.T) {
	b := NewMemory(newManualClock().now, nil)
	body := []byte("as published")
	publish(t, b, Message{Queue: Process, Body: body})
	copy(body, "overwritten!")
	require.Equal(t, "as published", consume(t, b, Process, 1).nextBody())
}

func TestMemoryLosesNoQueue(t *testing.T) {
	b := NewMemory(newManualClock().now, nil)
	consume(t, b, Process, 1).stop()
	require.NoError(t, b.Close())
	select {
	case q := <-b.Lost():
		require.Fail(t, "signalled", q)
	default:
	}
}
