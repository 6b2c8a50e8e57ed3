package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// isolation compares the deliveries per second to many destinations while one of them
// hangs, and while none does.
type isolation struct {
	destinations int
	without      []measured // one more turn than with
	with         []measured
}

// measureIsolation alternates turns without and with a hanging destination, under a load
// that is spread evenly over all.
func (b *bench) measureIsolation(ctx context.Context, w workload, destinations int) (isolation, error) {
	r := isolation{destinations: destinations}
	w.setup, w.mode, w.sources = onServers, deliver, destinations
	hole, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // as long as the run lasts
	if err != nil {
		return r, fmt.Errorf("start a hanging destination: %w", err)
	}
	defer func() { _ = hole.Close() }() // only the kernel accepts connections
	b.say("one of %d destinations hangs:", destinations)
	for i := range 2*w.repeats + 1 {
		hangs, list := "none", &r.without
		if w.hangingURL = ""; i%2 == 1 {
			w.hangingURL = "http://" + hole.Addr().String()
			hangs, list = "one", &r.with
		}
		m, err := b.gatewayTurn(ctx, w)
		if err != nil {
			return r, err
		}
		*list = append(*list, m)
		b.say("  %-8s %6.0f/s accepted; to the others: %s", hangs, m.acceptRate, strings.TrimPrefix(m.details(), "; "))
	}
	return r, nil
}

// missing counts the other destinations' webhooks that did not arrive.
func (r isolation) missing() int {
	return result{turns: r.with}.missing() + result{turns: r.without}.missing()
}

func (r isolation) String() string {
	all := result{ceilings: r.without, turns: r.with}
	return fmt.Sprintf("Deliveries to the other %d of %d destinations: %.0f/s while none hangs, %.0f/s while one does; ratio %.2f (turns: %.2f).\n",
		r.destinations-1, r.destinations, median(all.ceilingEach(deliverRate)), median(all.each(deliverRate)),
		median(all.ratios(deliverRate, deliverRate)), all.ratios(deliverRate, deliverRate))
}

// createDestinations creates the sources of a spread load, each with its own destination.
func (b *bench) createDestinations(ctx context.Context, g *gateway, w workload) error {
	var file strings.Builder
	file.WriteString("integrations:\n")
	for n := range w.sources {
		url := fmt.Sprintf("%s/%s", b.receiver.url(), spreadSource(n))
		if n == 0 && w.hangingURL != "" {
			url = w.hangingURL
		}
		fmt.Fprintf(&file, "  - {source: %s, provider: acme, secrets: [env:BENCH_SECRET], destinations: [{url: %q}]}\n", spreadSource(n), url)
	}
	path := filepath.Join(g.dir, "integrations.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		return fmt.Errorf("write the integrations' file: %w", err)
	}
	return runCommand(ctx, b.gateway, g.dir, append(g.env[:len(g.env):len(g.env)], "BENCH_SECRET="+acmeSecret), "integrations", "apply", "-f", path, "--yes")
}

// spreadSource is the name of a source of a spread load.
func spreadSource(n int) string { return fmt.Sprintf("acme-%02d", n) }
