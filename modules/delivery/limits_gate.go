package delivery

import (
	"context"
	"slices"
	"time"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/cache"
)

// gate is the gate of one destination.
type gate struct {
	waiting []*ticket
	left    []string // holders that are to be released
	under   int      // admitted attempts that have not ended
	pacer   pacer    // without the cache
	again   time.Time
}

// ticket is a waiting attempt; answer says whether it may start.
type ticket struct {
	holder string
	answer chan bool
}

// limitsOf returns a destination's limits in the cache. A slot lasts as long as the attempt
// may, and no longer than the job's lease.
func (m *Module) limitsOf(id string, d *destination.Destination) []cache.Limit {
	var list []cache.Limit
	if d.Concurrency != nil {
		list = append(list, cache.Limit{Key: "at:" + id, Max: *d.Concurrency, TTL: d.Timeout(m.cfg.Timeout) + m.cfg.LeaseMargin/2, Held: true})
	}
	if d.Rate != nil {
		list = append(list, cache.Limit{Key: "rate:" + id, Max: *d.Rate, TTL: time.Second})
	}
	return list
}

// admitShare admits attempts within this worker's own share, and rejects the others so that
// another worker gets them.
func (g *gates) admitShare(q question, now time.Time) {
	rank, workers := g.m.peers.Share()
	room := len(q.asking)
	if c := q.to.Concurrency; c != nil {
		own := share(*c, rank, workers)
		if own == 0 {
			q.at.answer(q.asking, false)
			return
		}
		room = min(room, max(0, own-q.at.under))
	}
	n := 0
	for ; n < room && q.to.Rate != nil; n++ {
		if wait := q.at.pacer.wait(float64(*q.to.Rate)/float64(max(1, workers)), now); wait > 0 {
			q.at.again = now.Add(max(time.Millisecond, min(wait, gatePoll)))
			room = n
		}
	}
	q.at.admit(q.asking[:room])
	if room < len(q.asking) && q.at.again.Before(now) {
		q.at.again = now.Add(gatePoll)
	}
}

// admit admits the tickets that still wait. The others have withdrawn, and their slots are
// released.
func (at *gate) admit(list []*ticket) {
	at.under += at.answer(list, true)
}

func (at *gate) answer(list []*ticket, enters bool) (n int) {
	for _, t := range list {
		if i := slices.Index(at.waiting, t); i >= 0 {
			at.waiting = slices.Delete(at.waiting, i, i+1)
			t.answer <- enters
			n++
		}
	}
	return n
}

// freeSlots immediately releases the slots of these jobs' attempts, which are known to be
// dead.
func (m *Module) freeSlots(ctx context.Context, jobs []job) {
	var list []cache.Acquisition
	for _, j := range jobs {
		if j.DestinationID == nil {
			continue
		}
		d := m.destinations.Cached(*j.DestinationID)
		if d.Concurrency != nil {
			list = append(list, cache.Acquisition{Limits: m.limitsOf(d.ID, d)[:1], Release: []string{j.ID}})
		}
	}
	if len(list) > 0 {
		_, _ = m.cache.Acquire(ctx, list) // otherwise they expire
	}
}
