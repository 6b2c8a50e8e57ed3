package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/test/rig"
)

const (
	warmUp       = time.Second      // before the measured time, to fill pools and caches
	stallsAfter  = 20 * time.Second // without a delivery, the remaining ones count as missing
	maxPerSecond = 60_000           // webhooks allowed for
)

// ceilingTurn is a turn of the bare server.
func (b *bench) ceilingTurn(ctx context.Context, w workload) (m measured, err error) {
	b.port = rig.FreePort(b.port)
	addr := fmt.Sprintf("127.0.0.1:%d", b.port)
	p, err := rig.Launch(b.scratch, "ceiling", b.ceiling, os.Environ(), "-addr", addr, "-secret", acmeSecret)
	if err != nil {
		return m, err
	}
	defer func() { _ = p.Stop() }()
	if err := p.Ready(ctx, "http://"+addr+"/readyz"); err != nil {
		return m, err
	}
	r, err := b.startLoad(ctx, w, addr, func() []meter { return []meter{{name: "ceiling", pid: p.PID(), memory: true}} })
	if err != nil {
		return m, err
	}
	defer r.load.close()
	m = r.measured()
	return m, ctx.Err()
}

// gatewayTurn is a turn of a new gateway.
func (b *bench) gatewayTurn(ctx context.Context, w workload) (measured, error) {
	return b.gatewayTurnWith(ctx, w, func(*gateway) (func(), error) { return func() {}, nil })
}

// gatewayTurnWith is a gatewayTurn with a concurrent activity, from before the first
// webhook until stop is called after the last.
func (b *bench) gatewayTurnWith(ctx context.Context, w workload, begin func(*gateway) (stop func(), err error)) (m measured, err error) {
	b.turn++
	g, err := b.install(ctx, w, b.turn)
	defer func() {
		if gone := g.remove(context.WithoutCancel(ctx)); err == nil {
			err = gone
		}
	}()
	if err != nil {
		return m, err
	}
	if b.profile != "" && g.servers != nil {
		if err := g.admin(ctx, "SELECT pg_stat_statements_reset()"); err != nil {
			return m, err
		}
	}
	stop, err := begin(g)
	if err != nil {
		return m, err
	}
	r, err := b.startLoad(ctx, w, g.addr, func() []meter { return b.meters(g) })
	stop()
	if err != nil {
		return m, err
	}
	defer r.load.close()
	var published time.Duration
	if w.mode == accept {
		published, err = b.acceptedOnly(ctx, g, r)
	} else {
		r.waitForArrivals(ctx)
	}
	m = r.measured()
	if b.profile != "" && g.servers != nil && err == nil {
		err = b.statements(ctx, w)
	}
	m.published, m.missing, m.twice = published, r.ledger.missing(), int(r.ledger.twice.Load())
	return m, firstOf(err, ctx.Err())
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// acceptedOnly waits until everything is published, and counts what is in the database as
// arrived.
func (b *bench) acceptedOnly(ctx context.Context, g *gateway, r *loadRun) (time.Duration, error) {
	took, err := g.waitUntilPublished(ctx, r.ledger.mark)
	if err != nil {
		return 0, err
	}
	numbers, err := g.stored(ctx, r.ledger.mark)
	for _, text := range numbers {
		if n, err := strconv.Atoi(text); err == nil && n < len(r.ledger.records) {
			r.ledger.records[n].arrived.Store(r.to.UnixMicro())
		}
	}
	return took, err
}

// meter measures the resource usage of a program.
type meter struct {
	name   string
	pid    int
	memory bool
	before time.Duration
}

func (b *bench) meters(g *gateway) []meter {
	var list []meter
	for _, p := range g.programs {
		list = append(list, meter{name: p.Name, pid: p.PID(), memory: true})
	}
	if g.servers == nil {
		return list
	}
	for _, server := range []string{rig.Postgres, rig.RabbitMQ, rig.Redis} {
		list = append(list, meter{name: server, pid: g.servers.PID(server)})
	}
	return list
}

// loadRun is the sending of one turn.
type loadRun struct {
	workload
	ledger   *ledger
	load     *load
	first    int // the first measured webhook
	from, to time.Time
	meters   []meter
}

// startLoad warms up and sends.
func (b *bench) startLoad(ctx context.Context, w workload, addr string, costings func() []meter) (*loadRun, error) {
	b.marks++
	l := newLedger(fmt.Sprintf("bench%d-%d", os.Getpid(), b.marks), int((warmUp+w.duration).Seconds()*maxPerSecond))
	l.sources = w.sources
	b.receiver.ledger.Store(l)
	r := &loadRun{workload: w, ledger: l}
	var err error
	if r.load, err = newLoad(l, addr, w); err != nil {
		return nil, err
	}
	r.load.run(ctx, warmUp)
	if w.mode == deliver {
		r.waitUntilQuiet(ctx)
	}
	r.meters = append(costings(), meter{name: generator, pid: os.Getpid()})
	r.readMeters(func(c *meter, used time.Duration) { c.before = used })
	r.first = int(l.next.Load())
	r.from, r.to = r.load.run(ctx, w.duration)
	return r, nil
}

func (r *loadRun) readMeters(note func(c *meter, used time.Duration)) {
	for i := range r.meters {
		c := &r.meters[i]
		used := rig.CPU(c.pid)
		if c.pid == os.Getpid() {
			used = ownCPU() // without its children
		}
		note(c, used)
	}
}

// waitUntilQuiet waits until nothing has arrived for a moment.
func (r *loadRun) waitUntilQuiet(ctx context.Context) {
	for before := int64(-1); ctx.Err() == nil && r.ledger.arrivals.Load() != before; {
		before = r.ledger.arrivals.Load()
		<-time.After(300 * time.Millisecond)
	}
}

// waitForArrivals waits until all accepted webhooks arrived, or none has for a long time.
func (r *loadRun) waitForArrivals(ctx context.Context) {
	last, at := int64(-1), clock.System()
	for ctx.Err() == nil && r.ledger.missing() > 0 && clock.System().Sub(at) < stallsAfter {
		if n := r.ledger.arrivals.Load(); n != last {
			last, at = n, clock.System()
		}
		<-time.After(20 * time.Millisecond)
	}
}

// measured computes the results at the end.
func (r *loadRun) measured() measured {
	m := measured{problems: r.load.problems}
	var acceptance, delivery []int64
	var last int64
	for i := range r.ledger.used(r.first) {
		sent := &r.ledger.records[r.first+i]
		if !sent.accepted() {
			continue
		}
		m.accepted++
		acceptance = append(acceptance, sent.answered-sent.due)
		if arrived := sent.arrived.Load(); arrived > 0 && r.ledger.counts(r.first+i) {
			delivery = append(delivery, arrived-sent.due)
			last = max(last, arrived)
		}
	}
	m.acceptRate = float64(m.accepted) / r.to.Sub(r.from).Seconds()
	m.acceptance = percentilesOf(acceptance)
	if r.mode == deliver && last > 0 {
		m.deliverRate = float64(len(delivery)) / max(time.UnixMicro(last).Sub(r.from), r.duration).Seconds()
		m.delivery = percentilesOf(delivery)
	}
	r.readMeters(func(c *meter, used time.Duration) {
		k := cost{name: c.name, cpu: (used - c.before).Seconds() / float64(max(m.accepted, 1)) * 1000}
		if c.memory {
			k.memory = rig.PeakMemory(c.pid)
		}
		m.costs = append(m.costs, k)
	})
	return m
}
