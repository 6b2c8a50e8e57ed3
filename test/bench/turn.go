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
	warmUp      = time.Second      // before what counts, so that pools and caches are filled
	stallsAfter = 20 * time.Second // without a delivery, what is missing is missing
	mostASecond = 60_000           // webhooks that are provided for
)

// ceiling is a turn of the bare server.
func (b *bench) ceilingTurn(ctx context.Context, c cell) (m measured, err error) {
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
	s, err := b.storm(ctx, c, addr, func() []costing { return []costing{{name: "ceiling", pid: p.PID(), memory: true}} })
	if err != nil {
		return m, err
	}
	defer s.load.close()
	m = s.measured()
	return m, ctx.Err()
}

// gatewayTurn is a turn of a gateway of its own.
func (b *bench) gatewayTurn(ctx context.Context, c cell) (m measured, err error) {
	b.turn++
	g, err := b.install(ctx, c, b.turn)
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
	s, err := b.storm(ctx, c, g.addr, func() []costing { return b.costings(g) })
	if err != nil {
		return m, err
	}
	defer s.load.close()
	var published time.Duration
	if c.mode == accept {
		published, err = b.acceptedOnly(ctx, g, s)
	} else {
		s.drain(ctx)
	}
	m = s.measured()
	if b.profile != "" && g.servers != nil && err == nil {
		err = b.statements(ctx, c)
	}
	m.published, m.missing, m.twice = published, s.ledger.missing(), int(s.ledger.twice.Load())
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

// acceptedOnly waits until everything is published, and takes what the database holds
// for what arrived.
func (b *bench) acceptedOnly(ctx context.Context, g *gateway, s *storm) (time.Duration, error) {
	took, err := g.published(ctx, s.ledger.mark)
	if err != nil {
		return 0, err
	}
	numbers, err := g.stored(ctx, s.ledger.mark)
	for _, text := range numbers {
		if n, err := strconv.Atoi(text); err == nil && n < len(s.ledger.records) {
			s.ledger.records[n].arrived.Store(s.to.UnixMicro())
		}
	}
	return took, err
}

// costing is a program whose cost counts.
type costing struct {
	name   string
	pid    int
	memory bool
	before time.Duration
}

func (b *bench) costings(g *gateway) []costing {
	var list []costing
	for _, p := range g.programs {
		list = append(list, costing{name: p.Name, pid: p.PID(), memory: true})
	}
	if g.servers == nil {
		return list
	}
	for _, server := range []string{rig.Postgres, rig.RabbitMQ, rig.Redis} {
		list = append(list, costing{name: server, pid: g.servers.PID(server)})
	}
	return list
}

// storm is the sending of one turn.
type storm struct {
	cell
	ledger   *ledger
	load     *load
	first    int // the first webhook that counts
	from, to time.Time
	costings []costing
}

// storm warms up and sends.
func (b *bench) storm(ctx context.Context, c cell, addr string, costings func() []costing) (*storm, error) {
	b.marks++
	l := newLedger(fmt.Sprintf("bench%d-%d", os.Getpid(), b.marks), int((warmUp+c.duration).Seconds()*mostASecond))
	l.among = c.among
	b.receiver.ledger.Store(l)
	s := &storm{cell: c, ledger: l}
	var err error
	if s.load, err = newLoad(l, addr, c); err != nil {
		return nil, err
	}
	s.load.run(ctx, warmUp)
	if c.mode == deliver {
		s.settle(ctx)
	}
	s.costings = append(costings(), costing{name: "generator", pid: os.Getpid()})
	s.account(func(c *costing, used time.Duration) { c.before = used })
	s.first = int(l.next.Load())
	s.from, s.to = s.load.run(ctx, c.duration)
	return s, nil
}

func (s *storm) account(note func(c *costing, used time.Duration)) {
	for i := range s.costings {
		c := &s.costings[i]
		used := rig.CPU(c.pid)
		if c.pid == os.Getpid() {
			used = ownCPU() // what it started is not its own
		}
		note(c, used)
	}
}

// settle waits until nothing arrives any more, for a moment.
func (s *storm) settle(ctx context.Context) {
	for before := int64(-1); ctx.Err() == nil && s.ledger.arrivals.Load() != before; {
		before = s.ledger.arrivals.Load()
		<-time.After(300 * time.Millisecond)
	}
}

// drain waits until all that was accepted arrived, or nothing has for long.
func (s *storm) drain(ctx context.Context) {
	last, at := int64(-1), clock.System()
	for ctx.Err() == nil && s.ledger.missing() > 0 && clock.System().Sub(at) < stallsAfter {
		if n := s.ledger.arrivals.Load(); n != last {
			last, at = n, clock.System()
		}
		<-time.After(20 * time.Millisecond)
	}
}

// measured sums up, at the moment when everything is over.
func (s *storm) measured() measured {
	m := measured{problems: s.load.problems}
	var acceptance, delivery []int64
	var last int64
	for i := range s.ledger.used(s.first) {
		r := &s.ledger.records[s.first+i]
		if !r.accepted() {
			continue
		}
		m.accepted++
		acceptance = append(acceptance, r.answered-r.due)
		if arrived := r.arrived.Load(); arrived > 0 && s.ledger.counts(s.first+i) {
			delivery = append(delivery, arrived-r.due)
			last = max(last, arrived)
		}
	}
	m.acceptRate = float64(m.accepted) / s.to.Sub(s.from).Seconds()
	m.acceptance = spreadOf(acceptance)
	if s.mode == deliver && last > 0 {
		m.deliverRate = float64(len(delivery)) / max(time.UnixMicro(last).Sub(s.from), s.duration).Seconds()
		m.delivery = spreadOf(delivery)
	}
	s.account(func(c *costing, used time.Duration) {
		k := cost{name: c.name, cpu: (used - c.before).Seconds() / float64(max(m.accepted, 1)) * 1000}
		if c.memory {
			k.memory = rig.PeakMemory(c.pid)
		}
		m.costs = append(m.costs, k)
	})
	return m
}
