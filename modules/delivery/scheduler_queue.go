package delivery

import (
	"slices"
	"time"
)

// jobQueue is what waits for one destination and what is under way there. Whatever it measures
// about the destination is the time of requests that were sent: the time of this process's
// own loop, which a slow database can make long, is no part of it.
type jobQueue struct {
	waiting []queuedJob
	slots   map[*slot]struct{} // those of its jobs that began
	ahead   int                // of these, those that sent nothing yet, where the destination has limits of its own
	limits  limits
	moved   time.Time     // when a request last ended, or the queue began
	usual   time.Duration // how long a request takes, about; 0 before the first has ended

	blocked time.Time     // since when its limit alone keeps jobs waiting; zero when it does not
	busy    time.Duration // for how long requests that ended since were under way, since then
	ended   int           // how many these are
}

// The bounds of what may wait in this process for a slow destination.
const (
	stuckAfter  = 2 * time.Second // without the end of any attempt
	paceWindow  = time.Second
	slowAttempt = 250 * time.Millisecond // attempts that take so long leave the process time for others
	reach       = 2 * time.Second        // what a slow destination will take within it stays in the queue
	rateReach   = 5 * time.Second        // and what a limited rate will let through
	noShare     = time.Second            // until a job comes again that this process has no slot for, at least; twice that and more when many do
)

// refresh takes in what the destination can take now.
func (l *jobQueue) refresh(now limits) {
	l.limits, l.ahead = now, 0
	if !now.shared() {
		return
	}
	for r := range l.slots {
		if r.waiting() {
			l.ahead++
		}
	}
}

// free reports whether one more slot may be taken.
func (l *jobQueue) free() bool { return l.places() > 0 }

// places is how many more slots may be taken.
func (l *jobQueue) places() int {
	switch {
	case !l.limits.shared():
		return max(0, l.limits.each-len(l.slots))
	case l.limits.each == 0:
		return 0
	}
	return max(0, min(l.room()-l.ahead, l.limits.each+l.room()-len(l.slots)))
}

// room is how many slots may be taken by jobs that wait for the destination's limit. The next one's preparation takes a few
// milliseconds, which are as nothing beside a slow attempt.
func (l *jobQueue) room() int {
	if l.usual > slowAttempt {
		return (l.limits.ahead + 7) / 8
	}
	return l.limits.ahead
}

// replace puts a in the place of the same job that waits, and settles that one's message.
func (l *jobQueue) replace(a queuedJob) (replaced bool) {
	if l == nil {
		return false
	}
	i := slices.IndexFunc(l.waiting, func(other queuedJob) bool { return other.JobID == a.JobID })
	if i < 0 {
		return false
	}
	l.waiting[i].message.done()
	l.waiting[i] = a
	return true
}

// begin gives a slot to the first waiting job.
func (l *jobQueue) begin() queuedJob {
	a := l.waiting[0]
	a.slot = &slot{}
	l.waiting = l.waiting[1:]
	l.slots[a.slot] = struct{}{}
	return a
}

// block notes whether the limit keeps jobs waiting.
func (l *jobQueue) block(now time.Time) {
	switch blocked := len(l.waiting) > 0 && !l.free(); {
	case !blocked:
		l.blocked = time.Time{}
	case l.blocked.IsZero():
		l.blocked, l.busy, l.ended = now, 0, 0
	}
}

// end frees a slot. One that sent nothing says nothing about the destination.
func (l *jobQueue) end(r *slot, now time.Time) {
	delete(l.slots, r)
	if r.sent.Load() == 0 {
		return
	}
	note(&r.ended, now)
	at := time.Unix(0, r.ended.Load())
	l.moved = later(l.moved, at)
	took := r.underWay(time.Time{}, now)
	if l.usual == 0 {
		l.usual = took
	}
	l.usual += (took - l.usual) / 8
	if !l.blocked.IsZero() && at.After(l.blocked) {
		l.busy += r.underWay(l.blocked, now)
		l.ended++
	}
}

// pace is how many requests end in a second while so many are under way; ok is false when
// the queue has not been blocked for long enough to say. It begins to count anew.
func (l *jobQueue) pace(slots float64, now time.Time) (perSecond float64, ok bool) {
	if l.blocked.IsZero() {
		return 0, false
	}
	busy := l.busy
	for r := range l.slots {
		busy += r.underWay(l.blocked, now)
	}
	if busy.Seconds() < max(1, slots)*paceWindow.Seconds() {
		return 0, false
	}
	perSecond = slots * float64(l.ended) / busy.Seconds()
	l.blocked, l.busy, l.ended = now, 0, 0
	return perSecond, true
}

// stuck reports whether every slot has had its request for long, and none ended; or, of a
// destination with limits of its own, no job got through its limit for as long.
func (l *jobQueue) stuck(now time.Time) bool {
	sent, last, first := 0, l.moved, now
	for r := range l.slots {
		at, ended, ready := r.sent.Load(), r.ended.Load(), r.ready.Load()
		switch {
		case ended != 0: // the loop has not taken it in yet
			return false
		case at != 0:
			sent++
			last = later(last, time.Unix(0, at))
		case ready != 0 && time.Unix(0, ready).Before(first):
			first = time.Unix(0, ready)
		}
	}
	if l.limits.shared() && now.Sub(first) > stuckAfter {
		sent = l.limits.each
	}
	return l.limits.each > 0 && sent >= l.limits.each && now.Sub(last) > stuckAfter
}

// keep is how many of the waiting jobs stay in the queue, and when the others should come
// again, counted from the first of them.
func (l *jobQueue) keep(now time.Time) (keep int, by func(i int) time.Duration) {
	keep = len(l.waiting)
	unknown := func(int) time.Duration { return 0 }
	if l.limits.shared() {
		return l.keepShared(now)
	}
	pace, known := l.pace(float64(l.limits.each), now)
	if known && pace*slowAttempt.Seconds() < float64(l.limits.each) {
		keep = min(keep, max(l.limits.each, int(pace*reach.Seconds())))
	}
	if l.stuck(now) {
		return 0, unknown
	}
	return keep, after(keep, pace*max(1, l.limits.workers)) // it may come to any of them: one that came back first may hold all
}

// keepShared is keep for a destination with limits of its own. It keeps what this process's
// share lets through soon, however fast the destination is.
func (l *jobQueue) keepShared(now time.Time) (keep int, by func(i int) time.Duration) {
	all := len(l.waiting)
	if l.limits.each == 0 {
		return 0, func(i int) time.Duration { return noShare + time.Duration(i)*2*noShare/time.Duration(all) }
	}
	keep = all
	pace, known := l.pace(l.limits.hope, now)
	if known {
		keep = min(keep, max(l.limits.ahead, int(pace*reach.Seconds())))
	}
	if l.limits.rate > 0 && (!known || l.limits.rate < pace) {
		pace = l.limits.rate
		keep = min(keep, max(1, int(pace*rateReach.Seconds())))
	}
	if l.stuck(now) {
		return 0, func(int) time.Duration { return 0 }
	}
	return keep, after(keep, pace*max(1, l.limits.workers))
}

// after says when a job comes again that waits behind so many, at a pace.
func after(behind int, pace float64) func(i int) time.Duration {
	return func(i int) time.Duration {
		if pace <= 0 {
			return 0
		}
		return time.Duration(float64(behind+i) / pace * float64(time.Second))
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
