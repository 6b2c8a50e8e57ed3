package access

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// The limits of the key cache.
const (
	freshFor     = time.Second // how long other processes may still accept a revoked key
	queryTimeout = 2 * time.Second
)

// holder is a live key, in the form that a request needs.
type holder struct {
	id      string
	caller  httpapi.Caller
	expires *time.Time
}

// keyCache holds all live keys by their hash. They are read together, so that a flood of
// wrong keys costs the database nothing.
type keyCache struct {
	reads singleflight.Group // by the version

	mu      sync.Mutex // held for no query
	holders map[string]holder
	readAt  time.Time // when the read began
	version uint64    // how often keys were changed here
}

// invalidate makes the next request read the keys again, even if a read is under way.
func (l *keyCache) invalidate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holders = nil
	l.version++
}

// fresh returns the keys if they are at most freshFor old, else nil, and the version.
func (l *keyCache) fresh(now time.Time) (map[string]holder, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := now.Sub(l.readAt); age < 0 || age >= freshFor {
		return nil, l.version
	}
	return l.holders, l.version
}

// store caches what was read unless keys have changed since.
func (l *keyCache) store(holders map[string]holder, at time.Time, version uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.version == version {
		l.holders, l.readAt = holders, at
	}
}

// Authenticate returns the holder of a key. Keys are compared by their hash, whose bytes a
// caller cannot choose, so the duration of the comparison reveals nothing about existing
// keys.
func (m *Module) Authenticate(ctx context.Context, key string) (httpapi.Caller, error) {
	if !strings.HasPrefix(key, keyPrefix) {
		return httpapi.Caller{}, httpapi.Refuse("wrong_key")
	}
	holders, err := m.holders(ctx)
	if err != nil {
		return httpapi.Caller{}, unknownKeys(err)
	}
	now := m.d.Now()
	h, known := holders[hashOf(key)]
	if !known || h.expires != nil && !h.expires.After(now) {
		return httpapi.Caller{}, httpapi.Refuse("wrong_key")
	}
	m.lastUses.add(h.id, now)
	return h.caller, nil
}

// holders returns the live keys, at most freshFor old or as of a read that is under way. One
// request reads them; the others wait for it, each within its own deadline.
func (m *Module) holders(ctx context.Context) (map[string]holder, error) {
	holders, version := m.cache.fresh(m.d.Now())
	if holders != nil {
		return holders, nil
	}
	read := m.cache.reads.DoChan(strconv.FormatUint(version, 10), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
		defer cancel()
		began := m.d.Now()
		holders, err := m.readHolders(ctx, began)
		if err != nil {
			return nil, err
		}
		m.cache.store(holders, began, version)
		return holders, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-read:
		holders, _ = r.Val.(map[string]holder)
		return holders, r.Err
	}
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

// integrationsOf returns the integrations of all sources that keys are restricted to.
func (m *Module) integrationsOf(ctx context.Context, rows []row) (map[string]string, error) {
	sources := map[string]bool{}
	for _, r := range rows {
		for _, source := range r.key().Sources {
			sources[source] = true
		}
	}
	if len(sources) == 0 {
		return nil, nil //nolint:nilnil // no key is restricted to sources
	}
	return m.d.Sources.IntegrationsOf(ctx, slices.Sorted(maps.Keys(sources)))
}

// lastUses collects when keys were last used, until it is written.
type lastUses struct {
	mu    sync.Mutex
	byKey map[string]time.Time // by the key's id
}

func (u *lastUses) add(keyID string, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at.After(u.byKey[keyID]) {
		u.byKey[keyID] = at
	}
}

func (u *lastUses) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.byKey
	u.byKey = map[string]time.Time{}
	return taken
}

// flushLastUses writes the last uses in one statement. A failed write keeps them for the
// next.
func (m *Module) flushLastUses(ctx context.Context) error {
	taken := m.lastUses.take()
	if len(taken) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	rows := database.NewRows("id uuid", "at timestamptz")
	for _, keyID := range slices.Sorted(maps.Keys(taken)) { // the same order in all processes, or they deadlock
		rows.Add(keyID, taken[keyID])
	}
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecRows(ctx, rows, updateLastUsedSQL)
		return err
	})
	if err != nil {
		for keyID, at := range taken {
			m.lastUses.add(keyID, at)
		}
		return fmt.Errorf("write the last uses of keys: %w", err)
	}
	return nil
}
