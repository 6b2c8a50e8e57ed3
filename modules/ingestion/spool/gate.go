package spool

import (
	"sync"
	"sync/atomic"
)

// gate says whether the database is away, so that webhooks need not wait to find out. It is fed
// with the heartbeats of the process, which are writes, and with commits that failed.
type gate struct {
	away atomic.Bool

	mu      sync.Mutex
	missed  int  // heartbeats in a row
	refused bool // a commit failed since the last heartbeat
}

// missedBeats is how many heartbeats in a row must fail where no commit has failed: one may only
// have been slow.
const missedBeats = 2

// beat takes the result of a heartbeat and reports whether the state changed.
func (g *gate) beat(accepted bool) (changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if accepted {
		g.missed, g.refused = 0, false
		return g.away.Swap(false)
	}
	g.missed++
	return g.decide()
}

// failed notes a commit that the database did not answer, and reports whether the state changed.
func (g *gate) failed() (changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused = true
	return g.decide()
}

func (g *gate) decide() (changed bool) {
	if g.missed >= missedBeats || g.missed > 0 && g.refused {
		return !g.away.Swap(true)
	}
	return false
}
