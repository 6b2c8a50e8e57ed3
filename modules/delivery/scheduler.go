package delivery

import (
	"slices"
	"sync/atomic"
	"time"

	"integration-gateway/platform/broker"
)

// queuedJob is a job and the message that named it.
type queuedJob struct {
	ref
	message *inboundMessage
	slot    *slot  // set when it has one
	token   string // to claim it under, from when it has a slot

	postponed time.Time // the time it was postponed to, where it was recalled before that; else zero
}

// scheduler holds the jobs that wait for a slot, in one queue for each destination, and assigns
// slots round-robin, so that a slow destination or a backlog does not starve the others. It is
// not safe for concurrent use.
type scheduler struct {
	total  int                             // slots in all, at most
	limits func(destination string) limits // for one destination
	under  int
	queues map[string]*jobQueue
	order  []string        // destinations with a queue, in the order of the next round
	jobs   map[string]bool // that wait in a queue, and whether with a message of the broker's

	away     map[string][]absent // what was postponed, by destination, in the order of the times
	absences int                 // in all
}

// limits are what one destination can take.
type limits struct {
	each    int     // attempts under way in this process
	workers float64 // that may take its jobs; less than 1 counts as 1

	// For a destination with its own limits, which all processes share:
	ahead int     // slots whose jobs may wait for the destination's limit, so that the next one starts at once; 0 for others
	hope  float64 // running attempts that this process may have
	rate  float64 // attempts per second that it may start; 0 for no limit
}

func (l limits) shared() bool { return l.ahead > 0 }

func newScheduler(total int, limits func(destination string) limits) *scheduler {
	return &scheduler{total: total, limits: limits, queues: map[string]*jobQueue{}, jobs: map[string]bool{}, away: map[string][]absent{}}
}

// add appends a job to its destination's queue. It returns false if the job already waits
// there; the broker's own message then replaces one that stands in for it, and is settled with
// the job.
func (f *scheduler) add(a queuedJob, now time.Time) bool {
	if own, waits := f.jobs[a.JobID]; waits {
		if own || a.message.standsIn() || !f.queues[a.Destination].replace(a) {
			return false
		}
		f.jobs[a.JobID] = true
		return true
	}
	f.jobs[a.JobID] = !a.message.standsIn()
	l := f.queues[a.Destination]
	if l == nil {
		l = &jobQueue{moved: now, slots: map[*slot]struct{}{}}
		f.queues[a.Destination] = l
		f.order = append(f.order, a.Destination)
	}
	l.waiting = append(l.waiting, a)
	return true
}

// leave records that jobs no longer wait.
func (f *scheduler) leave(list []queuedJob) []queuedJob {
	for _, a := range list {
		delete(f.jobs, a.JobID)
	}
	return list
}

// take assigns slots to up to n jobs; done frees each.
func (f *scheduler) take(n int, now time.Time) []queuedJob {
	var taken []queuedJob
	f.recall(n, now)
	ahead := 0 // slots whose jobs wait for their destination's limit
	for name, l := range f.queues {
		l.refresh(f.limits(name))
		ahead += l.ahead
	}
	for progress := true; progress && len(taken) < n && f.under < f.total; {
		progress = false
		for _, name := range f.order {
			l := f.queues[name]
			if len(l.waiting) == 0 || !l.free() || l.limits.shared() && ahead >= max(1, f.total/2) || f.under >= f.total || len(taken) == n {
				continue
			}
			a := l.begin()
			if l.limits.shared() {
				l.ahead++
				ahead++
			}
			taken = append(taken, a)
			f.under++
			progress = true
		}
		if len(f.order) > 1 {
			f.order = append(f.order[1:], f.order[0])
		}
	}
	for _, l := range f.queues {
		l.block(now)
	}
	return f.leave(taken)
}

// done frees a slot of destination.
func (f *scheduler) done(destination string, r *slot, now time.Time) {
	l := f.queues[destination]
	l.end(r, now)
	f.under--
	if len(l.slots) == 0 && len(l.waiting) == 0 {
		f.drop(destination)
	}
}

// late is a job that its destination cannot take soon.
type late struct {
	queuedJob
	by time.Duration // until it may get a slot; 0 if unknown
}

