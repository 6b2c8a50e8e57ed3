package ingestion

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

const (
	limitWindow = time.Minute
	// limitTimeout bounds the wait for the count; then the request passes.
	limitTimeout = 250 * time.Millisecond
)

// limitVerified counts a verified request of this source and client address. Only verified
// requests count, so that nobody else can use up a provider's limit.
func (m *Module) limitVerified(ctx context.Context, src *source, ip string) error {
	limit := m.cfg.RateLimitPerMinute
	if src.RateLimit != nil {
		limit = *src.RateLimit
	}
	return m.limit(ctx, "webhooks:"+src.Name+":"+ip, limit,
		"rate_limited", "This source takes no more than %d webhooks a minute from one address.")
}

// limitRefused counts a refused request of this client address; an IPv6 /64 network is one
// address. Once over the limit, the address is blocked until its minute ends, so that a
// flood does not load the cache.
func (m *Module) limitRefused(ctx context.Context, ip string) error {
	address, now := httpapi.Network(ip), m.d.Now()
	if wait := m.blocked.wait(address, now); wait > 0 {
		return m.failureLimited(wait)
	}
	err := m.limit(ctx, "refused:"+address, m.cfg.FailureLimitPerMinute, failureLimitReason, failureLimitText)
	if f := fault.As(err); f != nil {
		m.blocked.add(address, now, f.RetryAfter)
	}
	return err
}

const (
	failureLimitReason = "failure_limited"
	failureLimitText   = "More than %d requests from this address were refused within a minute."
)

func (m *Module) failureLimited(wait time.Duration) error {
	return fault.RateLimited.New(failureLimitReason, failureLimitText, m.cfg.FailureLimitPerMinute).After(wait)
}

// limit increments key and returns fault.RateLimited over the limit. Without the cache
// nothing is limited: losing an event is worse.
func (m *Module) limit(ctx context.Context, key string, limit int, reason, message string) error {
	if limit <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limitTimeout)
	defer cancel()
	counted, err := m.d.Cache.Count(ctx, []cache.Count{{Key: key, Window: limitWindow}})
	if err != nil || len(counted) != 1 || counted[0].N <= int64(limit) {
		return nil //nolint:nilerr // without a count nothing is limited
	}
	return fault.RateLimited.New(reason, message, limit).After(counted[0].Reset)
}

// maxBlocked bounds the remembered addresses; others are counted in the cache each time.
const maxBlocked = 10_000

// maxUnpacked is how many bytes of large bodies are decompressed per minute for a blocked
// address. Bodies of verified requests do not count.
const maxUnpacked = 16 << 20

// blockedClients remembers the client addresses with too many refused requests, until when
// they are blocked, and how many bytes were decompressed for them since.
type blockedClients struct {
	mu    sync.Mutex
	until map[string]blockedClient
	swept time.Time // when expired entries were last removed
}

type blockedClient struct {
	until    time.Time
	unpacked int64
}

// wait returns how long the address is blocked; 0 if it is not.
func (b *blockedClients) wait(address string, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, known := b.until[address]
	if known && !u.until.After(now) {
		delete(b.until, address)
	}
	return max(u.until.Sub(now), 0)
}

// unpackWait returns how long no further body is decompressed for the address.
func (b *blockedClients) unpackWait(address string, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u := b.until[address]; u.unpacked >= maxUnpacked {
		return max(u.until.Sub(now), 0)
	}
	return 0
}

// charge adds decompressed bytes to a blocked address and returns the charge.
func (b *blockedClients) charge(address string, bytes int64, now time.Time) (charged int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, known := b.until[address]
	if !known || !u.until.After(now) {
		return 0
	}
	u.unpacked += bytes
	b.until[address] = u
	return bytes
}

// refund reverses a charge: the request was verified.
func (b *blockedClients) refund(address string, charged int64) {
	if charged == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if u, known := b.until[address]; known {
		u.unpacked = max(u.unpacked-charged, 0)
		b.until[address] = u
	}
}

func (b *blockedClients) add(address string, now time.Time, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.until) >= maxBlocked && now.Sub(b.swept) >= time.Second {
		b.swept = now
		maps.DeleteFunc(b.until, func(_ string, u blockedClient) bool { return !u.until.After(now) })
	}
	if b.until == nil {
		b.until = map[string]blockedClient{}
	}
	if len(b.until) < maxBlocked {
		b.until[address] = blockedClient{until: now.Add(wait)}
	}
}

// shares counts the use of a bounded resource by client network. Once half of it is used, a
// network may use a quarter in all, and no more than it leaves to the others, so that a few
// clients cannot take everything.
type shares struct {
	taken map[string]int64 // by source; "" for a resource that all sources share
	own   map[holder]int64
}

type holder struct{ of, network string }

func newShares() *shares { return &shares{taken: map[string]int64{}, own: map[holder]int64{}} }

// fit reports whether n more are within the total and within the network's share.
func (s *shares) fit(h holder, n, total int64) bool {
	taken, own := s.taken[h.of], s.own[h]
	if own >= total {
		return false
	}
	return taken+n <= total/2 || own+n <= min(total/4, (total-taken+own+1)/2)
}

func (s *shares) take(h holder, n int64) {
	s.taken[h.of] += n
	s.own[h] += n
}

// exhaust uses up the network's share, which has no room for what it wanted. The others keep
// what is left.
func (s *shares) exhaust(h holder, total int64) { s.own[h] = total }

func (s *shares) clear() {
	clear(s.taken)
	clear(s.own)
}

// refused audits err if it is the sender's fault. A client with too many refused requests
// is told to wait instead. Refused requests never limit verified ones.
func (m *Module) refused(c echo.Context, name string, err error) error {
	return m.refusedAs(c, name, err, false)
}

// refusedAs is refused for a request that may be verified: that is no attack, and does not count.
func (m *Module) refusedAs(c echo.Context, name string, err error, verified bool) error {
	if outcomeOf(err) == "failed" {
		return err
	}
	f := fault.As(err)
	m.d.Metrics.Refused(name, f.Reason)
	m.d.Audit.Refused(contract.Refusal{
		Action: "webhook.rejected", EntityType: contract.EntityWebhookEvent, Source: name, Reason: f.Reason,
	})
	if f.Kind == fault.RateLimited || verified {
		return err
	}
	if limited := m.limitRefused(c.Request().Context(), httpapi.ClientIP(c)); limited != nil {
		return limited
	}
	return err
}
