package batch

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	waitFor = 10 * time.Second
	tick    = time.Millisecond
)

// gate is work that signals its start and ends when it is released.
type gate struct {
	began   chan []int
	release chan struct{}
}

func newGate() *gate { return &gate{began: make(chan []int, 16), release: make(chan struct{})} }

func (g *gate) double(items []int) []Result[int] {
	g.began <- items
	<-g.release
	results := make([]Result[int], len(items))
	for i, n := range items {
		results[i].Value = 2 * n
		if n < 0 {
			results[i].Err = errors.New("negative")
		}
	}
	return results
}

func waiting(g *Group[int, int], n int) func() bool {
	return func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.pending) == n
	}
}

func TestALoneCallerRunsAloneAndLaterCallersShareTheNextRun(t *testing.T) {
	w := newGate()
	g := NewGroup(Config[int]{Runners: 1, MaxItems: 3}, w.double)
	var callers sync.WaitGroup
	answers := make([]int, 6)
	call := func(n int) {
		callers.Go(func() {
			v, err := g.Do(context.Background(), n)
			if err == nil {
				answers[n] = v
			}
		})
	}
	call(1)
	require.Equal(t, []int{1}, <-w.began)
	for n := 2; n <= 5; n++ {
		call(n)
	}
	require.Eventually(t, waiting(g, 4), waitFor, tick)
	w.release <- struct{}{}
	require.Len(t, <-w.began, 3, "at most MaxItems")
	w.release <- struct{}{}
	require.Len(t, <-w.began, 1)
	w.release <- struct{}{}
	callers.Wait()
	require.Equal(t, []int{0, 2, 4, 6, 8, 10}, answers, "each caller gets its own result")
}

func TestARunIsLimitedInBytesButOneItemAlwaysFits(t *testing.T) {
	w := newGate()
	g := NewGroup(Config[int]{Runners: 1, MaxItems: 10, MaxBytes: 10, Size: func(n int) int { return n }}, w.double)
	var callers sync.WaitGroup
	for i, n := range []int{1, 50, 6, 4, 1} {
		callers.Go(func() { _, _ = g.Do(context.Background(), n) })
		if i == 0 {
			require.Equal(t, []int{1}, <-w.began)
		} else {
			require.Eventually(t, waiting(g, i), waitFor, tick)
		}
	}
	for _, want := range [][]int{{50}, {6, 4}, {1}} {
		w.release <- struct{}{}
		require.Equal(t, want, <-w.began)
	}
	w.release <- struct{}{}
	callers.Wait()
}

func TestConcurrentRunsAreLimitedToRunners(t *testing.T) {
	w := newGate()
	g := NewGroup(Config[int]{Runners: 2, MaxItems: 1}, w.double)
	var callers sync.WaitGroup
	for n := range 5 {
		callers.Go(func() { _, _ = g.Do(context.Background(), n) })
	}
	<-w.began
	<-w.began
	require.Eventually(t, waiting(g, 3), waitFor, tick)
	require.Empty(t, w.began)
	close(w.release)
	callers.Wait()
}

func TestAConcurrentRunStartsAboveTheSpawnThreshold(t *testing.T) {
	w := newGate()
	g := NewGroup(Config[int]{Runners: 2, SpawnThreshold: 2, MaxItems: 8}, w.double)
	var callers sync.WaitGroup
	call := func(n int) { callers.Go(func() { _, _ = g.Do(context.Background(), n) }) }
	call(0)
	require.Equal(t, []int{0}, <-w.began, "the first starts immediately")
	call(1)
	call(2)
	require.Eventually(t, waiting(g, 2), waitFor, tick)
	require.Empty(t, w.began, "two items wait for it")
	call(3)
	require.ElementsMatch(t, []int{1, 2, 3}, <-w.began, "three items start another run together")
	close(w.release)
	callers.Wait()
}

func TestAnItemIsProcessedAlthoughItsCallerGaveUp(t *testing.T) {
	w := newGate()
	g := NewGroup(Config[int]{Runners: 1, MaxItems: 1}, w.double)
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error)
	go func() { _, err := g.Do(ctx, 7); left <- err }()
	require.Equal(t, []int{7}, <-w.began)
	cancel()
	require.ErrorIs(t, <-left, context.Canceled)
	close(w.release)
	g.Close()
}

func TestErrorsGoToTheirOwnCaller(t *testing.T) {
	w := newGate()
	close(w.release)
	g := NewGroup(Config[int]{Runners: 1, MaxItems: 8}, w.double)
	_, err := g.Do(context.Background(), -1)
	require.EqualError(t, err, "negative")
	v, err := g.Do(context.Background(), 4)
	require.NoError(t, err)
	require.Equal(t, 8, v)
}

func TestCloseWaitsForSubmittedItemsAndRefusesNewOnes(t *testing.T) {
	w := newGate()
	g := NewGroup(Config[int]{Runners: 1, MaxItems: 8}, w.double)
	answered := make(chan int)
	go func() { v, _ := g.Do(context.Background(), 3); answered <- v }()
	<-w.began
	closed := make(chan struct{})
	go func() { g.Close(); close(closed) }()
	require.Eventually(t, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.closed
	}, waitFor, tick)
	_, err := g.Do(context.Background(), 1)
	require.ErrorIs(t, err, ErrClosed)
	select {
	case <-closed:
		t.Fatal("Close returned before the run ended")
	default:
	}
	close(w.release)
	require.Equal(t, 6, <-answered)
	<-closed
}

// TestFailAnswersAllWhoWait: a run that hangs holds nobody up, and what it makes of its items in
// the end goes nowhere.
func TestFailAnswersAllWhoWait(t *testing.T) {
	w := newGate()
	g := NewGroup(Config[int]{Runners: 1, MaxItems: 3}, w.double)
	away := errors.New("away")
	errs := make(chan error, 3)
	call := func(n int) {
		go func() {
			_, err := g.Do(context.Background(), n)
			errs <- err
		}()
	}
	call(1)
	<-w.began
	call(2)
	call(3)
	require.Eventually(t, waiting(g, 2), waitFor, tick)
	g.Fail(away)
	for range 3 {
		require.ErrorIs(t, <-errs, away)
	}
	close(w.release)
	v, err := g.Do(context.Background(), 4)
	require.NoError(t, err)
	require.Equal(t, 8, v)
	require.Equal(t, []int{4}, <-w.began, "items that were answered and not begun are not run")
	g.Close()
	require.Empty(t, g.active)
}
