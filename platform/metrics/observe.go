package metrics

import (
	"database/sql"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"integration-gateway/platform/contract"
)

// Sources are where a scrape reads the state of the process: memory alone.
type Sources struct {
	BodyBytes    func() int64                  // of requests
	Pools        func() map[string]sql.DBStats // of database connections
	DBErrors     func() map[string]int64       // since the start, by kind
	Connections  func() map[string]bool        // to the broker, by role
	Blocked      func() bool                   // whether the broker accepts no messages
	Certificates func() map[string]time.Time   // when the listeners' certificates expire
	Spool        func() contract.SpoolGauges   // what waits at the broker
	Away         func() bool                   // whether the database is away
	ClockAhead   func() time.Duration          // of the database's clock, at the last heartbeat
}

// Observe registers the sources.
func (m *Metrics) Observe(s Sources) { m.registry.MustRegister(processCollector{s}) }

type processCollector struct{ Sources }

// processNames are the metrics that processCollector shows.
var processNames = []string{"gateway_inflight_body_bytes", "gateway_db_pool_max_connections", "gateway_db_pool_open_connections",
	"gateway_db_pool_in_use_connections", "gateway_db_pool_waits_total", "gateway_db_pool_wait_seconds_total", "gateway_db_errors_total",
	"gateway_broker_connected", "gateway_broker_blocked", "gateway_tls_certificate_expiry_timestamp_seconds",
	"gateway_spool_webhooks", "gateway_spool_oldest_age_seconds", "gateway_database_away", "gateway_clock_ahead_seconds"}

// Describe describes its metrics.
func (c processCollector) Describe(to chan<- *prometheus.Desc) {
	for _, name := range processNames {
		to <- definition(name).desc()
	}
}

// Collect shows the state of the process.
func (c processCollector) Collect(to chan<- prometheus.Metric) {
	show := func(name string, value float64, labels ...string) {
		d, kind := definition(name), prometheus.GaugeValue
		if d.Type == "counter" {
			kind = prometheus.CounterValue
		}
		to <- prometheus.MustNewConstMetric(d.desc(), kind, value, labels...)
	}
	show("gateway_inflight_body_bytes", float64(c.BodyBytes()))
	for pool, s := range c.Pools() {
		show("gateway_db_pool_max_connections", float64(s.MaxOpenConnections), pool)
		show("gateway_db_pool_open_connections", float64(s.OpenConnections), pool)
		show("gateway_db_pool_in_use_connections", float64(s.InUse), pool)
		show("gateway_db_pool_waits_total", float64(s.WaitCount), pool)
		show("gateway_db_pool_wait_seconds_total", s.WaitDuration.Seconds(), pool)
	}
	for kind, n := range c.DBErrors() {
		show("gateway_db_errors_total", float64(n), kind)
	}
	for role, up := range c.Connections() {
		show("gateway_broker_connected", number(up), role)
	}
	show("gateway_broker_blocked", number(c.Blocked()))
	waiting := c.Spool()
	show("gateway_spool_webhooks", float64(waiting.Waiting), "waiting")
	show("gateway_spool_webhooks", float64(waiting.Parked), "parked")
	show("gateway_spool_oldest_age_seconds", waiting.Oldest)
	show("gateway_database_away", number(c.Away()))
	show("gateway_clock_ahead_seconds", c.ClockAhead().Seconds())
	for use, at := range c.Certificates() {
		show("gateway_tls_certificate_expiry_timestamp_seconds", seconds(at), use)
	}
}
