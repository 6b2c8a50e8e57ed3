package ingestion

import (
	"context"
	"maps"
	"sync"
	"time"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

const (
	limitWindow = time.Minute
	// limitPatience is how long a request waits for the count; then it is let through.
	limitPatience = 250 * time.Millisecond
)

// limitVerified counts a verified request of this source and client address. Only
// verified ones count, so that nobody else can use up a provider's limit.
func (m *Module) limitVerified(ctx context.Context, src *source, ip string) error {
	limit := m.cfg.RateLimitPerMinute
	if src.rateLimit != nil {
		limit = *src.rateLimit
	}
	return m.limit(ctx, "webhooks:"+src.name+":"+ip, limit,
		"rate_limited", "This source takes no more than %d webhooks a minute from one address.")
}

// limitRefused counts a refused request of this client address; an IPv6 network of 64
// bits is one address. Beyond the limit a flood costs the cache nothing: the address is
// remembered until its minute is over.
func (m *Module) limitRefused(ctx context.Context, ip string) error {
	const reason, message = "failure_limited", "More than %d requests of this address were refused within a minute."
	address, now := httpapi.Network(ip), m.d.Now()
	if wait := m.beyond.wait(address, now); wait > 0 {
		return fault.RateLimited.New(reason, message, m.cfg.FailureLimitPerMinute).After(wait)
	}
	err := m.limit(ctx, "refused:"+address, m.cfg.FailureLimitPerMinute, reason, message)
	if f := fault.As(err); f != nil {
		m.beyond.add(address, now, f.RetryAfter)
	}
	return err
}

// limit counts one more of key and answers fault.RateLimited beyond limit. Without the
// cache nothing is limited: losing an event is worse.
func (m *Module) limit(ctx context.Context, key string, limit int, reason, message string) error {
	if limit <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limitPatience)
	defer cancel()
	counted, err := m.d.Cache.Count(ctx, []cache.Count{{Key: key, Window: limitWindow}})
	if err != nil || len(counted) != 1 || counted[0].N <= int64(limit) {
		return nil //nolint:nilerr // a limit that cannot be counted is no limit
	}
	return fault.RateLimited.New(reason, message, limit).After(counted[0].Reset)
}

// maxBeyond bounds the addresses that are remembered; others are counted each time.
const maxBeyond = 10_000

// beyond remembers which client addresses have used up their refusals, and until when.
type beyond struct {
	mu    sync.Mutex
	until map[string]time.Time
	swept time.Time // when it was last looked for those whose time is over
}

// wait is how long the address has to wait, 0 when nothing is known of it.
func (b *beyond) wait(address string, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	until, known := b.until[address]
	if known && !until.After(now) {
		delete(b.until, address)
	}
	return max(until.Sub(now), 0)
}

func (b *beyond) add(address string, now time.Time, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.until) >= maxBeyond && now.Sub(b.swept) >= time.Second {
		b.swept = now
		maps.DeleteFunc(b.until, func(_ string, until time.Time) bool { return !until.After(now) })
	}
	if b.until == nil {
		b.until = map[string]time.Time{}
	}
	if len(b.until) < maxBeyond {
		b.until[address] = now.Add(wait)
	}
}
