package app

import (
	"context"
	"sync"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/metrics"
)

// newMetrics makes the metrics of a process.
func newMetrics(cfg config.Config) *metrics.Metrics {
	return metrics.New(metrics.Config{Version: cfg.Version, Fingerprint: cfg.Fingerprint}, clock.System)
}

// observe tells the metrics where to read the state of the process.
func (g *system) observe() {
	g.metrics.Observe(metrics.Sources{
		BodyBytes: func() int64 {
			n := g.server.BodyBytes()
			if g.manager != g.server {
				n += g.manager.BodyBytes()
			}
			return n
		},
		Pools:    g.db.Pools,
		DBErrors: g.db.Failures,
		Connections: func() map[string]bool {
			s := g.broker.Status()
			return map[string]bool{"publishing": s.Publishing, "consuming": s.Consuming}
		},
		Blocked:      func() bool { return g.broker.Status().Blocked },
		Certificates: g.usedCertificates,
		Spool:        g.spool.Depth,
		Away:         g.spool.Away,
		ClockAhead:   g.processes.ClockAhead,
	})
}

// metricsListener returns the listener for Prometheus, unless it is turned off.
func (g *system) metricsListener(cfg config.Config) []listener {
	if cfg.MetricsAddr == "" {
		return nil
	}
	server := httpapi.New(httpapi.Config{Addr: cfg.MetricsAddr, MaxConnections: 64}, httpapi.Deps{Log: g.log, Now: clock.System})
	server.Metrics(0, g.metrics.Handler())
	return []listener{{Server: server, name: "metrics", setting: "METRICS_ADDR",
		hint: "; give each process on a machine its own, or set it to the empty string"}}
}

// The intervals of checkDependencies.
const (
	checkEvery   = 5 * time.Second
	checkTimeout = 4 * time.Second
)

// checkDependencies keeps the metrics of the dependencies up to date until ctx ends, so that
// a scrape asks no server.
func (g *system) checkDependencies(ctx context.Context) error {
	for {
		var all sync.WaitGroup
		for name, check := range g.checks() {
			all.Go(func() {
				bounded, cancel := context.WithTimeout(ctx, checkTimeout)
				defer cancel()
				g.metrics.Dependency(name, check(bounded) == nil)
			})
		}
		all.Wait()
		if !clock.Sleep(ctx, checkEvery) {
			return nil
		}
	}
}
