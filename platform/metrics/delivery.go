package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"integration-gateway/platform/contract"
)

// ofDestination holds the metrics of one destination.
type ofDestination struct {
	label     string
	delivered prometheus.Counter
	duration  prometheus.Observer
	endToEnd  prometheus.Observer
}

type failure struct{ destination, outcome, kind string }

// causes are why jobs are published again.
var causes = []string{"unpublished", "message_lost", "queue_lost"}

func (m *Metrics) newDelivery() {
	attempts := m.counter("gateway_delivery_attempts_total")
	durations := m.histogram("gateway_delivery_attempt_duration_seconds", fewBuckets)
	endToEnd := m.histogram("gateway_delivery_end_to_end_seconds", longBuckets)
	m.attempted = newSeries(maxDestinations+1, folded, func(label string) *ofDestination {
		return &ofDestination{label, attempts.WithLabelValues(label, "delivered", ""), durations.WithLabelValues(label), endToEnd.WithLabelValues(label)}
	})
	m.failures = newSeries(maxFailures, func(f failure) failure { return failure{f.destination, f.outcome, other} },
		func(f failure) prometheus.Counter { return attempts.WithLabelValues(f.destination, f.outcome, f.kind) })
	m.leases = m.counter("gateway_leases_expired_total").WithLabelValues()
	m.sealsLost = m.counter("gateway_audit_seals_lost_total").WithLabelValues()
	republished := m.counter("gateway_jobs_republished_total")
	m.republished = map[string]prometheus.Counter{}
	for _, cause := range causes {
		m.republished[cause] = republished.WithLabelValues(cause)
	}
	m.confirms = m.histogram("gateway_broker_confirm_duration_seconds", manyBuckets).WithLabelValues()
}

// Attempted counts a recorded attempt.
func (m *Metrics) Attempted(a contract.CountedAttempt) {
	of := m.attempted.get(m.destinations.bounded(a.DestinationName))
	observe(of.duration, a.Took, a.TraceID)
	if a.ErrorKind != "" {
		m.failures.get(failure{of.label, a.Outcome, a.ErrorKind}).Inc()
		return
	}
	of.delivered.Inc()
	if a.EndToEnd > 0 {
		observe(of.endToEnd, a.EndToEnd, a.TraceID)
	}
}

// LeasesExpired counts jobs that were taken back from their process.
func (m *Metrics) LeasesExpired(jobs int) { m.leases.Add(float64(jobs)) }

// SealsLost counts that seals of the audit trail were gone.
func (m *Metrics) SealsLost() { m.sealsLost.Inc() }

// Republished counts jobs that are published again, by one of causes.
func (m *Metrics) Republished(cause string, jobs int) {
	m.republished[cause].Add(float64(jobs))
}

// Confirmed records how long the broker took to confirm a group of messages.
func (m *Metrics) Confirmed(took time.Duration) { m.confirms.Observe(took.Seconds()) }

func lazily[T any](make func() T) func() T { return sync.OnceValue(make) }
