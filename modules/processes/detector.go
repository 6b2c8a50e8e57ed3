package processes

import (
	"slices"
	"time"
)

// failureDetector finds dead processes by what this process observes. It compares no
// clocks: a process is dead when its heartbeats stop while this process repeatedly reads
// the table. If the database stalls, all heartbeats stop, and no process is considered
// dead.
type failureDetector struct {
	deadAfter  time.Duration
	observed   time.Duration // total time in which this process could read heartbeats
	observedAt time.Duration // last observation, by a monotonic clock
	seen       map[string]lastBeat
}

// lastBeat is the last heartbeat of a process, and when it was first observed.
type lastBeat struct {
	beats int64
	since time.Duration // in observed time
}

func newFailureDetector(deadAfter time.Duration) failureDetector {
	return failureDetector{deadAfter: deadAfter, seen: map[string]lastBeat{}}
}

// observe takes the processes at a moment and returns the ids of the dead ones. gap is the
// longest time between two observations that counts as observed; after a longer gap, the
// time in between does not count.
func (f *failureDetector) observe(now, gap time.Duration, rows []row) (dead []string) {
	if passed := now - f.observedAt; passed <= gap {
		f.observed += passed
	}
	f.observedAt = now
	still := make(map[string]lastBeat, len(rows))
	for _, r := range rows {
		s, known := f.seen[r.ID]
		if !known || s.beats != r.Beats {
			s = lastBeat{beats: r.Beats, since: f.observed}
		}
		still[r.ID] = s
		if f.observed-s.since >= f.deadAfter {
			dead = append(dead, r.ID)
		}
	}
	f.seen = still
	slices.Sort(dead)
	return dead
}
