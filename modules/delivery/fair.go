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
	total, each int // attempts under way, in all and for one destination, at most
	under       int
	lines       map[string]*line
	order       []string // destinations with a line, in the order of the next round
}

type line struct {
	waiting []arrival
	under   int       // attempts under way
	moved   time.Time // when one of them last ended, or the line began
}

func newFair(total, each int) *fair {
	return &fair{total: total, each: each, lines: map[string]*line{}}
}

// add puts a job at the end of its destination's line.
func (f *fair) add(a arrival, now time.Time) {
	l := f.lines[a.Destination]
	if l == nil {
		l = &line{moved: now}
		f.lines[a.Destination] = l
		f.order = append(f.order, a.Destination)
	}
	l.waiting = append(l.waiting, a)
}

// take gives up to n jobs whose turn it is; done ends each turn.
func (f *fair) take(n int) []arrival {
	var turn []arrival
	for progress := true; progress && len(turn) < n && f.under < f.total; {
		progress = false
		for _, name := range f.order {
			l := f.lines[name]
			if len(l.waiting) == 0 || l.under >= f.each || f.under >= f.total || len(turn) == n {
				continue
			}
			turn = append(turn, l.waiting[0])
			l.waiting = l.waiting[1:]
			l.under++
			f.under++
			progress = true
		}
		if len(f.order) > 1 {
			f.order = append(f.order[1:], f.order[0])
		}
	}
	return turn
}

// done ends a turn of destination.
func (f *fair) done(destination string, now time.Time) {
	l := f.lines[destination]
	l.under--
	l.moved = now
	f.under--
	if l.under == 0 && len(l.waiting) == 0 {
		f.drop(destination)
	}
}

// stuck takes away what waits for destinations that have all their turns under way
// and none of them ended since before: these jobs must not fill this process's window
// of unacknowledged messages.
func (f *fair) stuck(before time.Time) []arrival {
	var list []arrival
	for _, l := range f.lines {
		if l.under >= f.each && l.moved.Before(before) {
			list = append(list, l.waiting...)
			l.waiting = nil
		}
	}
	return list
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
	return list
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
