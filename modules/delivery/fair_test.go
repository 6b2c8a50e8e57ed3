package delivery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/id"
)

func arrivals(list []late) []arrival {
	plain := make([]arrival, len(list))
	for i, l := range list {
		plain[i] = l.arrival
	}
	return plain
}

func TestFair(t *testing.T) {
	each := func(n int) func(string) limits { return func(string) limits { return limits{each: n} } }
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fill := func(f *fair, destination string, n int) {
		for range n {
			f.add(arrival{ref: ref{JobRef: contract.JobRef{JobID: id.New()}, Destination: destination}}, start)
		}
	}
	names := func(turn []arrival) map[string]int {
		counts := map[string]int{}
		for _, a := range turn {
			counts[a.Destination]++
		}
		return counts
	}
	t.Run("turns go round the destinations", func(t *testing.T) {
		f := newFair(6, each(4))
		fill(f, "a", 100)
		fill(f, "b", 2)
		fill(f, "c", 2)
		require.Equal(t, map[string]int{"a": 2, "b": 2, "c": 2}, names(f.take(100, start)))
	})
	t.Run("a destination gets no more than its own turns", func(t *testing.T) {
		f := newFair(10, each(4))
		fill(f, "a", 100)
		require.Equal(t, map[string]int{"a": 4}, names(f.take(100, start)))
		require.Empty(t, f.take(100, start))
		f.done("a", start)
		require.Equal(t, map[string]int{"a": 1}, names(f.take(100, start)))
	})
	t.Run("all together get no more than the total", func(t *testing.T) {
		f := newFair(3, each(3))
		fill(f, "a", 2)
		fill(f, "b", 2)
		require.Len(t, f.take(100, start), 3)
		require.Empty(t, f.take(100, start))
	})
	t.Run("no more than asked for", func(t *testing.T) {
		f := newFair(10, each(10))
		fill(f, "a", 5)
		require.Len(t, f.take(2, start), 2)
	})
	t.Run("what waits for a stuck destination is taken away", func(t *testing.T) {
		f := newFair(10, each(1))
		fill(f, "a", 2)
		fill(f, "b", 3)
		f.take(100, start)
		f.done("b", start.Add(2*time.Second))
		f.take(100, start.Add(2*time.Second))
		require.Empty(t, f.excess(start.Add(2*time.Second)), "an attempt may take that long")
		got := f.excess(start.Add(2*time.Second + 1))
		require.Equal(t, map[string]int{"a": 1}, names(arrivals(got)))
		require.Zero(t, got[0].by, "nobody can say when its turn comes")
		require.Empty(t, f.excess(start.Add(2*time.Second+1)))
	})
	t.Run("a slow destination keeps what it will take within two seconds", func(t *testing.T) {
		f := newFair(100, each(2))
		fill(f, "slow", 50)
		f.take(100, start)
		require.Empty(t, f.excess(start.Add(999*time.Millisecond)), "it is too soon to say")
		for range 5 {
			f.done("slow", start.Add(500*time.Millisecond))
			f.take(100, start.Add(500*time.Millisecond))
		}
		got := f.excess(start.Add(time.Second))
		require.Len(t, got, 43-10, "five ended in a second")
		require.Equal(t, 2*time.Second, got[0].by, "behind ten at five a second")
		require.Equal(t, 2200*time.Millisecond, got[1].by)
		require.Len(t, f.lines["slow"].waiting, 10)
	})
	t.Run("a fast destination keeps all that waits", func(t *testing.T) {
		f := newFair(100, each(2))
		fill(f, "fast", 50)
		f.take(100, start)
		for range 8 { // two at once, four times a second
			f.done("fast", start.Add(500*time.Millisecond))
			f.take(100, start.Add(500*time.Millisecond))
		}
		require.Empty(t, f.excess(start.Add(time.Second)))
		require.Empty(t, f.excess(start.Add(time.Second)), "and is counted anew")
	})
	t.Run("a destination that was idle is not slow for that", func(t *testing.T) {
		f := newFair(100, each(2))
		fill(f, "a", 1)
		f.take(100, start)
		fill(f, "a", 50)
		f.take(100, start.Add(time.Minute))
		f.done("a", start.Add(time.Minute))
		f.take(100, start.Add(time.Minute))
		require.Empty(t, f.excess(start.Add(time.Minute+100*time.Millisecond)))
	})
	t.Run("a job that waits is not taken in twice, and can come again once it was taken", func(t *testing.T) {
		f := newFair(10, each(10))
		a := arrival{ref: ref{JobRef: contract.JobRef{JobID: id.New()}, Destination: "a"}}
		require.True(t, f.add(a, start))
		require.False(t, f.add(a, start))
		require.Len(t, f.take(100, start), 1)
		require.True(t, f.add(a, start))
		require.Len(t, f.clear(), 1)
		require.True(t, f.add(a, start))
	})
	t.Run("an idle destination leaves nothing behind", func(t *testing.T) {
		f := newFair(10, each(10))
		fill(f, "a", 1)
		f.take(1, start)
		f.done("a", start)
		require.Empty(t, f.lines)
		require.Empty(t, f.order)
	})
	t.Run("a rate is kept from second to second", func(t *testing.T) {
		f := newFair(100, func(string) limits { return limits{each: 100, rate: 3} })
		fill(f, "a", 50)
		require.Len(t, f.take(100, start), 3)
		require.Empty(t, f.take(100, start.Add(999*time.Millisecond)))
		require.True(t, f.throttled())
		require.Len(t, f.take(100, start.Add(time.Second)), 3)
		require.Len(t, f.excess(start.Add(time.Second)), 29, "what is more than five seconds away is taken away")
	})
	t.Run("clear takes all that waits and keeps what is under way", func(t *testing.T) {
		f := newFair(10, each(1))
		fill(f, "a", 3)
		fill(f, "b", 1)
		require.Len(t, f.take(1, start), 1)
		require.Len(t, f.clear(), 3)
		require.Len(t, f.lines, 1)
	})
}
