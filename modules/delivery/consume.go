package delivery

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/backoff"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/failpoint"
	"integration-gateway/platform/fault"
)

const (
	prefetch     = 256 // unacknowledged messages per queue
	claimAtOnce  = 128 // jobs in one claim
	claimTimeout = 15 * time.Second
)

// The retry delays while the database is unavailable: for claims and dead letters, and for
// outcomes, whose leases run.
var (
	storeRetry   = backoff.Exponential{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	outcomeRetry = backoff.Exponential{Min: 100 * time.Millisecond, Max: 2 * time.Second}
)

// inboundMessage is a broker message with the number of its unsettled jobs.
type inboundMessage struct {
	broker.Delivery
	left atomic.Int32
	lost atomic.Bool
}

// standsIn reports that the broker has no such message: the job was taken from the database.
func (d *inboundMessage) standsIn() bool { return d != nil && d.PublishedAt.IsZero() }

// done settles one of the message's jobs: its outcome is committed, or it needs none. The last
// one acknowledges the message.
func (d *inboundMessage) done() {
	if d.left.Add(-1) > 0 {
		return
	}
	if d.lost.Load() {
		d.Requeue()
		return
	}
	failpoint.Hit(failpoint.BeforeAck)
	d.Ack()
}

// lose marks one of the message's jobs as failed. The message is requeued when the others are
// settled.
func (d *inboundMessage) lose() {
	d.lost.Store(true)
	d.done()
}

// maxUnrecorded bounds the answered attempts whose outcomes are not stored yet. They hold no
// slot, so that other attempts continue and outcomes are stored in large groups.
const maxUnrecorded = 1024

// stage is the progress of the work in a slot.
type stage int

const (
	entered stage = iota // it got its slot at a destination with its own limits
	freed                // its slot at the destination is free
	stored               // its outcome is stored
)

// progress reports the stage that the work in a slot has reached.
type progress struct {
	stage
	destination string
	slot        *slot
}

// worker processes the jobs that the broker's messages name. Only its loop touches scheduler,
// unsure, held and unrecorded.
type worker struct {
	m         *Module
	scheduler *scheduler
	gates     *gates
	unsure    []release        // claims whose answer was lost: they may have succeeded
	held      []queuedJob      // jobs that another transaction held when they were to be claimed
	retryHeld <-chan time.Time // when to try these again
	in        chan *inboundMessage
	quit      chan struct{} // closed when the loop has ended
	ended     chan progress
	slots     sync.WaitGroup  // running attempts and dispatches
	life      context.Context // of attempts; ends with the grace period

	unrecorded int
	workers    int // that live, this one among them, as of the last tick
}

// Work consumes queues until ctx ends. Then it releases jobs that have not started, waits up
// to the grace period for those that have, and returns.
func (m *Module) Work(ctx context.Context, queues []contract.Queue) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	w := &worker{m: m, life: life, in: make(chan *inboundMessage, prefetch*len(queues)), quit: make(chan struct{}),
		ended: make(chan progress, m.cfg.Concurrency)}
	w.scheduler, w.gates = newScheduler(m.cfg.Concurrency, w.limits), newGates(m, w.quit)
	var gates sync.WaitGroup
	idle := make(chan struct{})
	gates.Go(func() { w.gates.run(idle) })
	consumers, consuming := errgroup.WithContext(ctx)
	for _, queue := range queues {
		consumers.Go(func() error {
			return m.broker.Consume(consuming, broker.Queue(queue), prefetch, w.receive)
		})
		consumers.Go(func() error {
			w.bypasses(consuming, broker.Queue(queue))
			return nil
		})
	}
	w.loop(consuming)
	close(w.quit)
	err := consumers.Wait()
	w.stop(end)
	close(idle)
	gates.Wait()
	return err
}

// wait queues a job for a slot. A second message for a waiting job is settled at once.
func (w *worker) wait(a queuedJob) {
	if !w.scheduler.add(a, w.m.now()) {
		a.message.done()
	}
}

// limits returns a destination's limits. While its breaker is open, one probe runs alone.
func (w *worker) limits(destinationID string) limits {
	l := limits{each: w.m.cfg.PerDestination, workers: float64(w.workers)}
	if destinationID == "" {
		return l
	}
	d := w.m.destinations.Cached(destinationID)
	if d.Limited() {
		l = w.sharedLimits(d, l.each)
	}
	if d.Breaker == destination.BreakerHalfOpen {
		l.each = 1
	}
	return l
}

