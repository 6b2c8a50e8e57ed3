package app

import (
	"time"

	"integration-gateway/modules/figures"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/metrics"
)

// observer is what ingestion and delivery report to, by one call each: the metrics of the
// process, and the figures of the installation.
type observer struct {
	*metrics.Metrics
	figures *figures.Module
	now     clock.Now
}

// Received counts an answered webhook.
func (o observer) Received(source, outcome string, began time.Time, took time.Duration) {
	o.Metrics.Received(source, outcome, began, took)
	o.figures.Received(source, outcome, began, took)
}

// Refused counts a refused webhook by its reason.
func (o observer) Refused(source, reason string) {
	o.Metrics.Refused(source, reason)
	o.figures.Refused(source, reason, o.now())
}

// Attempted counts a recorded attempt.
func (o observer) Attempted(a contract.CountedAttempt) {
	o.Metrics.Attempted(a)
	o.figures.Attempted(a)
}
