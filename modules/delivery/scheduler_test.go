package delivery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/id"
)

func queuedJobs(list []late) []queuedJob {
	plain := make([]queuedJob, len(list))
	for i, l := range list {
		plain[i] = l.queuedJob
	}
	return plain
}

// prompt is a fair whose turns send their requests as soon as they begin.
type prompt struct {
	*scheduler
	slots map[string][]*slot
}

func newPrompt(total int, limits func(string) limits) *prompt {
	return &prompt{newScheduler(total, limits), map[string][]*slot{}}
}

func (s *prompt) take(n int, now time.Time) []queuedJob {
	taken := s.scheduler.take(n, now)
	for _, a := range taken {
		note(&a.slot.sent, now)
		s.slots[a.Destination] = append(s.slots[a.Destination], a.slot)
	}
	return taken
}

// done ends the request of a destination that was sent first.
func (s *prompt) done(destination string, now time.Time) {
	r := s.slots[destination][0]
	s.slots[destination] = s.slots[destination][1:]
	note(&r.ended, now)
	s.scheduler.done(destination, r, now)
}

func TestFair(t *testing.T) {
	each := func(n int) func(string) limits { return func(string) limits { return limits{each: n} } }
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fill := func(f *prompt, destination string, n int) {
		for range n {
			f.add(queuedJob{ref: ref{JobRef: contract.JobRef{JobID: id.New()}, Destination: destination}}, start)
		}
	}
	names := func(taken []queuedJob) map[string]int {
		counts := map[string]int{}
		for _, a := range taken {
			counts[a.Destination]++
		}
		return counts
	}
	t.Run("turns go round the destinations", func(t *testing.T) {
		f := newPrompt(6, each(4))
		fill(f, "a", 100)
		fill(f, "b", 2)
		fill(f, "c", 2)
		require.Equal(t, map[string]int{"a": 2, "b": 2, "c": 2}, names(f.take(100, start)))
	})
	t.Run("a destination gets no more than its own turns", func(t *testing.T) {
		f := newPrompt(10, each(4))
		fill(f, "a", 100)
		require.Equal(t, map[string]int{"a": 4}, names(f.take(100, start)))
		require.Empty(t, f.take(100, start))
		f.done("a", start)
		require.Equal(t, map[string]int{"a": 1}, names(f.take(100, start)))
	})
	t.Run("all together get no more than the total", func(t *testing.T) {
		f := newPrompt(3, each(3))
		fill(f, "a", 2)
		fill(f, "b", 2)
		require.Len(t, f.take(100, start), 3)
		require.Empty(t, f.take(100, start))
	})
	t.Run("no more than asked for", func(t *testing.T) {
		f := newPrompt(10, each(10))
		fill(f, "a", 5)
		require.Len(t, f.take(2, start), 2)
	})
	t.Run("what waits for a stuck destination is taken away", func(t *testing.T) {
		f := newPrompt(10, each(1))
		fill(f, "a", 2)
		fill(f, "b", 3)
		f.take(100, start)
		f.done("b", start.Add(2*time.Second))
		f.take(100, start.Add(2*time.Second))
		require.Empty(t, f.excess(start.Add(2*time.Second)), "an attempt may take that long")
		got := f.excess(start.Add(2*time.Second + 1))
		require.Equal(t, map[string]int{"a": 1}, names(queuedJobs(got)))
		require.Zero(t, got[0].by, "nobody can say when its turn comes")
		require.Empty(t, f.excess(start.Add(2*time.Second+1)))
	})
	t.Run("a process that stood still blames no destination", func(t *testing.T) {
		f := newPrompt(10, each(1))
		fill(f, "a", 2)
		f.take(100, start)
		f.pardon(start.Add(time.Minute))
		require.Empty(t, f.excess(start.Add(time.Minute+2*time.Second)))
		require.Len(t, f.excess(start.Add(time.Minute+2*time.Second+1)), 1)
	})
	t.Run("a slow destination keeps what it will take within two seconds", func(t *testing.T) {
		f := newPrompt(100, each(2))
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
		require.Len(t, f.queues["slow"].waiting, 10)
	})
	t.Run("what waits for a slow destination comes again when any of the workers can take it", func(t *testing.T) {
		f := newPrompt(100, func(string) limits { return limits{each: 2, workers: 2} })
		fill(f, "slow", 50)
		f.take(100, start)
		for range 5 {
			f.done("slow", start.Add(500*time.Millisecond))
			f.take(100, start.Add(500*time.Millisecond))
		}
		got := f.excess(start.Add(time.Second))
		require.Len(t, got, 43-10)
		require.Equal(t, time.Second, got[0].by, "behind ten at twice five a second")
		require.Equal(t, 1100*time.Millisecond, got[1].by)
	})
	t.Run("a fast destination keeps all that waits", func(t *testing.T) {
		f := newPrompt(100, each(2))
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
		f := newPrompt(100, each(2))
		fill(f, "a", 1)
		f.take(100, start)
		fill(f, "a", 50)
		f.take(100, start.Add(time.Minute))
		f.done("a", start.Add(time.Minute))
		f.take(100, start.Add(time.Minute))
		require.Empty(t, f.excess(start.Add(time.Minute+100*time.Millisecond)))
	})
	t.Run("a job that waits is not taken in twice, and can come again once it was taken", func(t *testing.T) {
		f := newPrompt(10, each(10))
		a := queuedJob{ref: ref{JobRef: contract.JobRef{JobID: id.New()}, Destination: "a"}}
		require.True(t, f.add(a, start))
		require.False(t, f.add(a, start))
		require.Len(t, f.take(100, start), 1)
		require.True(t, f.add(a, start))
		require.Len(t, f.clear(), 1)
		require.True(t, f.add(a, start))
	})
	t.Run("an idle destination leaves nothing behind", func(t *testing.T) {
		f := newPrompt(10, each(10))
		fill(f, "a", 1)
		f.take(1, start)
		f.done("a", start)
		require.Empty(t, f.queues)
		require.Empty(t, f.order)
	})
	t.Run("of a limited rate, what is more than five seconds away is taken away", func(t *testing.T) {
		f := newPrompt(100, func(string) limits { return limits{each: 100, ahead: 1, hope: 100, rate: 3, workers: 1} })
		fill(f, "a", 50)
		require.Len(t, f.scheduler.take(100, start), 1, "one waits for its place")
		got := f.excess(start)
		require.Len(t, got, 49-15)
		require.Equal(t, 5*time.Second, got[0].by)
		require.Equal(t, 5*time.Second+time.Second/3, got[1].by)
		f = newPrompt(100, func(string) limits { return limits{each: 100, ahead: 1, hope: 100, rate: 3, workers: 3} })
		fill(f, "a", 50)
		f.scheduler.take(100, start)
		require.InDelta(t, 5.0/3, f.excess(start)[0].by.Seconds(), 0.001, "three workers may take it, each at that rate")
	})
	t.Run("at a destination with limits, few turns wait for a place, and the next follows", func(t *testing.T) {
		f := newPrompt(100, func(string) limits { return limits{each: 3, ahead: 2, hope: 1} })
		fill(f, "a", 50)
		require.Len(t, f.scheduler.take(100, start), 2)
		require.Empty(t, f.scheduler.take(100, start))
		for r := range f.queues["a"].slots {
			note(&r.sent, start)
		}
		require.Len(t, f.scheduler.take(100, start), 2)
		require.Len(t, f.scheduler.take(100, start), 0)
	})
	t.Run("turns that wait for a place take no more than half of all turns", func(t *testing.T) {
		f := newPrompt(10, func(name string) limits {
			if name == "free" {
				return limits{each: 10}
			}
			return limits{each: 4, ahead: 4, hope: 4}
		})
		for _, name := range []string{"a", "b", "c", "free"} {
			fill(f, name, 20)
		}
		got := names(f.scheduler.take(100, start))
		require.Equal(t, 5, got["a"]+got["b"]+got["c"])
		require.Equal(t, 5, got["free"])
	})
	t.Run("what this process has no share of comes again soon", func(t *testing.T) {
		f := newPrompt(10, func(string) limits { return limits{each: 0, ahead: 1} })
		fill(f, "a", 4)
		require.Empty(t, f.take(100, start))
		got := f.excess(start)
		require.Len(t, got, 4)
		for _, l := range got {
			require.GreaterOrEqual(t, l.by, time.Second)
			require.Less(t, l.by, 3*time.Second)
		}
	})
	t.Run("a fast destination with limits keeps its share of two seconds", func(t *testing.T) {
		f := newPrompt(100, func(string) limits { return limits{each: 2, ahead: 2, hope: 1} })
		fill(f, "a", 400)
		now := start
		for range 100 { // two at once, of 20 ms each
			f.take(100, now)
			now = now.Add(20 * time.Millisecond)
			f.done("a", now)
			f.done("a", now)
		}
		f.take(100, now)
		require.InDelta(t, 100, len(f.queues["a"].waiting)-len(f.excess(now)), 10, "fifty a second")
	})
	t.Run("without a place for two seconds, at a destination with limits, all is taken away", func(t *testing.T) {
		f := newPrompt(100, func(string) limits { return limits{each: 3, ahead: 1, hope: 1} })
		fill(f, "a", 10)
		taken := f.scheduler.take(100, start)
		require.Len(t, taken, 1)
		require.Empty(t, f.excess(start.Add(time.Minute)), "it is not ready, which is no fault of the destination's")
		note(&taken[0].slot.ready, start.Add(time.Minute))
		require.Empty(t, f.excess(start.Add(time.Minute+2*time.Second)))
		require.Len(t, f.excess(start.Add(time.Minute+2*time.Second+1)), 9)
	})
	t.Run("a pause before the requests are sent is no fault of the destination's", func(t *testing.T) {
		f := newPrompt(100, each(2))
		fill(f, "a", 50)
		taken := f.scheduler.take(100, start)
		now := start.Add(12 * time.Second) // the claim took that long
		require.Empty(t, f.excess(now))
		for _, a := range taken {
			note(&a.slot.sent, now)
		}
		require.Empty(t, f.excess(now.Add(999*time.Millisecond)))
		require.Len(t, f.excess(now.Add(stuckAfter+1)), 48, "but now it is stuck")
	})
	t.Run("a pause while requests end is no fault of the destination's", func(t *testing.T) {
		f := newPrompt(100, each(2))
		fill(f, "a", 50)
		f.take(100, start)
		for _, r := range f.slots["a"] {
			note(&r.ended, start.Add(20*time.Millisecond)) // and the loop was busy
		}
		now := start.Add(12 * time.Second)
		require.Empty(t, f.excess(now))
		f.done("a", now)
		f.done("a", now)
		f.take(100, now)
		require.Empty(t, f.excess(now))
		require.Empty(t, f.excess(now.Add(900*time.Millisecond)), "its pace counts from when requests were under way")
	})
	t.Run("turns that sent nothing are no measure", func(t *testing.T) {
		f := newPrompt(100, each(2))
		fill(f, "a", 50)
		for i := range 5 { // each is given back after a second
			now := start.Add(time.Duration(i) * time.Second)
			for _, a := range f.scheduler.take(100, now) {
				f.scheduler.done("a", a.slot, now.Add(time.Second))
			}
			require.Empty(t, f.excess(now.Add(time.Second)))
		}
	})
	t.Run("replays to be dispatched wait for this process alone", func(t *testing.T) {
		f := newPrompt(100, each(2))
		fill(f, "", 50)
		f.take(100, start)
		require.Empty(t, f.excess(start.Add(time.Minute)))
	})
	t.Run("clear takes all that waits and keeps what is under way", func(t *testing.T) {
		f := newPrompt(10, each(1))
		fill(f, "a", 3)
		fill(f, "b", 1)
		require.Len(t, f.take(1, start), 1)
		require.Len(t, f.clear(), 3)
		require.Len(t, f.queues, 1)
	})
}

