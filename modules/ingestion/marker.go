package ingestion

import (
	"context"
	"strings"
	"time"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/id"
)

// markerPatience is how long a group waits for the cache before the database answers
// in its place.
const markerPatience = 25 * time.Millisecond

// claim sets an empty marker for each key that has none, and gives the events of those
// whose marker says that they are committed. An empty marker decides nothing: its
// request may still fail, or have died.
func (m *Module) claim(ctx context.Context, group []arrival) map[string]known {
	var claims []cache.Claim
	var keys []string
	for _, a := range group {
		for _, e := range a.events {
			keys = append(keys, e.key)
			claims = append(claims, cache.Claim{Key: markerKey(e.key), TTL: m.cfg.IdempotencyTTL})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, markerPatience)
	defer cancel()
	claimed, err := m.d.Cache.Claim(ctx, claims)
	if err != nil || len(claimed) != len(claims) {
		return nil // the database decides
	}
	at := make(map[string]known)
	for i, c := range claimed {
		if k, ok := parseMarker(c.Value); ok && !c.Won {
			at[keys[i]] = k
		}
	}
	return at
}

// mark writes down where committed keys' events stand. When that fails, the database
// answers repeats.
func (m *Module) mark(ctx context.Context, at map[string]known) {
	items := make([]cache.Item, 0, len(at))
	for key, k := range at {
		items = append(items, cache.Item{Key: markerKey(key), Value: k.marker(), TTL: m.cfg.IdempotencyTTL})
	}
	ctx, cancel := context.WithTimeout(ctx, markerPatience)
	defer cancel()
	_ = m.d.Cache.Set(ctx, items)
}

func markerKey(key string) string { return "idempotency:" + key }

// marker is "eventId correlationId"; neither holds a space.
func (k known) marker() string { return k.eventID + " " + k.correlationID }

func parseMarker(value string) (known, bool) {
	eventID, correlationID, ok := strings.Cut(value, " ")
	return known{eventID, correlationID}, ok && id.Valid(eventID) && correlationID != ""
}
