package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"integration-gateway/platform/clock"
	"integration-gateway/test/rig"
)

// bench is one run.
type bench struct {
	root, scratch    string
	gateway, ceiling string // binaries
	profile          string
	out              io.Writer
	servers          *rig.Servers // nil when no cell needs them
	receiver         *receiver
	port             int // the last that was given out
	turn, marks      int
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	b := &bench{out: out}
	defer func() {
		if gone := b.remove(err); err == nil {
			err = gone
		}
	}()
	if err := b.prepare(ctx, o); err != nil {
		return err
	}
	began := clock.System()
	if o.backlog > 0 {
		r, err := b.measureBacklog(ctx, o.cell, o.backlog)
		if err == nil {
			fmt.Fprint(out, "\n", b.machine(ctx, began), "\n", r)
		}
		return err
	}
	if o.isolation > 0 {
		r, err := b.measureIsolation(ctx, o.cell, o.isolation)
		if err == nil {
			fmt.Fprint(out, "\n", b.machine(ctx, began), "\n", r)
		}
		if n := r.missing(); err == nil && n > 0 {
			err = fmt.Errorf("%d webhooks were accepted and did not arrive", n)
		}
		return err
	}
	if o.stored > 0 {
		list, err := b.measureStored(ctx, o.cell, o.stored)
		if err == nil {
			fmt.Fprint(out, "\n", b.machine(ctx, began), "\n", scales(list))
		}
		return err
	}
	if o.flood > 0 {
		r, err := b.measureFlood(ctx, o.cell, o.flood)
		if err == nil {
			fmt.Fprint(out, "\n", b.machine(ctx, began), "\n", r)
			err = r.fails()
		}
		return err
	}
	results, err := b.cells(ctx, o)
	if err != nil {
		return err
	}
	text := b.machine(ctx, began) + "\n" + tables(results)
	fmt.Fprint(out, "\n", text)
	missing := 0
	for _, r := range results {
		missing += r.missing()
	}
	if missing > 0 {
		return fmt.Errorf("%d webhooks were accepted and did not arrive", missing)
	}
	if o.write {
		return write(filepath.Join(b.root, "docs", "performance.md"), text)
	}
	return nil
}

func (b *bench) prepare(ctx context.Context, o options) (err error) {
	if b.root, err = rig.Repository(); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp(o.scratchDir, "gateway-bench-"); err != nil {
		return fmt.Errorf("a folder to work in: %w", err)
	}
	if err := os.Chmod(b.scratch, 0o711); err != nil { //nolint:gosec // PostgreSQL runs as another user below it
		return fmt.Errorf("open the folder to the servers: %w", err)
	}
	if o.profile != "" {
		if b.profile, err = filepath.Abs(o.profile); err == nil {
			err = os.MkdirAll(b.profile, 0o750)
		}
		if err != nil {
			return fmt.Errorf("the profiles' folder: %w", err)
		}
	}
	b.say("building …")
	b.gateway, b.ceiling = filepath.Join(b.scratch, "gateway"), filepath.Join(b.scratch, "ceiling.bin")
	for binary, source := range map[string]string{b.gateway: ".", b.ceiling: "./test/bench/ceiling"} {
		if err := once(ctx, "go", b.root, os.Environ(), "build", "-o", binary, source); err != nil {
			return err
		}
	}
	if b.receiver, err = newReceiver(); err != nil {
		return err
	}
	if o.full || o.setup == onServers {
		b.say("starting PostgreSQL, RabbitMQ and Redis …")
		if b.servers, err = rig.StartServers(ctx, b.root, filepath.Join(b.scratch, "services"), true); err == nil && b.profile != "" {
			err = b.observe(ctx)
		}
	}
	return err
}

// remove leaves nothing behind, save the logs of a run that failed.
func (b *bench) remove(failed error) error {
	var errs []error
	if b.receiver != nil {
		b.receiver.close()
	}
	if b.servers != nil {
		errs = append(errs, b.servers.Down())
	}
	if failed != nil {
		b.say("logs and data: %s", b.scratch)
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, os.RemoveAll(b.scratch))...)
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// cells runs what was asked for: for a full run each setup as fast as it goes, and then
// at a quarter of that.
func (b *bench) cells(ctx context.Context, o options) ([]result, error) {
	if !o.full {
		r, err := b.measure(ctx, o.cell)
		return []result{r}, err
	}
	var results []result
	for _, at := range []struct{ setup, mode string }{{onServers, accept}, {onServers, deliver}, {embedded, deliver}} {
		c := o.cell
		c.setup, c.mode = at.setup, at.mode
		fast, err := b.measure(ctx, c)
		if err != nil {
			return results, err
		}
		results = append(results, fast)
		if c.mode == accept {
			continue
		}
		c.loop, c.rate = open, max(1, int(median(fast.each(deliverRate))/4))
		slow, err := b.measure(ctx, c)
		if err != nil {
			return results, err
		}
		results = append(results, slow)
	}
	return results, nil
}

// measure runs a cell: ceiling, gateway, ceiling, gateway …, ceiling.
func (b *bench) measure(ctx context.Context, c cell) (result, error) {
	r := result{cell: c}
	b.say("%s:", c.name())
	for i := range c.repeats + 1 {
		m, err := b.ceilingTurn(ctx, c)
		if err != nil {
			return r, fmt.Errorf("a turn of the ceiling: %w", err)
		}
		r.ceilings = append(r.ceilings, m)
		b.say("  ceiling  %6.0f/s, p99 %s", m.acceptRate, millis(m.acceptance.p99))
		if i == c.repeats {
			break
		}
		if m, err = b.gatewayTurn(ctx, c); err != nil {
			return r, fmt.Errorf("%s: %w", c.name(), err)
		}
		r.turns = append(r.turns, m)
		b.say("  gateway  %6.0f/s accepted, p99 %s%s", m.acceptRate, millis(m.acceptance.p99), m.rest())
	}
	return r, nil
}

// rest is what a turn's line says besides.
func (m measured) rest() string {
	var list []string
	if m.deliverRate > 0 {
		list = append(list, fmt.Sprintf("%.0f/s delivered, p99 %s", m.deliverRate, millis(m.delivery.p99)))
	}
	if m.published > 0 {
		list = append(list, fmt.Sprintf("all published %s ms after the end", millis(m.published)))
	}
	if m.missing > 0 {
		list = append(list, fmt.Sprintf("%d MISSING", m.missing))
	}
	if m.twice > 0 {
		list = append(list, fmt.Sprintf("%d delivered again", m.twice))
	}
	for text, n := range m.problems {
		list = append(list, fmt.Sprintf("%d × %s", n, text))
	}
	if len(list) == 0 {
		return ""
	}
	return "; " + strings.Join(list, "; ")
}
