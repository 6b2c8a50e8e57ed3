package delivery

import "time"

// arrival is a job that a message named, and the message that waits for it.
type arrival struct {
	ref
	message *delivery
}

// fair holds jobs that wait for their turn, a line for each destination, and deals
// out turns in rounds, so that a destination which is slow or has a backlog takes no
// turns from the others. It is not safe for concurrent use.
type fair struct {
	total  int                             // attempts under way in all, at most
	limits func(destination string) limits // for one destination
	under  int
	lines  map[string]*line
	order  []string        // destinations with a line, in the order of the next round
	jobs   map[string]bool // that wait in a line
}

// limits are what one destination can take.
type limits struct {
	each int // attempts under way
	rate int // attempts begun in a second; 0 for no limit
}

type line struct {
	waiting []arrival
	under   int       // attempts under way
	moved   time.Time // when one of them last ended, or the line began
	limits  limits
	begun   int // attempts begun in the second that began at since
	since   time.Time
	blocked time.Time // since when its own limit alone keeps jobs waiting; zero when it does not
	ended   int       // attempts that ended since blocked
}

// pace is how many attempts end in a second while the line is blocked; ok is false when
// it has not been for long enough to say. It begins to count anew.
func (l *line) pace(now time.Time) (perSecond float64, ok bool) {
	lasted := now.Sub(l.blocked)
	if l.blocked.IsZero() || lasted < paceWindow {
		return 0, false
	}
	perSecond = float64(l.ended) / lasted.Seconds()
	l.blocked, l.ended = now, 0
	return perSecond, true
}

// free reports whether one more attempt may begin.
func (l *line) free(now time.Time) bool {
	if now.Sub(l.since) >= time.Second {
		l.since, l.begun = now, 0
	}
	return l.under < l.limits.each && (l.limits.rate == 0 || l.begun < l.limits.rate)
}

func newFair(total int, limits func(destination string) limits) *fair {
	return &fair{total: total, limits: limits, lines: map[string]*line{}, jobs: map[string]bool{}}
}

// add puts a job at the end of its destination's line. It reports false when the job
// waits there already: a second message for it says nothing new.
func (f *fair) add(a arrival, now time.Time) bool {
	if f.jobs[a.JobID] {
		return false
	}
	f.jobs[a.JobID] = true
	l := f.lines[a.Destination]
	if l == nil {
		l = &line{moved: now}
		f.lines[a.Destination] = l
		f.order = append(f.order, a.Destination)
	}
	l.waiting = append(l.waiting, a)
	return true
}

// leave notes that jobs do not wait any more.
func (f *fair) leave(list []arrival) []arrival {
	for _, a := range list {
		delete(f.jobs, a.JobID)
	}
	return list
}

// take gives up to n jobs whose turn it is; done ends each turn.
func (f *fair) take(n int, now time.Time) []arrival {
	var turn []arrival
	for name, l := range f.lines {
		l.limits = f.limits(name)
	}
	for progress := true; progress && len(turn) < n && f.under < f.total; {
		progress = false
		for _, name := range f.order {
			l := f.lines[name]
			if len(l.waiting) == 0 || !l.free(now) || f.under >= f.total || len(turn) == n {
				continue
			}
			turn = append(turn, l.waiting[0])
			l.waiting = l.waiting[1:]
			l.under++
			l.begun++
			f.under++
			progress = true
		}
		if len(f.order) > 1 {
			f.order = append(f.order[1:], f.order[0])
		}
	}
	for _, l := range f.lines {
		switch blocked := len(l.waiting) > 0 && l.under >= l.limits.each; {
		case !blocked:
			l.blocked = time.Time{}
		case l.blocked.IsZero():
			l.blocked, l.ended = now, 0
		}
	}
	return f.leave(turn)
}

// done ends a turn of destination.
func (f *fair) done(destination string, now time.Time) {
	l := f.lines[destination]
	l.under--
	l.ended++
	l.moved = now
	f.under--
	if l.under == 0 && len(l.waiting) == 0 {
		f.drop(destination)
	}
}

// late is a job that its destination will not take for a while.
type late struct {
	arrival
	by time.Duration // until its turn may come; 0 when nobody can say
}

// The bounds of what may wait in this process for a slow destination.
const (
	stuckAfter  = 2 * time.Second // without the end of any attempt
	paceWindow  = time.Second
	slowAttempt = 250 * time.Millisecond // attempts that take so long leave the process time for others
	reach       = 2 * time.Second        // what a slow destination will take within it keeps its place
)

// excess takes away what a slow destination will not take soon, and what a limited rate
// will not reach: these jobs must not fill this process's window of unacknowledged
// messages, or the other destinations' would not get in.
func (f *fair) excess(now time.Time) []late {
	var list []late
	for _, l := range f.lines {
		keep := len(l.waiting)
		pace, known := l.pace(now)
		switch {
		case l.limits.rate > 0:
			pace = float64(l.limits.rate)
			keep = min(keep, 5*l.limits.rate)
		case known && pace*slowAttempt.Seconds() < float64(l.limits.each):
			keep = min(keep, max(l.limits.each, int(pace*reach.Seconds())))
		}
		if l.limits.each > 0 && l.under >= l.limits.each && now.Sub(l.moved) > stuckAfter {
			keep, pace = 0, 0
		}
		for i, a := range f.leave(l.waiting[keep:]) {
			e := late{arrival: a}
			if pace > 0 {
				e.by = time.Duration(float64(keep+i) / pace * float64(time.Second))
			}
			list = append(list, e)
		}
		l.waiting = l.waiting[:keep:keep]
	}
	return list
}

// throttled reports whether a limited rate alone keeps jobs waiting.
func (f *fair) throttled() bool {
	for _, l := range f.lines {
		if l.limits.rate > 0 && len(l.waiting) > 0 && l.under < l.limits.each {
			return true
		}
	}
	return false
}

// clear takes away all that waits.
func (f *fair) clear() []arrival {
	var list []arrival
	for name, l := range f.lines {
		list = append(list, l.waiting...)
		l.waiting = nil
		if l.under == 0 {
			f.drop(name)
		}
	}
	return f.leave(list)
}

func (f *fair) drop(destination string) {
	delete(f.lines, destination)
	for i, name := range f.order {
		if name == destination {
			f.order = append(f.order[:i:i], f.order[i+1:]...)
			return
		}
	}
}
