package destination

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"integration-gateway/modules/delivery/destination/expression"
	"integration-gateway/platform/batch"
	"integration-gateway/platform/clock"
)

const (
	refreshEvery = 500 * time.Millisecond // how often Follow looks for changes
	maxAge       = time.Second            // how long an entry is valid while Follow is not running
	absentAge    = 500 * time.Millisecond // how long an absence is valid
	readTimeout  = 5 * time.Second
	followTime   = 4 * time.Second // of one look for changes
	followedAge  = 2 * time.Second // how long what is known is taken for up to date after a look has begun
	askAtOnce    = 256             // calls that one query answers
)

// Cache holds all destinations in memory, so that the data plane queries no configuration in a
// request, a commit or the worker's loop. Follow polls for changes twice a second. Unknown
// destinations, and those that this process has changed, are loaded at once, by one query for
// all callers. While the database is unavailable, the cached ones stay in use.
//
// An integration's destinations are loaded together: a webhook must not reach only some of
// them.
type Cache struct {
	db     reader
	now    clock.Now
	sealer Sealer
	sender Sender
	lang   expression.Language
	log    *slog.Logger

	asked *batch.Group[[]string, struct{}] // ids of integrations and of destinations
	kick  chan struct{}                    // this process made a change

	mu        sync.RWMutex // of what follows; held for moments, and by no query
	followed  time.Time    // when the last look began that succeeded
	reads     uint64       // numbers reads in the order in which they begin
	byID      map[string]known
	of        map[string]group     // by integration
	changed   map[string]uint64    // integrations that this process changed: reads started by then
	absent    map[string]time.Time // ids and integrations without destinations: when that was read
	revisions int64                // the sum of byID's
	tripped   map[string]bool      // destinations whose breakers are not closed
	broken    map[string]bool      // unusable destinations, which are retried
}

// known is a destination and the read that it comes from.
type known struct {
	*Destination
	read uint64
}

// group is an integration's destinations by id. Its lists are never changed.
type group struct {
	all  []*Destination
	open []*Destination // without the archived ones
	at   time.Time      // when they were read
}

func newCache(d Deps, lang expression.Language) *Cache {
	c := &Cache{db: rows{d.DB}, now: d.Now, sealer: d.Sealer, sender: d.Sender, lang: lang, log: d.Log, kick: make(chan struct{}, 1),
		byID: map[string]known{}, of: map[string]group{}, changed: map[string]uint64{}, absent: map[string]time.Time{}, tripped: map[string]bool{}, broken: map[string]bool{}}
	c.asked = batch.NewGroup(batch.Config[[]string]{Runners: 1, MaxItems: askAtOnce}, c.answer)
	return c
}

// Cached returns a destination from memory without waiting; an unknown one has only its id.
func (c *Cache) Cached(id string) *Destination {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if d, ok := c.byID[id]; ok {
		return d.Destination
	}
	return &Destination{ID: id, Breaker: BreakerClosed}
}

// Known returns a destination from memory. It returns false if Get would query it.
func (c *Cache) Known(id string) (*Destination, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byID[id].Destination, c.currentID(id)
}

// Number returns a destination's position among its integration's, archived ones included,
// from 1 and oldest first. It is stable, and so names the destination where its id and address
// do not belong. 0 if it is not known any more.
func (c *Cache) Number(d *Destination) int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return 1 + slices.IndexFunc(c.of[d.IntegrationID].all, func(one *Destination) bool { return one.ID == d.ID })
}

// ClientCertificates returns until when the client certificates are valid that are in use, by
// destination.
func (s *Store) ClientCertificates() map[string]time.Time {
	c := s.cache
	c.mu.RLock()
	defer c.mu.RUnlock()
	expiries := map[string]time.Time{}
	for id, d := range c.byID {
		if d.ArchivedAt == nil && d.own != nil && d.own.client != nil {
			expiries[id] = d.own.client.NotAfter
		}
	}
	return expiries
}

