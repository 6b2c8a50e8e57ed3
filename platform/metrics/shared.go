package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"integration-gateway/platform/contract"
)

// staleAfter is how long gauges are shown after they were measured. Prometheus then drops
// them, instead of showing the state of long ago.
const staleAfter = 30 * time.Second

// Measured replaces the gauges of the records. The counters of sources and destinations that
// it names start at 0, so that the first webhook is an increase.
func (m *Metrics) Measured(g contract.Gauges) {
	m.gauges.Store(&g)
	for _, source := range g.Sources {
		m.ofSource(source)
	}
	for destination := range g.Breakers {
		m.attempted.get(m.destinations.bounded(destination))
	}
}

// sharedCollector shows the last measured gauges.
type sharedCollector struct{ m *Metrics }

// Describe describes every shared metric.
func (c sharedCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range sharedDefinitions() {
		to <- d.desc()
	}
}

func (d Definition) desc() *prometheus.Desc { return prometheus.NewDesc(d.Name, d.Help, d.Labels, nil) }

// Collect shows them while they are recent.
func (c sharedCollector) Collect(to chan<- prometheus.Metric) {
	g := c.m.gauges.Load()
	if g == nil || c.m.now.Since(g.At) > staleAfter {
		return
	}
	show := func(name string, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(definition(name).desc(), prometheus.GaugeValue, value, labels...)
	}
	show("gateway_gauges_timestamp_seconds", seconds(g.At))
	for state, n := range g.Jobs {
		show(jobs, float64(n), state)
	}
	for queue, age := range g.OldestDue {
		show("gateway_oldest_due_job_age_seconds", age, string(queue))
	}
	show("gateway_outbox_oldest_unpublished_age_seconds", g.Unpublished)
	for kind, n := range g.DeadLetters {
		show(deadLetters, float64(n), kind)
	}
	for source, n := range added(g.Quarantined, c.m.sources) {
		show(quarantined, float64(n), source)
	}
	for destination, state := range highest(g.Breakers, c.m.destinations) {
		show(breakers, float64(state), destination)
	}
	show("gateway_audit_seal_lag_seconds", g.SealLag)
	for table, ahead := range g.Partitions {
		show("gateway_partition_horizon_seconds", ahead, table)
	}
	if g.Check != nil {
		show("gateway_check_problems", float64(g.Check.Problems))
		show("gateway_check_timestamp_seconds", seconds(g.Check.FinishedAt.Time))
	}
}

// added sums the values of names that are beyond the bound.
func added(of map[string]int64, bound *names) map[string]int64 {
	sums := make(map[string]int64, len(of))
	for name, n := range of {
		sums[bound.bounded(name)] += n
	}
	return sums
}

// highest keeps the worst state of names that are beyond the bound.
func highest(of map[string]int, bound *names) map[string]int {
	states := make(map[string]int, len(of))
	for name, state := range of {
		label := bound.bounded(name)
		states[label] = max(states[label], state)
	}
	return states
}
