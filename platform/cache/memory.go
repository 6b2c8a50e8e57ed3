package cache

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"integration-gateway/platform/clock"
)

// DefaultMemoryEntries is the default size of a Memory.
const DefaultMemoryEntries = 100_000

// Memory is the cache of a single process. It holds a bounded number of keys; a further key
// evicts the one that would expire first.
type Memory struct {
	now clock.Now
	max int

	mu     sync.Mutex
	byKey  map[string]*entry
	expiry byExpiry // the same entries
	slots  map[string]slots
}

var _ Cache = (*Memory)(nil)

type entry struct {
	key       string
	value     string
	n         int64
	expires   time.Time
	heapIndex int // in the heap
}

// NewMemory makes a cache of at most entries keys; 0 means DefaultMemoryEntries.
func NewMemory(entries int, now clock.Now) *Memory {
	if entries <= 0 {
		entries = DefaultMemoryEntries
	}
	return &Memory{now: now, max: entries, byKey: map[string]*entry{}, slots: map[string]slots{}}
}

// Claim sets each key that is absent.
func (m *Memory) Claim(_ context.Context, claims []Claim) ([]Claimed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.sweep()
	claimed := make([]Claimed, len(claims))
	for i, c := range claims {
		if there := m.byKey[c.Key]; there != nil {
			claimed[i] = Claimed{Value: there.value}
			continue
		}
		m.put(entry{key: c.Key, value: c.Value, expires: now.Add(lifetime(c.TTL))})
		claimed[i] = Claimed{Won: true}
	}
	return claimed, nil
}

// Set overwrites.
func (m *Memory) Set(_ context.Context, items []Item) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.sweep()
	for _, item := range items {
		m.put(entry{key: item.Key, value: item.Value, expires: now.Add(lifetime(item.TTL))})
	}
	return nil
}

// Release deletes each key that still holds the value it was claimed with.
func (m *Memory) Release(_ context.Context, items []Claim) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
	for _, item := range items {
		if there := m.byKey[item.Key]; there != nil && there.value == item.Value {
			m.drop(there)
		}
	}
	return nil
}

// Count adds one to each key.
func (m *Memory) Count(_ context.Context, counts []Count) ([]Counted, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.sweep()
	counted := make([]Counted, len(counts))
	for i, c := range counts {
		there := m.byKey[c.Key]
		if there == nil {
			there = m.put(entry{key: c.Key, expires: now.Add(lifetime(c.Window))})
		}
		there.n++
		counted[i] = Counted{N: there.n, Reset: there.expires.Sub(now)}
	}
	return counted, nil
}

// Ping returns nil.
func (m *Memory) Ping(context.Context) error { return nil }

// Close has nothing to close.
func (m *Memory) Close() error { return nil }

// lifetime returns ttl, but at least Redis's shortest: in Redis, zero would mean for ever.
func lifetime(ttl time.Duration) time.Duration { return max(ttl, time.Millisecond) }

// sweep deletes expired entries and returns the current time.
func (m *Memory) sweep() time.Time {
	now := m.now()
	for len(m.expiry) > 0 && !m.expiry[0].expires.After(now) {
		m.drop(m.expiry[0])
	}
	return now
}

func (m *Memory) put(e entry) *entry {
	if there := m.byKey[e.key]; there != nil {
		m.drop(there)
	}
	if len(m.expiry) >= m.max {
		m.drop(m.expiry[0])
	}
	m.byKey[e.key] = &e
	heap.Push(&m.expiry, &e)
	return &e
}

func (m *Memory) drop(e *entry) {
	heap.Remove(&m.expiry, e.heapIndex)
	delete(m.byKey, e.key)
}

// byExpiry is a heap whose first entry expires first.
type byExpiry []*entry

func (h byExpiry) Len() int           { return len(h) }
func (h byExpiry) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }

func (h byExpiry) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push implements heap.Interface.
func (h *byExpiry) Push(x any) {
	e := x.(*entry)
	e.heapIndex = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *byExpiry) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