// The message of a job that had been taken from the database was acknowledged before the job was
// even claimed: if the process died then, nobody had a message for it any more.
func TestABrokersMessageIsSettledWithItsJob(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	message := func(at time.Time) (*inboundMessage, *bool) {
		acked := false
		m := &inboundMessage{Delivery: broker.Delivery{PublishedAt: at, Ack: func() { acked = true }}}
		m.left.Store(1)
		return m, &acked
	}
	own, acked := message(start)
	second, secondAcked := message(start)
	standIn, _ := message(time.Time{})
	standIn.left.Store(4)
	w := &worker{m: &Module{now: func() time.Time { return start }}, scheduler: newScheduler(10, func(string) limits { return limits{each: 4} })}
	job := ref{JobRef: contract.JobRef{EventID: id.New(), JobID: id.New()}, Destination: "a"}
	other := ref{JobRef: contract.JobRef{EventID: id.New(), JobID: id.New()}, Destination: "a"}
	w.wait(queuedJob{ref: other, message: standIn})
	for _, m := range []*inboundMessage{standIn, own, second, standIn} {
		w.wait(queuedJob{ref: job, message: m})
	}
	require.False(t, *acked, "its job waits")
	require.True(t, *secondAcked, "one message is enough")
	taken := w.scheduler.take(10, start)
	require.Len(t, taken, 2)
	require.Same(t, own, taken[1].message)
}
