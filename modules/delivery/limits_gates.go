package delivery

import (
	"context"
	"slices"
	"sync"
	"time"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/cache"
)

const (
	gatePatience = 5 * time.Second // for a slot at a destination; then the job is released
	gatePoll     = 50 * time.Millisecond
	downPoll     = time.Second // for the cache, if nothing else asks it
	maxLeft      = 256         // slots to release while the cache is unavailable; others expire
)

// gates admit attempts to destinations with their own limits. All processes share these
// limits through the cache; while it is unavailable, each uses its own share. Destinations
// without such limits have no gate.
//
// A slot is asked for just before the request is sent, when all else is done, and given
// back with the same call that asks for the next: so a limit is used to the full. One round
// asks for all destinations together.
type gates struct {
	m    *Module
	quit <-chan struct{} // closed when the worker takes no more work
	kick chan struct{}

	mu    sync.Mutex
	byID  map[string]*gate
	down  bool // the cache could not be used when it was last asked
	asked time.Time
	since time.Time // when the question was asked that has no answer yet; else zero
	probe bool      // ask it although nobody waits
}

func newGates(m *Module, quit <-chan struct{}) *gates {
	return &gates{m: m, quit: quit, kick: make(chan struct{}, 1), byID: map[string]*gate{}}
}

// enter waits until an attempt may begin at its destination; false when it may not within
// patience, or at all in this process for now. Who entered leaves.
func (g *gates) enter(destinationID, holder string, patience time.Duration) bool {
	t := &ticket{holder, make(chan bool, 1)}
	g.change(destinationID, func(at *gate) {
		if len(at.waiting) == 0 {
			at.again = time.Time{}
		}
		at.waiting = append(at.waiting, t)
	})
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case entered := <-t.answer:
		return entered
	case <-timer.C:
	case <-g.quit:
	}
	withdrawn := false
	g.change(destinationID, func(at *gate) {
		if i := slices.Index(at.waiting, t); i >= 0 {
			at.waiting = slices.Delete(at.waiting, i, i+1)
			at.left = append(at.left, holder) // a slot may be on its way
			withdrawn = true
		}
	})
	return !withdrawn && <-t.answer
}

// leave gives an attempt's slot to the next.
func (g *gates) leave(destinationID, holder string) {
	g.change(destinationID, func(at *gate) {
		at.under--
		at.left = append(at.left, holder)
		at.again = time.Time{}
	})
}

func (g *gates) change(destinationID string, do func(at *gate)) {
	g.mu.Lock()
	at := g.byID[destinationID]
	if at == nil {
		at = &gate{}
		g.byID[destinationID] = at
	}
	do(at)
	g.mu.Unlock()
	g.wake()
}

func (g *gates) wake() {
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

// alone reports whether each worker keeps to its share, and sees to it that the cache is
// tried again.
func (g *gates) alone() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down && g.m.now.Since(g.asked) > downPoll && !g.probe {
		g.probe = true
		g.wake()
	}
	return g.down
}

// run lets attempts through until done is closed; then all have left.
func (g *gates) run(done <-chan struct{}) {
	for {
		timer := time.NewTimer(g.round())
		select {
		case <-g.kick:
		case <-timer.C:
		case <-done:
			timer.Stop()
			g.round() // gives the last slots back
			return
		}
		timer.Stop()
	}
}

// question is what one gate asks in a round.
type question struct {
	at      *gate
	id      string
	to      *destination.Destination
	asking  []*ticket
	release []string
}

// round asks once for all gates that have something to ask, and gives the time until the next.
func (g *gates) round() time.Duration {
	questions := g.questions()
	if len(questions) == 0 {
		return g.rest()
	}
	list := make([]cache.Acquisition, len(questions))
	for i, q := range questions {
		list[i] = g.acquisition(q)
	}
	answers, err := g.m.cache.Acquire(context.Background(), list) // it has a deadline of its own
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.m.now()
	if g.down != (err != nil) {
		g.m.log.Info("limits of destinations changed hands", "by_share_of_each_worker", err != nil)
	}
	g.down, g.asked, g.since = err != nil, now, time.Time{}
	for i, q := range questions {
		switch {
		case q.id == "":
		case err != nil:
			q.at.left = append(q.release, q.at.left...)
			q.at.left = q.at.left[max(0, len(q.at.left)-maxLeft):]
			g.admitShare(q, now)
		default:
			q.at.admit(q.asking[:answers[i].N])
			if answers[i].N < len(q.asking) {
				q.at.again = now.Add(max(time.Millisecond, min(answers[i].Wait, gatePoll)))
			}
		}
	}
	return g.restLocked(now)
}

// hangs reports whether the cache has not answered for a while: what waits at a gate then waits
// for the cache, not for its destination.
func (g *gates) hangs(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.since.IsZero() && now.Sub(g.since) > gatePatience/10
}

// questions takes what is to be asked now from the gates.
func (g *gates) questions() (list []question) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.m.now()
	defer func() {
		if len(list) > 0 {
			g.since = now
		}
	}()
	for id, at := range g.byID {
		due := len(at.waiting) > 0 && !now.Before(at.again)
		switch {
		case due, len(at.left) > 0 && !g.down:
			q := question{at: at, id: id, to: g.m.destinations.Cached(id), release: at.left}
			if due {
				q.asking = slices.Clone(at.waiting)
			}
			at.left = nil
			list = append(list, q)
		case len(at.waiting) == 0 && at.under == 0 && len(at.left) == 0 && at.pacer.next.Before(now):
			delete(g.byID, id)
		}
	}
	if g.probe {
		list = append(list, question{to: &destination.Destination{}}) // for no slot of any
	}
	g.probe = false
	return list
}

// acquisition is a gate's question to the cache. A destination whose limits were taken away
// lets all through.
func (g *gates) acquisition(q question) cache.Acquisition {
	a := cache.Acquisition{Limits: g.m.limitsOf(q.id, q.to), Release: q.release}
	for _, t := range q.asking {
		a.Holders = append(a.Holders, t.holder)
	}
	return a
}

func (g *gates) rest() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.restLocked(g.m.now())
}

// restLocked is how long nothing has to be asked, unless something changes.
func (g *gates) restLocked(now time.Time) time.Duration {
	rest := time.Minute
	for _, at := range g.byID {
		if len(at.waiting) > 0 {
			rest = min(rest, at.again.Sub(now))
		}
		if len(at.left) > 0 && !g.down {
			rest = 0
		}
	}
	return max(rest, 0)
}
