package ingestion

import (
	"context"
	"strings"
	"sync"
	"time"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// Quarantine bounds what is kept of requests to a known source that failed verification
// or could not be normalized.
type Quarantine struct {
	Retention      time.Duration // how long; 0 keeps none
	PerSource      int           // requests; the oldest go first
	BytesPerSource int64         // of their bodies
}

// Quarantined is a refused request as it is listed.
type Quarantined struct {
	ID            string     `db:"id" json:"id"`
	Source        string     `db:"source" json:"source"`
	IntegrationID string     `db:"integration_id" json:"integrationId"`
	Provider      string     `db:"provider" json:"provider"`
	Reason        string     `db:"reason" json:"reason"` // stable, such as no_match
	Detail        string     `db:"detail" json:"detail"` // a sentence for the operator
	SourceIP      string     `db:"source_ip" json:"sourceIp"`
	CorrelationID string     `db:"correlation_id" json:"correlationId"`
	Size          int64      `db:"size" json:"size"`         // of the body as it came
	Redacted      bool       `db:"redacted" json:"redacted"` // the body was not kept
	ReceivedAt    clock.Time `db:"received_at" json:"receivedAt"`
}

// quarantined is a refused request with all that is kept of it.
type quarantined struct {
	Quarantined
	Method  string `db:"method"`
	URL     string `db:"url"`
	Headers string `db:"request_headers"` // as storedHeaders gives them
	Digests string `db:"header_digests"`  // as headerDigests gives them
	Body    []byte `db:"raw_body"`
}

// keep puts a refused request into quarantine, where its kind is wanted and there is room,
// and gives err back. It does no I/O and never waits.
func (m *Module) keep(ctx context.Context, src *source, req provider.Request, ip string, err error) error {
	f := fault.As(err)
	if f == nil || f.Kind != fault.Unauthorized && f.Kind != fault.Invalid && f.Reason != redactionBroken {
		return err
	}
	if !m.cell.admits(src.name, len(req.Body), req.ReceivedAt) {
		return err
	}
	q := quarantined{
		Quarantined: Quarantined{
			ID: id.New(), Source: src.name, IntegrationID: src.integrationID, Provider: src.spec.Name, SourceIP: ip,
			CorrelationID: correlation(ctx), Size: int64(len(req.Body)), ReceivedAt: clock.At(req.ReceivedAt),
		},
		Method: req.Method, URL: keptURL(src.spec, req.URL), Body: req.Body,
		Headers: string(storedHeaders(req.Header, src)), Digests: string(headerDigests(req.Header, src, m.d.Sealer.Digest)),
	}
	if !src.redaction.None() {
		q.withoutBody(src, req)
	}
	q.Reason, q.Detail = why(f)
	m.cell.add(q)
	return err
}

// withoutBody leaves out what may hold what the integration redacts. Where that stands in a
// body that nobody has verified, or read, cannot be told.
func (q *quarantined) withoutBody(src *source, req provider.Request) {
	q.Redacted, q.Body, q.Digests = true, []byte{}, "{}"
	q.URL, _, _ = strings.Cut(q.URL, "?")
	clean, _ := src.redaction.Of(req)
	q.Headers = string(redactedHeaders(req.Header, src, clean))
}

// why is a refusal's reason and what an operator is told of it.
func why(f *fault.Error) (reason, detail string) {
	return f.Reason, strings.TrimSuffix(provider.Clean(f.Detail()), ".")
}

// The bounds of what waits in memory. A flood of refused requests fills neither the
// memory nor the table, and costs the database little.
const (
	maxWaiting      = 256
	maxWaitingBytes = 32 << 20
	maxPerMinute    = 60 // of one source; the rest of its minute is only counted

	purgeEvery = time.Minute
)

// cell is where refused requests wait to be written.
type cell struct {
	cfg Quarantine

	mu      sync.Mutex
	waiting []quarantined
	bytes   int
	minute  int64
	kept    map[string]int // of this minute, by source
	dropped int
	purged  time.Time // when old ones were last looked for
}

func newCell(cfg Quarantine) *cell { return &cell{cfg: cfg, kept: map[string]int{}} }

// admits reports whether there is room for one more, and takes it. What there is no room
// for is counted.
func (c *cell) admits(source string, size int, at time.Time) bool {
	if c.cfg.Retention == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if minute := at.Unix() / 60; minute != c.minute {
		c.minute = minute
		clear(c.kept)
	}
	if c.kept[source] >= maxPerMinute || int64(size) > c.cfg.BytesPerSource || !c.fits(size) {
		c.dropped++
		return false
	}
	c.kept[source]++
	return true
}

func (c *cell) fits(size int) bool {
	return len(c.waiting) < maxWaiting && c.bytes+size <= maxWaitingBytes
}

func (c *cell) add(q quarantined) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fits(len(q.Body)) { // others were faster
		c.dropped++
		return
	}
	c.waiting = append(c.waiting, q)
	c.bytes += len(q.Body)
}

// take gives what waits.
func (c *cell) take() []quarantined {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.waiting
	c.waiting, c.bytes = nil, 0
	return taken
}

// giveBack keeps what could not be written, as far as there is room.
func (c *cell) giveBack(taken []quarantined) {
	for _, q := range taken {
		c.add(q)
	}
}

// lost gives the number of requests for which there was no room since it was last asked.
func (c *cell) lost() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.dropped
	c.dropped = 0
	return n
}

// purgeDue reports whether it is time to look for old ones again, once.
func (c *cell) purgeDue(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.purged) < purgeEvery {
		return false
	}
	c.purged = now
	return true
}

func (c *cell) drop(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped += n
}
