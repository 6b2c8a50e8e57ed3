package ingestion

import (
	"context"
	"time"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/fault"
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

// limitRefused counts a refused request of this client address.
func (m *Module) limitRefused(ctx context.Context, ip string) error {
	return m.limit(ctx, "refused:"+ip, m.cfg.FailureLimitPerMinute,
		"failure_limited", "More than %d requests of this address were refused within a minute.")
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