// Get returns the destinations with these ids that exist.
func (c *Cache) Get(ctx context.Context, ids []string) (map[string]*Destination, error) {
	err := c.ask(ctx, ids, c.currentID)
	found := c.have(ids)
	if err != nil && len(found) < len(ids) {
		return nil, err
	}
	return found, nil
}

// GetAgain is Get with what the database says now, whatever is known.
func (c *Cache) GetAgain(ctx context.Context, ids []string) (map[string]*Destination, error) {
	if err := c.load(ctx, ids); err != nil {
		return nil, err
	}
	return c.have(ids), nil
}

// have gives those of these destinations that are known.
func (c *Cache) have(ids []string) map[string]*Destination {
	c.mu.RLock()
	defer c.mu.RUnlock()
	found := make(map[string]*Destination, len(ids))
	for _, id := range ids {
		if d, ok := c.byID[id]; ok {
			found[id] = d.Destination
		}
	}
	return found
}

// Of returns the destinations of one integration that are not archived, oldest first. An empty
// list is refreshed twice a second: otherwise an event could count as unwanted although its
// first destination was just added.
func (c *Cache) Of(ctx context.Context, integrationID string) ([]*Destination, error) {
	found, err := c.OfAll(ctx, []string{integrationID})
	return found[integrationID], err
}

// OfAll is Of for several integrations. If it returns no error, all of them are known, or were
// when the database last answered.
func (c *Cache) OfAll(ctx context.Context, integrationIDs []string) (map[string][]*Destination, error) {
	err := c.ask(ctx, integrationIDs, c.currentOf)
	c.mu.RLock()
	defer c.mu.RUnlock()
	found := make(map[string][]*Destination, len(integrationIDs))
	for _, id := range integrationIDs {
		found[id] = c.of[id].open
		if err != nil && len(found[id]) == 0 {
			return nil, err
		}
	}
	return found, nil
}

// LastOf returns what Of last returned for one integration, without waiting. It returns false
// if that is not certain: there were none, this process has changed them since, or polls for
// changes have failed for a while.
func (c *Cache) LastOf(integrationID string) ([]*Destination, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	list := c.of[integrationID].open
	_, changed := c.changed[integrationID]
	return list, !changed && len(list) > 0 && c.fresh(integrationID)
}

// Changed reloads the destinations of an integration in this process. Call it after the commit
// of the change.
func (c *Cache) Changed(integrationID string) {
	c.mu.Lock()
	c.changed[integrationID] = c.reads
	c.mu.Unlock()
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// currentID reports whether the cached destination, or its absence, is current.
func (c *Cache) currentID(id string) bool {
	d, ok := c.byID[id]
	if !ok {
		return c.isAbsent(id)
	}
	_, changed := c.changed[d.IntegrationID]
	return !changed && c.fresh(d.IntegrationID)
}

// currentOf is currentID for an integration.
func (c *Cache) currentOf(integrationID string) bool {
	if _, changed := c.changed[integrationID]; changed {
		return false
	}
	if len(c.of[integrationID].open) == 0 {
		return c.isAbsent(integrationID)
	}
	return c.fresh(integrationID)
}

func (c *Cache) isAbsent(id string) bool {
	at, ok := c.absent[id]
	return ok && c.now.Since(at).Abs() < absentAge // the clock may step back
}

func (c *Cache) fresh(integrationID string) bool {
	return c.now.Since(c.followed).Abs() < followedAge || c.now.Since(c.of[integrationID].at).Abs() < maxAge
}

// ask loads those ids that are not current.
func (c *Cache) ask(ctx context.Context, ids []string, current func(id string) bool) error {
	var missing []string
	c.mu.RLock()
	for _, id := range ids {
		if !current(id) {
			missing = append(missing, id)
		}
	}
	c.mu.RUnlock()
	if len(missing) == 0 {
		return nil
	}
	if _, err := c.asked.Do(ctx, missing); err != nil {
		return fmt.Errorf("read destinations: %w", err)
	}
	return nil
}
