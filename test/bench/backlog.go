package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/test/rig"
)

// fillsWithin bounds the taking in of a backlog.
const fillsWithin = 20 * time.Minute

// backlog is a worker that is started on many stored events.
type backlog struct {
	events  int
	rate    float64 // deliveries a second until all had arrived
	peak    int64   // bytes that the worker had in memory at most
	missing int
	twice   int64
}

// measureBacklog takes n webhooks in without a worker, and then starts one.
func (b *bench) measureBacklog(ctx context.Context, c cell, n int) (r backlog, err error) {
	b.say("a backlog of %d:", n)
	c.setup, c.mode = onServers, accept
	b.turn++
	g, err := b.install(ctx, c, b.turn)
	defer func() { err = firstOf(err, g.remove(context.WithoutCancel(ctx))) }()
	if err != nil {
		return r, err
	}
	b.marks++
	l := newLedger(fmt.Sprintf("bench%d-%d", os.Getpid(), b.marks), n)
	b.receiver.ledger.Store(l)
	load, err := newLoad(l, g.addr, c)
	if err != nil {
		return r, err
	}
	defer load.close()
	from, to := load.run(ctx, fillsWithin)
	b.say("  accepted in %.0f s", to.Sub(from).Seconds())
	if err := g.marked(ctx); err != nil {
		return r, err
	}
	began := clock.System()
	if err := b.launchWork(ctx, g, c); err != nil {
		return r, err
	}
	(&storm{ledger: l}).drain(ctx)
	took := clock.System().Sub(began)
	worker := g.programs[len(g.programs)-1]
	r = backlog{events: n, missing: l.missing(), twice: l.twice.Load(), peak: rig.PeakMemory(worker.PID())}
	r.rate = float64(n-r.missing) / took.Seconds()
	b.say("  delivered in %.0f s; the worker had %d MB at most", took.Seconds(), r.peak>>20)
	return r, ctx.Err()
}

const countUnmarkedSQL = `
SELECT count(*) FROM processing_jobs WHERE status = 'queued' AND published_at IS NULL`

// marked waits until every job is noted as published, so that the worker finds them all in
// its queue.
func (g *gateway) marked(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, stallsAfter)
	defer cancel()
	for {
		var n int
		if err := g.records.Get(bounded, &n, countUnmarkedSQL); err != nil {
			return fmt.Errorf("wait until all is published: %w", err)
		}
		if n == 0 {
			return nil
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (r backlog) String() string {
	return fmt.Sprintf("A worker started on %d stored events: %.0f/s delivered, %d MB at most, %d missing, %d delivered again.\n",
		r.events, r.rate, r.peak>>20, r.missing, r.twice)
}
