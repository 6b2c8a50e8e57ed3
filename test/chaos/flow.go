package main

import (
	"slices"
	"time"

	"integration-gateway/platform/clock"
)

// flow holds the gaps between deliveries and the longest wait.
type flow struct {
	gap     time.Duration // longest time without a delivery since the beginning of the fault
	silence time.Duration // the same since the server's return
	wait    time.Duration // longest time until an event's delivery began
}

// window is the course of a run: when the fault began, when the failed part was back, when
// the last webhook was sent, and the moment from which waiting counts.
type window struct{ began, recovered, sendingEnded, waitFrom time.Time }

// flow measures until everything was delivered; with late, it counts times without a
// delivery only while webhooks are sent. An undelivered event waits until now.
func (l *ledger) flow(w window, late bool) flow {
	l.mu.Lock()
	defer l.mu.Unlock()
	var times []time.Time
	var f flow
	for _, e := range l.events {
		if e.accepted.IsZero() || e.refused > 0 {
			continue
		}
		since, arrived := e.accepted, clock.System()
		if since.Before(w.waitFrom) {
			since = w.waitFrom
		}
		if d := e.firstDelivery(); d != nil {
			arrived = d.began
			times = append(times, d.ended)
		}
		f.wait = max(f.wait, arrived.Sub(since))
	}
	slices.SortFunc(times, time.Time.Compare)
	f.gap, f.silence = longestGap(times, w.began, w.sendingEnded, late), longestGap(times, w.recovered, w.sendingEnded, late)
	return f
}

// longestGap returns the longest time between deliveries since a moment.
func longestGap(times []time.Time, from, stopped time.Time, late bool) (longest time.Duration) {
	last := from
	for _, at := range times {
		if at.Before(from) {
			continue
		}
		if !late || last.Before(stopped) {
			longest = max(longest, at.Sub(last))
		}
		last = at
	}
	if last.Before(stopped) {
		longest = max(longest, stopped.Sub(last))
	}
	return longest
}
