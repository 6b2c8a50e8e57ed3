package cache

import (
	"context"
	"time"
)

// sweepAbove is the number of keys with slots above which expired keys are swept.
const sweepAbove = 1024

// slots maps holders to the expiry of their slots.
type slots map[string]time.Time

func (s slots) expire(now time.Time) {
	for holder, until := range s {
		if !until.After(now) {
			delete(s, holder)
		}
	}
}

// earliest returns when the first slot expires.
func (s slots) earliest() time.Time {
	var first time.Time
	for _, until := range s {
		if first.IsZero() || until.Before(first) {
			first = until
		}
	}
	return first
}

// Acquire releases and requests slots under limits.
func (m *Memory) Acquire(_ context.Context, list []Acquisition) ([]Acquired, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	acquired := make([]Acquired, len(list))
	for i, a := range list {
		sets := m.slotsOf(a, now)
		for _, holder := range a.Holders {
			if wait, full := full(a.Limits, sets, holder, now); full {
				acquired[i].Wait = wait
				break
			}
			for j, l := range a.Limits {
				sets[j][holder] = now.Add(lifetime(l.TTL))
			}
			acquired[i].N++
		}
	}
	return acquired, nil
}

// slotsOf returns the slots under each limit of an acquisition, without expired and
// released ones.
func (m *Memory) slotsOf(a Acquisition, now time.Time) []slots {
	if len(m.slots) > sweepAbove {
		for key, s := range m.slots {
			if s.expire(now); len(s) == 0 {
				delete(m.slots, key)
			}
		}
	}
	sets := make([]slots, len(a.Limits))
	for i, l := range a.Limits {
		s := m.slots[l.Key]
		if s == nil {
			s = slots{}
			m.slots[l.Key] = s
		}
		s.expire(now)
		for _, holder := range a.Release {
			if l.Held {
				delete(s, holder)
			}
		}
		sets[i] = s
	}
	return sets
}

// full reports whether a limit has no slot for holder, and for how long at most.
func full(limits []Limit, sets []slots, holder string, now time.Time) (wait time.Duration, full bool) {
	for i, l := range limits {
		if _, has := sets[i][holder]; has || len(sets[i]) < l.Max {
			continue
		}
		full = true
		wait = max(wait, sets[i].earliest().Sub(now))
	}
	return wait, full
}
