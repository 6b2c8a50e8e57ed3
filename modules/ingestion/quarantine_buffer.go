package ingestion

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

// The bounds of the buffer. A flood of refused requests must not fill the memory or the
// table, nor load the database.
const (
	maxWaiting      = 4096
	maxWaitingBytes = 32 << 20
	// rawFactor is how many received bytes a source may have compressed per minute for each
	// byte that it may store: compression costs CPU time.
	rawFactor = 8

	purgeEvery = time.Minute
)

// Why a refused request is not in quarantine.
const (
	dropMinute  = "minute_budget" // the minute's budget of its source, or its network's share, is spent
	dropMemory  = "memory"        // the buffer, or its network's share, is full
	dropTooBig  = "too_large"     // it alone exceeds its source's bound, or half of its minute
	dropSource  = "source_bound"  // it was removed in favour of newer ones
	dropFailure = "not_written"   // the database refused it
)

// drop is the key under which dropped requests are counted.
type drop struct {
	source string
	hour   int64 // seconds since 1970
	cause  string
}

type dropped struct{ requests, bytes int64 }

// quarantineBuffer holds refused requests until they are written.
type quarantineBuffer struct {
	cfg  Quarantine
	seed maphash.Seed

	mu      sync.Mutex
	waiting []quarantined
	index   map[uint64]int // positions in waiting, by key
	held    *shares        // of the waiting requests
	bytes   *shares        // of their memory
	minute  int64
	raw     *shares // of the bytes admitted this minute, by source
	stored  *shares // of the bytes written this minute, by source
	drops   map[drop]dropped

	dropped  func(source string, requests int64) // is told of each
	newDrops int64                               // since takeDropCount
	added    map[string]int                      // requests written since the source was last trimmed
	fresh    map[string]int64                    // bytes of these
	purged   time.Time                           // when expired requests were last purged
}

func newQuarantineBuffer(cfg Quarantine) *quarantineBuffer {
	return &quarantineBuffer{cfg: cfg, seed: maphash.MakeSeed(), index: map[uint64]int{}, held: newShares(), bytes: newShares(),
		raw: newShares(), stored: newShares(), drops: map[drop]dropped{}, dropped: func(string, int64) {}, added: map[string]int{}, fresh: map[string]int64{}}
}

// key identifies a request within the buffer. It is cheap, and senders cannot choose it.
func (b *quarantineBuffer) key(src *source, req provider.Request, reason string) uint64 {
	var h maphash.Hash
	h.SetSeed(b.seed)
	_, _ = h.WriteString(src.Name + "\x00" + reason + "\x00" + proof(src, req) + "\x00")
	_, _ = h.Write(req.Body)
	return h.Sum64()
}

// proof returns the parts of a request besides its body that verify and identify it, so that
// a genuine request is not mistaken for a repeat of a forgery with the same body, or of
// another event.
func proof(src *source, req provider.Request) string {
	var b strings.Builder
	for _, name := range src.Spec.ReadHeaders() {
		b.WriteString(strings.Join(req.Header.Values(name), "\x00") + "\x01")
	}
	if src.Spec.SignsURL || src.Spec.Query != nil || src.Spec.QueryTokens != nil || src.Spec.Segments.Read != nil {
		b.WriteString(req.URL)
	}
	return b.String()
}

// admits reports whether to quarantine a request: there is room, and it is not a repeat of a
// waiting one. Other requests are counted.
func (b *quarantineBuffer) admits(key uint64, of holder, size int, at time.Time) bool {
	if b.cfg.Retention == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n, waits := b.index[key]; waits {
		b.waiting[n].again(at)
		return false
	}
	b.startMinute(at)
	switch {
	case int64(size) > min(rawFactor*b.cfg.largest(), maxWaitingBytes/2):
		b.drop(of.of, dropTooBig, size, at)
	case !b.stored.fit(of, rowCost, b.cfg.BytesPerMinute) || !b.raw.fit(of, int64(size), rawFactor*b.cfg.BytesPerMinute):
		b.drop(of.of, dropMinute, size, at)
	case !b.fits(of.network, size):
		b.drop(of.of, dropMemory, size, at)
	default:
		b.raw.take(of, int64(size))
		return true
	}
	return false
}

// startMinute resets the budgets if a new minute has begun.
func (b *quarantineBuffer) startMinute(at time.Time) {
	if minute := at.Unix() / 60; minute != b.minute {
		b.minute = minute
		b.raw.clear()
		b.stored.clear()
	}
}

