package app

import (
	"context"
	"time"

	"integration-gateway/platform/egress"
)

// refusalsEvery is how often refused requests are logged.
const refusalsEvery = time.Minute

// countRefusals logs the number of requests that the HTTP client refused, until ctx ends: a
// destination that is retried repeatedly gives one line a minute.
func (g *system) countRefusals(ctx context.Context, every time.Duration) {
	before := map[egress.Refusal]int64{}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			g.logRefusals(before)
			return
		case <-tick.C:
			before = g.logRefusals(before)
		}
	}
}

func (g *system) logRefusals(before map[egress.Refusal]int64) map[egress.Refusal]int64 {
	now := g.egressClient.Refused()
	for refusal, total := range now {
		if n := total - before[refusal]; n > 0 {
			g.log.Warn("requests to destinations were refused", "refusal", refusal.Reason(), "requests", n, "since_start", total)
		}
	}
	return now
}
