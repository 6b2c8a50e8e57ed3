package delivery

import (
	"time"

	"integration-gateway/modules/delivery/destination"
)

// Peers knows the living processes of this installation.
type Peers interface {
	// Process is this process's id, by which it names what it claims. It changes when others
	// have declared the process dead and requeued its jobs.
	Process() string
	// Share returns this worker's index among the live ones, from 0, and their number.
	Share() (rank, workers int)
	// Silent reports whether a worker was taken for dead so short a time ago that the broker
	// may still hand messages to it.
	Silent() bool
}

// alone is a process that has no peers.
type alone string

// Process is always the same.
func (a alone) Process() string { return string(a) }

// Share is all of it.
func (alone) Share() (rank, workers int) { return 0, 1 }

// Silent is never so.
func (alone) Silent() bool { return false }

// share is what of a limit is one worker's, where each keeps to its own: the workers of the
// first ranks have what does not divide. Of a concurrency it may be nothing.
func share(limit, rank, workers int) int {
	workers = max(1, workers)
	n := limit / workers
	if rank < limit%workers {
		n++
	}
	return n
}

// mostAhead bounds the slots whose jobs wait for one destination's limit.
const mostAhead = 64

// sharedLimits are those of a destination with limits of its own: with the cache all that it
// may take, since it is whoever comes first, and else this worker's share. Slots whose
// jobs wait for it are few: what is through at once, or within a fifth of a second.
func (w *worker) sharedLimits(d *destination.Destination, each int) limits {
	rank, workers := 0, 1
	if w.gates.alone() {
		rank, workers = w.m.peers.Share()
	}
	l := limits{each: each, workers: float64(max(1, workers))}
	if d.Concurrency != nil {
		l.each = share(*d.Concurrency, rank, workers)
	}
	l.hope, l.ahead = float64(l.each), min(max(1, l.each), mostAhead)
	if d.Rate != nil {
		l.rate = float64(*d.Rate) / l.workers
		l.ahead = min(l.ahead, 1+int(l.rate/5))
	}
	return l
}

// rateSlack is by how much an attempt may come before its time, so that a timer that was late
// costs nothing: a tenth of a second is a tenth of what a second allows.
const rateSlack = 100 * time.Millisecond

// pacer spaces attempts evenly.
type pacer struct{ next time.Time }

// wait is how long it takes until another attempt may begin; 0 when it may begin now, which
// it then does.
func (p *pacer) wait(perSecond float64, now time.Time) time.Duration {
	earliest, interval := now.Add(-rateSlack), time.Duration(float64(time.Second)/perSecond)
	if p.next.Before(earliest) || p.next.After(now.Add(interval)) { // the latter when the clock stepped back
		p.next = earliest
	}
	if wait := p.next.Sub(now); wait > 0 {
		return wait
	}
	p.next = p.next.Add(interval)
	return 0
}
