package destination

import (
	"context"
	"maps"
	"slices"
	"time"

	"integration-gateway/platform/clock"
)

const readAtOnce = 1000 // rows of one query of a look for changes

// Follow keeps what is known up to date until ctx ends: a change by another process is seen
// within a second, one by this process at once. While looks fail or hang, what is known is soon
// asked for anew by those who need it.
func (c *Cache) Follow(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	failing := false
	for {
		err := c.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && failing:
			c.log.InfoContext(ctx, "reading destinations works again")
		case err != nil && !failing:
			c.log.WarnContext(ctx, "reading destinations failed; using the cached ones", "error", err)
		}
		failing = err != nil
		if !c.pause(ctx, tick.C) {
			return
		}
	}
}

// pause waits for the next look, and asks at once for what was changed here meanwhile.
func (c *Cache) pause(ctx context.Context, tick <-chan time.Time) (goesOn bool) {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick:
			return true
		case <-c.kick:
			c.mu.RLock()
			changed := slices.Collect(maps.Keys(c.changed))
			c.mu.RUnlock()
			_ = c.ask(ctx, changed, c.currentOf) // otherwise the next poll sees it
		}
	}
}

// look polls for changes. Revisions are random and compared for inequality, so that it also
// follows a promoted standby or a restored backup.
func (c *Cache) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, followTime)
	defer cancel()
	read, at := c.begin()
	count, sum, err := c.db.summary(ctx)
	if err != nil {
		return err
	}
	breakers, err := c.db.breakers(ctx)
	if err != nil {
		return err
	}
	var list []*Destination
	var gone []string
	if !c.same(count, sum) {
		if list, gone, err = c.differences(ctx); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.install(list, read, at)
	c.drop(gone, read, at)
	c.trip(breakers, read, at)
	for id, before := range c.changed {
		if before < read {
			delete(c.changed, id)
		}
	}
	c.followed = at
	maps.DeleteFunc(c.absent, func(_ string, since time.Time) bool { return at.Sub(since).Abs() > absentAge })
	return nil
}

// same reports whether the cache has this number of destinations and sum of revisions, and all
// of them are usable.
func (c *Cache) same(count int, sum int64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return count == len(c.byID) && sum == c.revisions && len(c.broken) == 0
}

// differences reads the destinations that differ from the cache, and returns the ids of those
// that no longer exist.
func (c *Cache) differences(ctx context.Context) (list []*Destination, gone []string, err error) {
	revisions, err := c.db.revisions(ctx)
	if err != nil {
		return nil, nil, err
	}
	c.mu.RLock()
	var ids []string
	there := make(map[string]bool, len(revisions))
	for _, r := range revisions {
		there[r.ID] = true
		if d, ok := c.byID[r.ID]; !ok || d.Revision != r.Revision || d.broken != nil {
			ids = append(ids, r.ID)
		}
	}
	for id := range c.byID {
		if !there[id] {
			gone = append(gone, id)
		}
	}
	c.mu.RUnlock()
	for part := range slices.Chunk(ids, readAtOnce) {
		rows, err := c.db.byID(ctx, part)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, c.open(ctx, rows)...)
	}
	return list, gone, nil
}

// drop removes destinations that no longer exist, unless a later read returned them.
func (c *Cache) drop(ids []string, read uint64, at time.Time) {
	touched := map[string]bool{}
	for _, id := range ids {
		d, ok := c.byID[id]
		if !ok || d.read > read {
			continue
		}
		c.revisions -= d.Revision
		delete(c.byID, id)
		delete(c.tripped, id)
		delete(c.broken, id)
		touched[d.IntegrationID] = true
	}
	for integrationID := range touched {
		c.regroup(integrationID, at)
	}
}

// trip updates the breakers of destinations.
func (c *Cache) trip(breakers map[string]breaker, read uint64, at time.Time) {
	ids := slices.Collect(maps.Keys(breakers))
	for id := range c.tripped {
		if _, ok := breakers[id]; !ok {
			ids = append(ids, id)
		}
	}
	var list []*Destination
	for _, id := range ids {
		d, ok := c.byID[id]
		b := breakers[id]
		if b.State == "" {
			b.State = BreakerClosed
		}
		if !ok || d.read > read || d.Breaker == b.State && sameTime(d.BreakerUntil, b.Until) {
			continue
		}
		now := *d.Destination
		now.Breaker, now.BreakerUntil = b.State, b.Until
		list = append(list, &now)
	}
	c.install(list, read, at)
}

func sameTime(a, b *clock.Time) bool { return a == b || a != nil && b != nil && a.Equal(b.Time) }
