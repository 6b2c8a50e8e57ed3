package ingestion

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/database"
)

// markerTimeout is how long a group waits for the cache before it asks the database instead.
const markerTimeout = 25 * time.Millisecond

// repeats returns the keys of a group that are committed in the database, and whether the
// cache has seen none of the others before.
//
// The cache alone decides nothing. It may remember an event that the database has lost, in a
// failover to a lagging standby or a restore. What it remembers is looked up, in one query
// for the group.
func (m *Module) repeats(ctx context.Context, group []verifiedWebhook) (at map[string]keyOwner, fresh bool) {
	seen, ok := m.markAll(ctx, group)
	if !ok {
		return nil, false // the database decides
	}
	if len(seen) == 0 {
		return nil, true
	}
	at, err := m.committed(ctx, seen)
	if err != nil {
		return nil, false // the commit meets the same outage, and says so
	}
	return at, len(at) == len(seen)
}

// markAll marks every key of a group in the cache and returns those that were marked before.
// A mark says only that a request had the key: its commit may be running, have failed or be
// lost. markAll also flags possible replays. ok is false while the cache is unavailable.
func (m *Module) markAll(ctx context.Context, group []verifiedWebhook) (seen []string, ok bool) {
	var keys []string
	var claims []cache.Claim
	for _, w := range group {
		for _, e := range w.events {
			keys = append(keys, e.key)
			claims = append(claims, cache.Claim{Key: markerKey(e.key), Value: "1", TTL: m.cfg.IdempotencyTTL})
		}
	}
	signatures, of := m.signatureClaims(group)
	ctx, cancel := context.WithTimeout(ctx, markerTimeout)
	defer cancel()
	claimed, err := m.d.Cache.Claim(ctx, append(claims, signatures...))
	if err != nil || len(claimed) != len(claims)+len(signatures) {
		return nil, false
	}
	claimed, before := claimed[:len(claims)], claimed[len(claims):]
	markReplays(group, of, signatures, before)
	met := map[string]bool{} // in this group
	for i, c := range claimed {
		if !c.Won && !met[keys[i]] {
			seen = append(seen, keys[i])
		}
		met[keys[i]] = true
	}
	return seen, true
}

// committed returns the owners of those keys that the database has.
func (m *Module) committed(ctx context.Context, keys []string) (map[string]keyOwner, error) {
	rows := database.NewRows("idempotency_key text").Expect(len(keys))
	for _, key := range keys {
		rows.Add(key)
	}
	var found []keyRow
	if err := m.d.DB.SelectRows(ctx, &found, rows, selectKeysSQL); err != nil {
		return nil, fmt.Errorf("look up idempotency keys: %w", err)
	}
	at := make(map[string]keyOwner, len(found))
	for _, f := range found {
		at[f.Key] = keyOwner{f.EventID, f.CorrelationID}
	}
	return at, nil
}

func markerKey(key string) string { return "idempotency:" + key }
