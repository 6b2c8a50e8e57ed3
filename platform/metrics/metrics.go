// Package metrics is what Prometheus scrapes: it owns the metrics' names, labels and
// buckets, and bounds the number of series. Modules report to it through interfaces of their
// own and know nothing of Prometheus.
//
// Labels name sources, destinations (by source and number, such as acme/1) and reasons, and
// never an id, a path, an address, an error text or anything that a sender chose. A scrape
// reads memory alone.
package metrics

import (
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// Config describes the process.
type Config struct {
	Version     string
	Fingerprint string // of the settings
}

// Metrics holds the metrics of a process. Its methods may be called from any goroutine and
// never block.
type Metrics struct {
	registry *prometheus.Registry
	now      clock.Now

	sources      *names
	destinations *names

	received      *series[string, *ofSource]
	refused       *series[refusal, prometheus.Counter]
	ingest        map[string]prometheus.Observer
	commitSeconds prometheus.Observer
	commitSize    prometheus.Observer
	spooled       map[string]prometheus.Counter // webhooks, by outcome
	spooledBytes  map[string]prometheus.Counter

	attempted *series[string, *ofDestination]
	failures  *series[failure, prometheus.Counter]

	leases      prometheus.Counter
	sealsLost   prometheus.Counter
	republished map[string]prometheus.Counter
	confirms    prometheus.Observer
	requests    *series[request, prometheus.Observer]

	config       *prometheus.GaugeVec
	dependencies *prometheus.GaugeVec
	cacheUp      prometheus.Gauge
	retention    *prometheus.GaugeVec

	gauges atomic.Pointer[contract.Gauges]
}

// New makes all metrics. Counters whose labels are known start at 0.
func New(cfg Config, now clock.Now) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), now: now, sources: newNames(maxSources), destinations: newNames(maxDestinations)}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), sharedCollector{m})
	m.gauge("gateway_build_info").WithLabelValues(cfg.Version, runtime.Version()).Set(1)
	m.config = m.gauge("gateway_config_info")
	m.Configured(cfg.Fingerprint)
	m.dependencies = m.gauge("gateway_dependency_up")
	m.cacheUp = m.gauge("gateway_cache_up").WithLabelValues()
	m.retention = m.gauge("gateway_retention_last_success_timestamp_seconds")
	m.newIngestion()
	m.newSpool()
	m.newDelivery()
	m.newRequests()
	return m
}

// Configured sets the fingerprint of the settings, which a reload changes.
func (m *Metrics) Configured(fingerprint string) {
	m.config.Reset()
	m.config.WithLabelValues(fingerprint).Set(1)
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
		ErrorHandling: promhttp.ContinueOnError, // one broken metric must not hide the others
	})
}

func (m *Metrics) counter(name string) *prometheus.CounterVec {
	d := definition(name)
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
	m.registry.MustRegister(vec)
	return vec
}

func (m *Metrics) gauge(name string) *prometheus.GaugeVec {
	d := definition(name)
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.Labels)
	m.registry.MustRegister(vec)
	return vec
}

// The classic buckets, in seconds. Histograms of which there is one for each destination or
// route have few: each bucket is a series. Scrapes that ask for native histograms get those
// instead, which need none.
var (
	fewBuckets  = []float64{.01, .05, .1, .5, 1, 5, 15, 60}
	manyBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	sizeBuckets = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}
	// An event may be delivered after hours of retries.
	longBuckets = []float64{.05, .25, 1, 5, 30, 300, 3600, 86400}
)

func (m *Metrics) histogram(name string, buckets []float64) *prometheus.HistogramVec {
	d := definition(name)
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour}, d.Labels)
	m.registry.MustRegister(vec)
	return vec
}

// exemplarLabel names the trace of an exemplar: one of the observations that a bucket counts.
const exemplarLabel = "trace_id"

// observe adds a duration to a histogram, with its trace as an exemplar if there is one.
func observe(to prometheus.Observer, took time.Duration, traceID string) {
	if of, ok := to.(prometheus.ExemplarObserver); ok && traceID != "" {
		of.ObserveWithExemplar(took.Seconds(), prometheus.Labels{exemplarLabel: traceID})
		return
	}
	to.Observe(took.Seconds())
}

// Dependency records the result of a dependency's last check.
func (m *Metrics) Dependency(name string, up bool) {
	m.dependencies.WithLabelValues(name).Set(number(up))
	if name == "redis" {
		m.cacheUp.Set(number(up))
	}
}

// RetentionSucceeded records that this process completed a round of retention.
func (m *Metrics) RetentionSucceeded(at time.Time) {
	m.retention.WithLabelValues().Set(seconds(at))
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }
