package app

import (
	"time"

	"integration-gateway/modules/delivery"
	"integration-gateway/modules/figures"
	"integration-gateway/modules/ingestion"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
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

// observed returns what is reported to. Without a listener for metrics nothing is counted for
// them.
func observed(cfg config.Config, counted *metrics.Metrics, statistics *figures.Module, now clock.Now) reporting {
	if !showsMetrics(cfg) {
		return uncounted{statistics, now}
	}
	return observer{counted, statistics, now}
}

// countRequests counts answered requests, if anybody can ask for the metrics.
func countRequests(cfg config.Config, counted *metrics.Metrics) func(route, method string, code int, took time.Duration, traceID string) {
	if !showsMetrics(cfg) {
		return nil
	}
	return counted.Request
}

func showsMetrics(cfg config.Config) bool { return cfg.MetricsAddr != "" || cfg.MetricsInAPI }

// reporting is what ingestion and delivery report to.
type reporting interface {
	ingestion.Metrics
	delivery.Metrics
}

// uncounted reports to the figures alone.
type uncounted struct {
	figures *figures.Module
	now     clock.Now
}

func (u uncounted) Received(source, outcome string, began time.Time, took time.Duration, _ string) {
	u.figures.Received(source, outcome, began, took)
}
func (u uncounted) Refused(source, reason string)       { u.figures.Refused(source, reason, u.now()) }
func (u uncounted) Attempted(a contract.CountedAttempt) { u.figures.Attempted(a) }
func (uncounted) SecretMatched(string, bool, time.Time) {}
func (uncounted) Committed(int, time.Duration, string)  {}
func (uncounted) Dropped(string, int64)                 {}
func (uncounted) LeasesExpired(int)                     {}
func (uncounted) Republished(string, int)               {}
func (uncounted) Confirmed(time.Duration)               {}

// Received counts an answered webhook.
func (o observer) Received(source, outcome string, began time.Time, took time.Duration, traceID string) {
	o.Metrics.Received(source, outcome, began, took, traceID)
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
