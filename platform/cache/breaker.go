package cache

import (
	"log/slog"
	"sync"
	"time"

	"integration-gateway/platform/clock"
)

// breaker remembers an outage, so that a hanging server does not cost every request its
// deadline: one call per pause tests whether the outage is over.
type breaker struct {
	now   clock.Now
	pause time.Duration
	log   *slog.Logger

	mu        sync.Mutex
	since     time.Time // of the outage; zero while there is none
	next      time.Time // time of the next trial call
	slowCalls int       // consecutive calls whose callers gave up
}

// slowInRow is the number of consecutive callers that must give up before it counts as an
// outage. A single one may be due to a busy machine, and rate limits are not enforced
// during an outage.
const slowInRow = 3

// allow reports whether a call may be tried. The caller must then call worked or failed.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.since.IsZero() {
		return true
	}
	now := b.now()
	if now.Before(b.next) {
		return false
	}
	b.next = now.Add(b.pause) // the others wait for this result
	return true
}

func (b *breaker) failed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.next = now.Add(b.pause)
	if b.since.IsZero() {
		b.since = now
		b.log.Warn("redis is not responding; continuing without it", "error", err)
	}
}

// slow records a call whose caller gave up before the server's timeout.
func (b *breaker) slow(err error) {
	b.mu.Lock()
	b.slowCalls++
	outage := b.slowCalls >= slowInRow
	b.mu.Unlock()
	if outage {
		b.failed(err)
	}
}

func (b *breaker) worked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slowCalls = 0
	if b.since.IsZero() {
		return
	}
	b.log.Info("redis is responding again", "outage_ms", b.now.Since(b.since).Milliseconds())
	b.since = time.Time{}
}
