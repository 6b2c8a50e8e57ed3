package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/test/rig"
)

// bench is one run.
type bench struct {
	root, scratch    string
	gateway, ceiling string // binaries
	profile          string
	out              io.Writer
	servers          *rig.Servers // nil if no workload needs them
	receiver         *receiver
	port             int // the last one assigned
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
		r, err := b.measureBacklog(ctx, o.workload, o.backlog)
		if err == nil {
			fmt.Fprint(out, "\n", b.machine(ctx, began), "\n", r)
		}
		return err
	}
	if o.isolation > 0 {
		r, err := b.measureIsolation(ctx, o.workload, o.isolation)
		if err == nil {
			fmt.Fprint(out, "\n", b.machine(ctx, began), "\n", r)
		}
		if n := r.missing(); err == nil && n > 0 {
			err = fmt.Errorf("%d accepted webhooks did not arrive", n)
		}
		return err
	}
	if o.stored > 0 {
		list, err := b.measureStored(ctx, o.workload, o.stored)
		if err == nil {
			fmt.Fprint(out, "\n", b.machine(ctx, began), "\n", scales(list))
		}
		return err
	}
	if o.observe || o.consoles > 0 {
		measure := b.measureObserved
		if o.consoles > 0 {
			measure = func(ctx context.Context, w workload) (observed, error) { return b.measureConsoles(ctx, w, o.consoles) }
		}
		r, err := measure(ctx, o.workload)
		if err == nil {
			fmt.Fprint(out, "\n", b.machine(ctx, began), "\n", r)
			err = complain(r.missing())
		}
		return err
	}
	if o.flood > 0 || o.siege {
		return b.runAttack(ctx, o, out, began)
	}
	return b.runCells(ctx, o, began)
}

// runCells measures rates, and in a full run bytes.
func (b *bench) runCells(ctx context.Context, o options, began time.Time) error {
	var results []result
	if !o.bytesOnly {
		var err error
		if results, err = b.cells(ctx, o); err != nil {
			return err
		}
	}
	missing := 0
	for _, r := range results {
		missing += r.missing()
	}
	machine := b.machine(ctx, began)
	if !o.full && !o.bytesOnly {
		fmt.Fprint(b.out, "\n", machine, "\n", tables(results))
		return complain(missing)
	}
	f, err := readFigures(b.root)
	if err != nil {
		return err
	}
	f.Machine = machine
	f.add(results)
	if err := b.measureBytes(ctx, o, &f); err != nil {
		return err
	}
	fmt.Fprint(b.out, "\n", machine, "\n", short(f, results))
	if missing > 0 || !o.write {
		return complain(missing)
	}
	if err := f.save(b.root); err != nil || o.bytesOnly {
		return err
	}
	return write(filepath.Join(b.root, "docs", "performance.md"), machine+"\n"+tables(results))
}

func complain(missing int) error {
	if missing > 0 {
		return fmt.Errorf("%d accepted webhooks did not arrive", missing)
	}
	return nil
}

// measureBytes measures the bytes of both setups and of other projects' tables.
func (b *bench) measureBytes(ctx context.Context, o options, f *figures) (err error) {
	if o.storage == 0 {
		return nil
	}
	if f.Servers, err = b.measureStorage(ctx, o.workload, onServers, o.storage); err != nil {
		return err
	}
	if f.Embedded, err = b.measureStorage(ctx, o.workload, embedded, o.storage); err != nil {
		return err
	}
	f.Peers = map[string]storage{}
	for _, p := range peers() {
		b.say("bytes of %d events in the tables of %s …", peerEvents, p.name)
		if f.Peers[p.name], err = b.measurePeer(ctx, p, peerEvents); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) prepare(ctx context.Context, o options) (err error) {
	if b.root, err = rig.Repository(); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp(o.scratchDir, "gateway-bench-"); err != nil {
		return fmt.Errorf("create a working folder: %w", err)
	}
	if err := os.Chmod(b.scratch, 0o711); err != nil { //nolint:gosec // PostgreSQL runs as another user below it
		return fmt.Errorf("make the folder accessible to the servers: %w", err)
	}
	if o.profile != "" {
		if b.profile, err = filepath.Abs(o.profile); err == nil {
			err = os.MkdirAll(b.profile, 0o750)
		}
		if err != nil {
			return fmt.Errorf("create the profiles' folder: %w", err)
		}
	}
	b.say("building …")
	b.gateway, b.ceiling = filepath.Join(b.scratch, "gateway"), filepath.Join(b.scratch, "ceiling.bin")
	for binary, source := range map[string]string{b.gateway: ".", b.ceiling: "./test/bench/ceiling"} {
		if err := runCommand(ctx, "go", b.root, os.Environ(), "build", "-o", binary, source); err != nil {
			return err
		}
	}
	if b.receiver, err = newReceiver(); err != nil {
		return err
	}
	if o.full || o.setup == onServers {
		b.say("starting PostgreSQL, RabbitMQ and Redis …")
		if b.servers, err = rig.StartServers(ctx, b.root, filepath.Join(b.scratch, "services"), true); err == nil && b.profile != "" {
			err = b.enableStatementStats(ctx)
		}
	}
	return err
}

// remove deletes all files, except for the logs of a failed run.
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

// cells runs the requested workloads: for a full run each setup at full speed, and then at
// a quarter of that.
func (b *bench) cells(ctx context.Context, o options) ([]result, error) {
	if !o.full {
		r, err := b.measure(ctx, o.workload)
		return []result{r}, err
	}
	var results []result
	for _, at := range []struct{ setup, mode string }{{onServers, accept}, {onServers, deliver}, {embedded, deliver}} {
		w := o.workload
		w.setup, w.mode = at.setup, at.mode
		fast, err := b.measure(ctx, w)
		if err != nil {
			return results, err
		}
		results = append(results, fast)
		if w.mode == accept {
			continue
		}
		w.loop, w.rate = open, max(1, int(median(fast.each(deliverRate))/4))
		slow, err := b.measure(ctx, w)
		if err != nil {
			return results, err
		}
		results = append(results, slow)
	}
	return results, nil
}

// measure runs a workload: ceiling, gateway, ceiling, gateway …, ceiling.
func (b *bench) measure(ctx context.Context, w workload) (result, error) {
	r := result{workload: w}
	b.say("%s:", w.name())
	for i := range w.repeats + 1 {
		m, err := b.ceilingTurn(ctx, w)
		if err != nil {
			return r, fmt.Errorf("run a turn of the ceiling: %w", err)
		}
		r.ceilings = append(r.ceilings, m)
		b.say("  ceiling  %6.0f/s, p99 %s", m.acceptRate, millis(m.acceptance.p99))
		if i == w.repeats {
			break
		}
		if m, err = b.gatewayTurn(ctx, w); err != nil {
			return r, fmt.Errorf("%s: %w", w.name(), err)
		}
		r.turns = append(r.turns, m)
		b.say("  gateway  %6.0f/s accepted, p99 %s%s", m.acceptRate, millis(m.acceptance.p99), m.details())
	}
	return r, nil
}

// details is the rest of a turn's line.
func (m measured) details() string {
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