// receive passes a message to the loop. The channel holds as many messages as the broker
// sends without acknowledgements, so this rarely blocks.
func (w *worker) receive(d broker.Delivery) {
	select {
	case w.in <- &inboundMessage{Delivery: d}:
	case <-w.quit:
		d.Requeue()
	}
}

// loopTick is how often the loop looks for what waits in vain.
const loopTick = time.Second

func (w *worker) loop(ctx context.Context) {
	tick := time.NewTicker(loopTick)
	defer tick.Stop()
	failures, ticked := 0, w.m.now()
	for {
		if taken := w.scheduler.take(min(claimAtOnce, maxUnrecorded-w.unrecorded), w.m.now()); len(taken) > 0 {
			failures = w.begin(ctx, taken, failures)
		}
		select {
		case d := <-w.in:
			w.accept(ctx, d)
		case p := <-w.ended:
			w.note(p)
		case <-tick.C:
			now := w.m.now()
			_, w.workers = w.m.peers.Share()
			if now.Sub(ticked) > 3*loopTick/2 || w.gates.hangs(now) {
				w.scheduler.pardon(now)
			}
			ticked = now
			w.postpone(w.scheduler.excess(now))
		case <-w.retryHeld:
			w.releaseHeld()
		case <-ctx.Done():
			return
		}
		w.drain(ctx)
	}
}

// note records the progress of the work in a slot.
func (w *worker) note(p progress) {
	switch p.stage {
	case entered: // the loop then starts the next one
	case freed:
		w.unrecorded++
		w.scheduler.done(p.destination, p.slot, w.m.now())
	case stored:
		w.unrecorded--
	}
}

// drain receives everything that is available, so that one claim serves it.
func (w *worker) drain(ctx context.Context) {
	for {
		select {
		case d := <-w.in:
			w.accept(ctx, d)
		case p := <-w.ended:
			w.note(p)
		default:
			return
		}
	}
}

// accept parses a message. An invalid one goes to the dead queue.
func (w *worker) accept(ctx context.Context, d *inboundMessage) {
	refs, err := parse(d.Body)
	if err != nil {
		w.m.log.ErrorContext(ctx, "invalid message; moving it to the dead queue", "error", err, "bytes", len(d.Body))
		d.Reject()
		return
	}
	d.left.Store(int32(len(refs))) //nolint:gosec // a message is far smaller
	for _, r := range refs {
		w.wait(queuedJob{ref: r, message: d})
	}
}

// stop releases waiting jobs, and those of claims whose answer was lost, and lets running ones finish within the grace period.
func (w *worker) stop(end context.CancelFunc) {
	for len(w.in) > 0 {
		(<-w.in).Requeue()
	}
	for _, a := range append(w.scheduler.clear(), w.held...) {
		a.message.lose()
	}
	w.slots.Go(w.releaseAtStop)
	idle := make(chan struct{})
	go func() { w.slots.Wait(); close(idle) }()
	grace := time.NewTimer(w.m.cfg.Grace)
	defer grace.Stop()
	for {
		select {
		case <-w.ended:
		case <-grace.C:
			end()
		case <-idle:
			return
		}
	}
}

// retryUntil runs do until it succeeds or fails permanently, or until the job's lease or the
// worker's life ends.
func (w *worker) retryUntil(c claimed, what string, do func() error) error {
	lease := w.m.cfg.LeaseMargin + w.m.cfg.Timeout
	if c.DestinationID != nil {
		lease = w.m.cfg.LeaseMargin + w.m.destinations.Cached(*c.DestinationID).Timeout(w.m.cfg.Timeout)
	}
	ctx := c.lines(w.life)
	for attempt := 0; ; attempt++ {
		err := do()
		if err == nil || !fault.Is(err, fault.Unavailable) || w.m.now.Since(c.at) > lease {
			return err
		}
		w.m.log.WarnContext(ctx, what+" failed; retrying", append(c.logged(), "error", err)...)
		if !clock.Sleep(w.life, outcomeRetry.Wait(attempt)) {
			return err
		}
	}
}
