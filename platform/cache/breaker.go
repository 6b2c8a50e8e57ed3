package cache

import (
	"log/slog"
	"sync"
	"time"

	"integration-gateway/platform/clock"
)

// breaker remembers an outage, so that a server which hangs does not cost every
// request its deadline: one call each pause finds out whether it is over.
type breaker struct {
	now   clock.Now
	pause time.Duration
	log   *slog.Logger

	mu    sync.Mutex
	since time.Time // of the outage; zero while there is none
	next  time.Time // when the next call may try
	tried int       // calls in a row whose callers gave up
}

// slowInRow is how many callers in a row must give up before it is an outage. One alone
// may come of a busy machine, and limits per minute are not kept during an outage.
const slowInRow = 3

// allow reports whether a call may try. Whoever may must tell worked or failed.
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
	b.next = now.Add(b.pause) // the others wait for what this one finds
	return true
}

func (b *breaker) failed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.next = now.Add(b.pause)
	if b.since.IsZero() {
		b.since = now
		b.log.Warn("redis does not answer; going on without it", "error", err)
	}
}

// slow notes a call whose caller gave up before the server's time was over.
func (b *breaker) slow(err error) {
	b.mu.Lock()
	b.tried++
	outage := b.tried >= slowInRow
	b.mu.Unlock()
	if outage {
		b.failed(err)
	}
}

func (b *breaker) worked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tried = 0
	if b.since.IsZero() {
		return
	}
	b.log.Info("redis answers again", "outage_ms", b.now.Since(b.since).Milliseconds())
	b.since = time.Time{}
}