// excess takes away what a slow destination will not take soon, and what a limit will not
// let through: these jobs must not fill this process's window of unacknowledged
// messages, or the other destinations' would not get in.
func (f *scheduler) excess(now time.Time) []late {
	var list []late
	for name, l := range f.queues {
		if name == "" {
			continue // what waits here waits for this process alone
		}
		keep, by := l.keep(now)
		for i, a := range f.leave(l.waiting[keep:]) {
			list = append(list, late{a, by(i)})
		}
		l.waiting = l.waiting[:keep:keep]
	}
	return list
}

// absent is a job that was postponed, and until when.
type absent struct {
	ref
	until time.Time
}

// The bounds of what is remembered of postponed jobs. Others come again at their times alone.
const (
	mostAbsent   = 8192
	absentOfEach = 1024 // of one destination
)

// remember keeps in mind jobs that were postponed. When and how a destination has a free slot again
// nobody can foretell, so their times are only the latest: recall brings them back earlier.
func (f *scheduler) remember(list []absent) {
	for _, a := range list {
		away := f.away[a.Destination]
		if len(away) >= absentOfEach || f.absences >= mostAbsent {
			continue
		}
		at, _ := slices.BinarySearchFunc(away, a, func(e, a absent) int { return e.until.Compare(a.until) })
		f.away[a.Destination] = slices.Insert(away, at, a)
		f.absences++
	}
}

// recall queues postponed jobs of destinations that have free slots and nothing that waits: as many as can have
// slots at once, so that a stuck destination has no more of them than slots come free. Those whose times have come
// are forgotten: their messages are on their way.
func (f *scheduler) recall(n int, now time.Time) {
	for name, away := range f.away {
		past := 0
		for past < len(away) && !away[past].until.After(now) {
			past++
		}
		back := past + min(f.vacant(name), n, f.total-f.under, len(away)-past)
		for _, a := range away[past:max(past, back)] {
			message := &inboundMessage{Delivery: broker.Delivery{Ack: func() {}, Requeue: func() {}, Reject: func() {}}}
			message.left.Store(1)
			f.add(queuedJob{ref: a.ref, message: message, postponed: a.until}, now)
		}
		gone := max(past, back)
		f.absences -= gone
		if f.away[name] = away[gone:]; len(away) == gone {
			delete(f.away, name)
		}
	}
}

// vacant is the number of slots that a destination has free; 0 while jobs wait for them.
func (f *scheduler) vacant(destination string) int {
	l := f.queues[destination]
	if l == nil {
		l = &jobQueue{}
	}
	if len(l.waiting) > 0 {
		return 0
	}
	l.refresh(f.limits(destination))
	return l.places()
}

// pardon begins anew to count for how long nothing ended at any destination: this process or
// the cache stood still, which is no destination's fault.
func (f *scheduler) pardon(now time.Time) {
	for _, l := range f.queues {
		l.moved = later(l.moved, now)
	}
}

// clear removes all waiting jobs.
func (f *scheduler) clear() []queuedJob {
	var list []queuedJob
	for name, l := range f.queues {
		list = append(list, l.waiting...)
		l.waiting = nil
		if len(l.slots) == 0 {
			f.drop(name)
		}
	}
	return f.leave(list)
}

func (f *scheduler) drop(destination string) {
	delete(f.queues, destination)
	for i, name := range f.order {
		if name == destination {
			f.order = append(f.order[:i:i], f.order[i+1:]...)
			return
		}
	}
}

// slot is what a job that was claimed holds until it has ended. What its destination is measured by counts from when the
// request is sent, not from when the job got its slot: what lies between is this process's
// own time, which a slow database can make long. The job's goroutine writes it and the
// worker's loop reads it.
type slot struct {
	ready atomic.Int64 // when it began to wait for its destination's limit
	sent  atomic.Int64
	ended atomic.Int64 // when the answer was there, or there was none
}

func note(at *atomic.Int64, now time.Time) { at.CompareAndSwap(0, now.UnixNano()) }

// waiting reports whether it is held and nothing is sent yet.
func (r *slot) waiting() bool { return r.sent.Load() == 0 && r.ended.Load() == 0 }

// underWay is for how long after since the request has been under way.
func (r *slot) underWay(since, now time.Time) time.Duration {
	sent, ended := r.sent.Load(), r.ended.Load()
	if sent == 0 {
		return 0
	}
	until := now.UnixNano()
	if ended != 0 {
		until = ended
	}
	return time.Duration(max(0, until-max(sent, since.UnixNano())))
}
