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

// sighting is what the cache knows of a group's keys.
type sighting struct {
	at    map[string]known // keys whose events are committed
	fresh bool             // nobody has shown any of the others yet, as far as it remembers
}

// look sets an empty marker for each key that has none, and gives the events of those
// whose marker says that they are committed. An empty marker decides nothing: its
// request may still fail, or have died.
func (m *Module) look(ctx context.Context, group []arrival) sighting {
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
		return sighting{} // the database decides
	}
	seen := sighting{at: map[string]known{}, fresh: true}
	for i, c := range claimed {
		if c.Won {
			continue
		}
		if k, ok := parseMarker(c.Value); ok {
			seen.at[keys[i]] = k
		} else {
			seen.fresh = false
		}
	}
	return seen
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