func (b *quarantineBuffer) drop(source, cause string, bytes int, at time.Time) {
	key := drop{source, at.Unix() / 3600 * 3600, cause}
	d := b.drops[key]
	b.drops[key] = dropped{d.requests + 1, d.bytes + int64(bytes)}
	b.newDrops++
	b.dropped(source, 1)
}

// cost is the memory that a waiting request takes, in bytes.
func (q quarantined) cost() int {
	return len(q.Body) + len(q.Headers) + len(q.Digests) + len(q.URL) + len(q.Detail)
}

// holder returns the source and client network that a request counts for.
func (q quarantined) holder() holder { return holder{q.Source, httpapi.ClientNetwork(q.SourceIP)} }

func (b *quarantineBuffer) fits(network string, size int) bool {
	own := holder{network: network}
	return b.held.fit(own, 1, maxWaiting) && b.bytes.fit(own, int64(size), maxWaitingBytes)
}

// enqueue adds a request if it fits.
func (b *quarantineBuffer) enqueue(q quarantined) bool {
	own := holder{network: q.holder().network}
	if !b.fits(own.network, q.cost()) {
		b.drop(q.Source, dropMemory, len(q.Body), q.ReceivedAt.Time)
		return false
	}
	b.held.take(own, 1)
	b.bytes.take(own, int64(q.cost()))
	b.waiting = append(b.waiting, q)
	return true
}

func (b *quarantineBuffer) add(key uint64, q quarantined) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n, waits := b.index[key]; waits { // a concurrent request added it first
		b.waiting[n].again(q.ReceivedAt.Time)
	} else if b.enqueue(q) {
		b.index[key] = len(b.waiting) - 1
	}
}

// take removes and returns the waiting requests and the drop counts.
func (b *quarantineBuffer) take() ([]quarantined, map[drop]dropped) {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting, drops := b.waiting, b.drops
	b.waiting, b.drops = nil, map[drop]dropped{}
	clear(b.index)
	b.held.clear()
	b.bytes.clear()
	return waiting, drops
}

// putBack returns requests and counts that could not be written, as far as there is room.
func (b *quarantineBuffer) putBack(waiting []quarantined, drops map[drop]dropped) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, d := range drops {
		has := b.drops[key]
		b.drops[key] = dropped{has.requests + d.requests, has.bytes + d.bytes}
	}
	for _, q := range waiting {
		b.enqueue(q)
	}
}

// notWritten counts requests that the database refused.
func (b *quarantineBuffer) notWritten(waiting []quarantined) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range waiting {
		b.drop(q.Source, dropFailure, len(q.Body), q.ReceivedAt.Time)
	}
}

// spend charges a request's stored bytes to its source's budget of the minute. If the budget,
// or its network's share, is spent, it counts the request as dropped and returns false.
func (b *quarantineBuffer) spend(q quarantined) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, of := q.ReceivedAt.Time, q.holder()
	if b.stored.fit(of, q.stored, b.cfg.BytesPerMinute) && q.stored <= b.cfg.largest() {
		b.stored.take(of, q.stored)
		return true
	}
	cause := dropMinute
	if q.stored > b.cfg.largest() {
		cause = dropTooBig
	}
	b.stored.exhaust(of, b.cfg.BytesPerMinute)
	b.drop(q.Source, cause, int(q.Size), at)
	return false
}

// trimDue records what was written for a source and reports whether to trim it: with every
// purge, and after enough was written. Trimming each time would read the whole source.
func (b *quarantineBuffer) trimDue(source string, requests int, bytes int64, purge bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.added[source] += requests
	b.fresh[source] += bytes
	const part = 50
	if b.added[source] <= b.cfg.PerSource/part && b.fresh[source] <= b.cfg.BytesPerSource/part && !purge {
		return false
	}
	delete(b.added, source)
	delete(b.fresh, source)
	return true
}

// takeDropCount returns the number of requests dropped since the last call.
func (b *quarantineBuffer) takeDropCount() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.newDrops
	b.newDrops = 0
	return n
}

// purgeDue reports whether to purge expired requests now, and restarts the interval.
func (b *quarantineBuffer) purgeDue(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.purged) < purgeEvery {
		return false
	}
	b.purged = now
	return true
}
