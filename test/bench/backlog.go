package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/test/rig"
)

// fillsWithin limits the time to accept a backlog.
const fillsWithin = 20 * time.Minute

// backlog is the result of a worker that starts with many stored events.
type backlog struct {
	events  int
	rate    float64 // deliveries a second until all had arrived
	peak    int64   // the worker's peak memory in bytes
	missing int
	twice   int64
}

// measureBacklog accepts n webhooks without a worker, and then starts one.
func (b *bench) measureBacklog(ctx context.Context, w workload, n int) (r backlog, err error) {
	b.say("a backlog of %d:", n)
	w.setup, w.mode = onServers, accept
	b.turn++
	g, err := b.install(ctx, w, b.turn)
	defer func() { err = firstOf(err, g.remove(context.WithoutCancel(ctx))) }()
	if err != nil {
		return r, err
	}
	b.marks++
	l := newLedger(fmt.Sprintf("bench%d-%d", os.Getpid(), b.marks), n)
	b.receiver.ledger.Store(l)
	load, err := newLoad(l, g.addr, w)
	if err != nil {
		return r, err
	}
	defer load.close()
	from, to := load.run(ctx, fillsWithin)
	b.say("  accepted in %.0f s", to.Sub(from).Seconds())
	if err := g.waitUntilMarked(ctx); err != nil {
		return r, err
	}
	began := clock.System()
	if err := b.launchWork(ctx, g, w); err != nil {
		return r, err
	}
	(&loadRun{ledger: l}).waitForArrivals(ctx)
	took := clock.System().Sub(began)
	worker := g.programs[len(g.programs)-1]
	r = backlog{events: n, missing: l.missing(), twice: l.twice.Load(), peak: rig.PeakMemory(worker.PID())}
	r.rate = float64(n-r.missing) / took.Seconds()
	b.say("  delivered in %.0f s; the worker's peak was %d MB", took.Seconds(), r.peak>>20)
	return r, ctx.Err()
}

const countUnmarkedSQL = `
SELECT count(*) FROM processing_jobs WHERE status = 'queued' AND published_at IS NULL`

// waitUntilMarked waits until every job is marked as published, so that the worker finds
// them all in its queue.
func (g *gateway) waitUntilMarked(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, stallsAfter)
	defer cancel()
	for {
		var n int
		if err := g.records.Get(bounded, &n, countUnmarkedSQL); err != nil {
			return fmt.Errorf("wait until all jobs are published: %w", err)
		}
		if n == 0 {
			return nil
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (r backlog) String() string {
	return fmt.Sprintf("A worker started with %d stored events: %.0f/s delivered, peak %d MB, %d missing, %d delivered again.\n",
		r.events, r.rate, r.peak>>20, r.missing, r.twice)
}
