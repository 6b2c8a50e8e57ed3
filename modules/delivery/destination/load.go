package destination

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"integration-gateway/platform/batch"
	"integration-gateway/platform/database"
)

// answer serves these calls with one query, except for ids that earlier calls have loaded.
func (c *Cache) answer(calls [][]string) []batch.Result[struct{}] {
	wanted := map[string]bool{}
	c.mu.RLock()
	for _, id := range slices.Concat(calls...) {
		_, isID := c.byID[id]
		if isID && !c.currentID(id) || !isID && !c.currentOf(id) {
			wanted[id] = true
		}
	}
	c.mu.RUnlock()
	results := make([]batch.Result[struct{}], len(calls))
	if len(wanted) == 0 {
		return results
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	err := c.load(ctx, slices.Sorted(maps.Keys(wanted)))
	for i := range results {
		results[i].Err = err
	}
	return results
}

// load reads the destinations of these integrations, and of the integrations of these
// destinations.
func (c *Cache) load(ctx context.Context, ids []string) error {
	read, at := c.begin()
	list, err := c.db.related(ctx, ids)
	if err != nil {
		return err
	}
	opened := c.open(ctx, list)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.install(opened, read, at)
	for _, id := range ids {
		if before, changed := c.changed[id]; changed && before < read {
			delete(c.changed, id)
		}
		if _, isID := c.byID[id]; isID || len(c.of[id].open) > 0 {
			delete(c.absent, id)
		} else {
			c.absent[id] = at
		}
	}
	for _, d := range opened {
		if before, changed := c.changed[d.IntegrationID]; changed && before < read {
			delete(c.changed, d.IntegrationID)
		}
	}
	return nil
}

// begin returns the number of a read that starts now.
func (c *Cache) begin() (read uint64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	return c.reads, c.now()
}

// open builds destinations from rows. It reuses unchanged ones, except for their breakers.
func (c *Cache) open(ctx context.Context, list []Destination) []*Destination {
	opened := make([]*Destination, len(list))
	for i := range list {
		d := &list[i]
		c.mu.RLock()
		was := c.byID[d.ID].Destination
		c.mu.RUnlock()
		if was == nil {
			was = &Destination{}
		}
		if was.ID != "" && was.Revision == d.Revision && was.broken == nil {
			same := *was
			same.Breaker, same.BreakerUntil = d.Breaker, d.BreakerUntil
			opened[i] = &same
			continue
		}
		now := c.now()
		d.broken = d.unseal(c.sealer, now, was)
		if d.broken != nil && was.broken == nil {
			c.log.ErrorContext(ctx, "cannot decrypt a destination's configuration; its jobs wait", "destination_id", d.ID, "error", d.broken)
		}
		if was.own != d.own {
			c.changedTLS(ctx, now, was, d)
		}
		d.Compile(c.lang, was)
		opened[i] = d
	}
	return opened
}

// install stores what was read, unless a later read was faster.
func (c *Cache) install(list []*Destination, read uint64, at time.Time) {
	touched := map[string]bool{}
	for _, d := range list {
		was, ok := c.byID[d.ID]
		touched[d.IntegrationID] = true
		if ok && was.read > read {
			continue
		}
		if ok {
			c.revisions -= was.Revision
		}
		c.byID[d.ID] = known{d, read}
		c.revisions += d.Revision
		delete(c.tripped, d.ID)
		if d.Breaker != BreakerClosed {
			c.tripped[d.ID] = true
		}
		delete(c.broken, d.ID)
		if d.broken != nil {
			c.broken[d.ID] = true
		}
		if !ok {
			g := c.of[d.IntegrationID]
			g.all = append(g.all, d) // which nobody else has
			c.of[d.IntegrationID] = g
		}
	}
	for integrationID := range touched {
		c.regroup(integrationID, at)
	}
}

// regroup rebuilds an integration's list of destinations.
func (c *Cache) regroup(integrationID string, at time.Time) {
	g := group{at: at}
	for _, d := range c.of[integrationID].all {
		now, ok := c.byID[d.ID]
		if !ok {
			continue
		}
		g.all = append(g.all, now.Destination)
		if now.ArchivedAt == nil {
			g.open = append(g.open, now.Destination)
		}
	}
	byID := func(a, b *Destination) int { return cmp.Compare(a.ID, b.ID) }
	slices.SortFunc(g.all, byID)
	slices.SortFunc(g.open, byID)
	if len(g.all) == 0 {
		delete(c.of, integrationID)
		return
	}
	c.of[integrationID] = g
}

// changedTLS closes the connections of a destination's previous TLS configuration, and warns
// about certificates in the new one that expire soon.
func (c *Cache) changedTLS(ctx context.Context, at time.Time, was, now *Destination) {
	c.sender.Forget(was.trust())
	info := now.shownTLS(at)
	if info != nil && len(info.Warnings) > 0 {
		c.log.WarnContext(ctx, "renew a destination's certificates", "destination_id", now.ID, "warnings", info.Warnings)
	}
}

// ReadOf reads the destinations of integrations in the caller's transaction, for decisions
// that need them.
func (c *Cache) ReadOf(ctx context.Context, tx *database.Tx, integrationIDs []string) (map[string][]*Destination, error) {
	list, err := relatedIn(ctx, tx, integrationIDs)
	if err != nil {
		return nil, err
	}
	found := map[string][]*Destination{}
	for _, d := range c.open(ctx, list) {
		if d.ArchivedAt == nil {
			found[d.IntegrationID] = append(found[d.IntegrationID], d)
		}
	}
	return found, nil
}
