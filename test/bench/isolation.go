package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// isolation is what the other destinations of many receive in a second while one of them
// hangs, and while none does.
type isolation struct {
	among   int
	without []measured // one turn more than with
	with    []measured
}

// measureIsolation takes turns without and with a destination that never answers, under a
// load that is spread evenly over all.
func (b *bench) measureIsolation(ctx context.Context, c cell, among int) (isolation, error) {
	r := isolation{among: among}
	c.setup, c.mode, c.among = onServers, deliver, among
	hole, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // for as long as the run
	if err != nil {
		return r, fmt.Errorf("a destination that never answers: %w", err)
	}
	defer func() { _ = hole.Close() }() // nobody accepts: the kernel does, and that is all
	b.say("one of %d destinations hangs:", among)
	for i := range 2*c.repeats + 1 {
		hangs, list := "none", &r.without
		if c.dead = ""; i%2 == 1 {
			c.dead = "http://" + hole.Addr().String()
			hangs, list = "one", &r.with
		}
		m, err := b.gatewayTurn(ctx, c)
		if err != nil {
			return r, err
		}
		*list = append(*list, m)
		b.say("  %-8s %6.0f/s accepted; to the others: %s", hangs, m.acceptRate, strings.TrimPrefix(m.rest(), "; "))
	}
	return r, nil
}

// missing counts the others' webhooks that did not arrive.
func (r isolation) missing() int {
	return result{turns: r.with}.missing() + result{turns: r.without}.missing()
}

func (r isolation) String() string {
	all := result{ceilings: r.without, turns: r.with}
	return fmt.Sprintf("Deliveries to the other %d of %d destinations: %.0f/s while none hangs, %.0f/s while one does; ratio %.2f (turns: %.2f).\n",
		r.among-1, r.among, median(all.ceilingEach(deliverRate)), median(all.each(deliverRate)),
		median(all.ratios(deliverRate, deliverRate)), all.ratios(deliverRate, deliverRate))
}

// neighbourhood sets up the sources of a spread load, each with a destination of its own.
func (b *bench) neighbourhood(ctx context.Context, g *gateway, c cell) error {
	var file strings.Builder
	file.WriteString("integrations:\n")
	for n := range c.among {
		url := fmt.Sprintf("%s/%s", b.receiver.url(), spreadSource(n))
		if n == 0 && c.dead != "" {
			url = c.dead
		}
		fmt.Fprintf(&file, "  - {source: %s, provider: acme, secrets: [env:BENCH_SECRET], destinations: [{url: %q}]}\n", spreadSource(n), url)
	}
	path := filepath.Join(g.dir, "integrations.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		return fmt.Errorf("the integrations' file: %w", err)
	}
	return once(ctx, b.gateway, g.dir, append(g.env[:len(g.env):len(g.env)], "BENCH_SECRET="+acmeSecret), "integrations", "apply", "-f", path, "--yes")
}

// spreadSource is the name of a source of a spread load.
func spreadSource(n int) string { return fmt.Sprintf("acme-%02d", n) }
