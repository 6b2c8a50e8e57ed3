package access

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// The bounds of what is known of keys.
const (
	freshFor     = time.Second // what a revoked key may go on for, in other processes
	queryTimeout = 2 * time.Second
)

// holder is a live key as a request needs it.
type holder struct {
	id      string
	caller  httpapi.Caller
	expires *time.Time
}

// live is all live keys, by their hash. They are read together, so that wrong keys, of
// which there may be a flood, cost the database nothing.
type live struct {
	mu      sync.Mutex
	holders map[string]holder
	at      time.Time // when reading began
}

// forget has the keys read again by the next who asks.
func (l *live) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = time.Time{}
}

// Authenticate finds the holder of a key. The key is compared by way of its hash, whose
// bytes a caller cannot choose, so that the time it takes tells nothing of the keys that
// there are.
func (m *Module) Authenticate(ctx context.Context, key string) (httpapi.Caller, error) {
	if !strings.HasPrefix(key, keyStart) {
		return httpapi.Caller{}, httpapi.Refuse("wrong_key")
	}
	holders, err := m.holders(ctx)
	if err != nil {
		return httpapi.Caller{}, fault.Unavailable.Wrap(err, "keys_unknown", "The keys cannot be looked up at the moment.").After(time.Second)
	}
	now := m.d.Now()
	h, known := holders[hashOf(key)]
	if !known || h.expires != nil && !h.expires.After(now) {
		return httpapi.Caller{}, httpapi.Refuse("wrong_key")
	}
	m.uses.add(h.id, now)
	return h.caller, nil
}

// holders gives the live keys as they were at most freshFor ago. One request reads them,
// the others wait for it.
func (m *Module) holders(ctx context.Context) (map[string]holder, error) {
	m.live.mu.Lock()
	defer m.live.mu.Unlock()
	now := m.d.Now()
	if age := now.Sub(m.live.at); m.live.holders != nil && age >= 0 && age < freshFor {
		return m.live.holders, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	holders, err := m.readHolders(ctx, now)
	if err != nil {
		return nil, err
	}
	m.live.holders, m.live.at = holders, now
	return holders, nil
}

func (m *Module) readHolders(ctx context.Context, now time.Time) (map[string]holder, error) {
	rows, err := selectLiveKeys(ctx, m.d.DB, now)
	if err != nil {
		return nil, err
	}
	integrations, err := m.integrationsOf(ctx, rows)
	if err != nil {
		return nil, err
	}
	holders := make(map[string]holder, len(rows))
	for _, r := range rows {
		k := r.key()
		role, _ := httpapi.ParseRole(k.Role) // the column holds no other
		h := holder{id: k.ID, caller: httpapi.Caller{Actor: k.actor(), Role: role}}
		if k.ExpiresAt != nil {
			h.expires = &k.ExpiresAt.Time
		}
		if k.Sources != nil {
			h.caller.Scope = &httpapi.Scope{Sources: k.Sources}
			for _, source := range k.Sources {
				if integrationID, known := integrations[source]; known {
					h.caller.Scope.Integrations = append(h.caller.Scope.Integrations, integrationID)
				}
			}
		}
		holders[r.Hash] = h
	}
	return holders, nil
}

// integrationsOf gives the integrations of all sources that keys are confined to.
func (m *Module) integrationsOf(ctx context.Context, rows []row) (map[string]string, error) {
	sources := map[string]bool{}
	for _, r := range rows {
		for _, source := range r.key().Sources {
			sources[source] = true
		}
	}
	if len(sources) == 0 {
		return nil, nil //nolint:nilnil // nobody asks for any
	}
	return m.d.Sources.IntegrationsOf(ctx, slices.Sorted(maps.Keys(sources)))
}

// uses is when keys were last used, since it was last written.
type uses struct {
	mu sync.Mutex
	of map[string]time.Time // by the key's id
}

func (u *uses) add(keyID string, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at.After(u.of[keyID]) {
		u.of[keyID] = at
	}
}

func (u *uses) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.of
	u.of = map[string]time.Time{}
	return taken
}

// flushUses writes the last uses, in one statement; what cannot be written is kept.
func (m *Module) flushUses(ctx context.Context) error {
	taken := m.uses.take()
	if len(taken) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	rows := database.NewRows("id uuid", "at timestamptz")
	for _, keyID := range slices.Sorted(maps.Keys(taken)) { // one order for all processes, or they deadlock
		rows.Add(keyID, taken[keyID])
	}
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecRows(ctx, rows, touchKeysSQL)
		return err
	})
	if err != nil {
		for keyID, at := range taken {
			m.uses.add(keyID, at)
		}
		return fmt.Errorf("write the last uses of keys: %w", err)
	}
	return nil
}
