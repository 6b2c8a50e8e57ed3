package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The outcomes of a webhook.
var outcomes = []string{"accepted", "duplicate", "handshake", "refused", "failed"}

// ofSource holds the metrics of one source.
type ofSource struct {
	outcomes      map[string]prometheus.Counter
	lastAccepted  func() prometheus.Gauge // made with the first webhook: a time has no zero
	newest, older func() prometheus.Gauge
	dropped       prometheus.Counter
}

// unknownSource is the source of webhooks whose source does not exist.
const unknownSource = "(unknown)"

type refusal struct{ source, reason string }

func (m *Metrics) newIngestion() {
	received, dropped := m.counter("gateway_webhooks_received_total"), m.counter("gateway_quarantine_dropped_total")
	last, matched := m.gauge("gateway_webhook_last_accepted_timestamp_seconds"), m.gauge("gateway_secret_last_matched_timestamp_seconds")
	m.received = newSeries(maxSources+2, folded, func(source string) *ofSource {
		of := &ofSource{outcomes: map[string]prometheus.Counter{}, dropped: dropped.WithLabelValues(source),
			lastAccepted: lazily(func() prometheus.Gauge { return last.WithLabelValues(source) }),
			newest:       lazily(func() prometheus.Gauge { return matched.WithLabelValues(source, "newest") }),
			older:        lazily(func() prometheus.Gauge { return matched.WithLabelValues(source, "older") })}
		for _, o := range outcomes {
			of.outcomes[o] = received.WithLabelValues(source, o)
		}
		return of
	})
	m.ofSource(unknownSource)
	refused := m.counter("gateway_webhooks_refused_total")
	m.refused = newSeries(maxRefusals, func(r refusal) refusal { return refusal{r.source, other} },
		func(r refusal) prometheus.Counter { return refused.WithLabelValues(r.source, r.reason) })
	durations := m.histogram("gateway_webhook_ingest_duration_seconds", manyBuckets)
	m.ingest = map[string]prometheus.Observer{}
	for _, o := range outcomes {
		m.ingest[o] = durations.WithLabelValues(o)
	}
	m.commitSeconds = m.histogram("gateway_store_commit_duration_seconds", manyBuckets).WithLabelValues()
	m.commitSize = m.histogram("gateway_store_commit_webhooks", sizeBuckets).WithLabelValues()
}

// spoolOutcomes are what can become of a webhook with the spool.
var spoolOutcomes = []string{"spooled", "refused", "stored", "repeated", "parked"}

func (m *Metrics) newSpool() {
	webhooks, bytes := m.counter("gateway_spool_webhooks_total"), m.counter("gateway_spool_bytes_total")
	m.spooled, m.spooledBytes = map[string]prometheus.Counter{}, map[string]prometheus.Counter{}
	for _, o := range spoolOutcomes {
		m.spooled[o], m.spooledBytes[o] = webhooks.WithLabelValues(o), bytes.WithLabelValues(o)
	}
}

// Spooled counts webhooks that could not be stored, by what became of them, and their bytes.
func (m *Metrics) Spooled(outcome string, webhooks, bytes int) {
	m.spooled[outcome].Add(float64(webhooks))
	m.spooledBytes[outcome].Add(float64(bytes))
}

func folded(string) string { return other }

// ofSource returns the metrics of a source.
func (m *Metrics) ofSource(source string) *ofSource { return m.received.get(m.sourceLabel(source)) }

func (m *Metrics) sourceLabel(source string) string {
	if source == unknownSource {
		return source
	}
	return m.sources.bounded(source)
}

// Received counts an answered webhook that began at began. traceID is that of its event, "" if
// it is not traced.
func (m *Metrics) Received(source, outcome string, began time.Time, took time.Duration, traceID string) {
	of := m.ofSource(source)
	of.outcomes[outcome].Inc()
	observe(m.ingest[outcome], took, traceID)
	if outcome == "accepted" {
		of.lastAccepted().Set(seconds(began))
	}
}

// Refused counts a refused webhook.
func (m *Metrics) Refused(source, reason string) {
	m.refused.get(refusal{m.sourceLabel(source), reason}).Inc()
}

// SecretMatched records that a secret verified a webhook: the source's newest, or an older
// one.
func (m *Metrics) SecretMatched(source string, newest bool, at time.Time) {
	of := m.ofSource(source)
	if newest {
		of.newest().Set(seconds(at))
	} else {
		of.older().Set(seconds(at))
	}
}

// Committed counts a commit of webhooks. traceID is that of one of their events, "" if none is
// traced.
func (m *Metrics) Committed(webhooks int, took time.Duration, traceID string) {
	observe(m.commitSeconds, took, traceID)
	m.commitSize.Observe(float64(webhooks))
}

// Dropped counts refused requests that are not in quarantine.
func (m *Metrics) Dropped(source string, requests int64) {
	m.ofSource(source).dropped.Add(float64(requests))
}
