package delivery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/id"
)

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
		fill(f, "a", 3)
		fill(f, "b", 3)
		f.take(100, start)
		f.done("b", start.Add(2*time.Second))
		f.take(100, start)
		require.Equal(t, map[string]int{"a": 2}, names(f.stuck(start.Add(time.Second))))
		require.Empty(t, f.stuck(start.Add(time.Second)))
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
		require.Len(t, f.stuck(start), 29, "what is more than five seconds away is taken away")
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
