package delivery

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/failpoint"
	"integration-gateway/platform/fault"
)

const (
	prefetch     = 256 // messages taken and not acknowledged, a queue
	claimAtOnce  = 128 // jobs in one claim
	stuckAfter   = 2 * time.Second
	throttleTick = 50 * time.Millisecond
	claimTimeout = 15 * time.Second
)

// delivery is a broker message and how many of its jobs are not dealt with.
type delivery struct {
	broker.Delivery
	left atomic.Int32
	lost atomic.Bool
}

// done says that one of the message's jobs is dealt with: its outcome is committed,
// or it needs none. The last one acknowledges the message.
func (d *delivery) done() {
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

// lose says that one of the message's jobs could not be dealt with; the message goes
// back to the queue when the others are done.
func (d *delivery) lose() {
	d.lost.Store(true)
	d.done()
}

// worker works jobs that the broker's messages name. Its loop alone touches line.
type worker struct {
	m     *Module
	line  *fair
	in    chan *delivery
	quit  chan struct{}   // closed when the loop has ended
	ended chan string     // the destinations of turns that ended
	turns sync.WaitGroup  // attempts and dispatches under way
	life  context.Context // of attempts; ends when the grace time is over
}

// Work consumes queues until ctx ends; then it gives back what it has not begun,
// waits up to the grace time for what it has, and returns.
func (m *Module) Work(ctx context.Context, queues []contract.Queue) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	w := &worker{m: m, line: newFair(m.cfg.Concurrency, m.limits), life: life,
		in: make(chan *delivery, prefetch*len(queues)), quit: make(chan struct{}), ended: make(chan string, m.cfg.Concurrency)}
	consumers, consuming := errgroup.WithContext(ctx)
	for _, queue := range queues {
		consumers.Go(func() error {
			return m.broker.Consume(consuming, broker.Queue(queue), prefetch, w.receive)
		})
	}
	w.loop(consuming)
	close(w.quit)
	err := consumers.Wait()
	w.stop(end)
	return err
}

// limits are what a destination can take at once; a probe of one that is taken for down
// goes alone.
func (m *Module) limits(destinationID string) limits {
	l := limits{each: m.cfg.PerDestination}
	if destinationID == "" {
		return l
	}
	d := m.directory.peek(destinationID)
	if d.Concurrency != nil {
		l.each = *d.Concurrency
	}
	if d.Rate != nil {
		l.rate = *d.Rate
	}
	if d.Breaker == breakerHalfOpen {
		l.each = 1
	}
	return l
}

// receive hands a message to the loop. The channel holds as many as the broker gives
// before it wants acknowledgements, so this seldom blocks.
func (w *worker) receive(d broker.Delivery) {
	select {
	case w.in <- &delivery{Delivery: d}:
	case <-w.quit:
		d.Requeue()
	}
}

func (w *worker) loop(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var soon <-chan time.Time
	pause := time.Duration(0)
	for {
		if turn := w.line.take(claimAtOnce, w.m.now()); len(turn) > 0 {
			pause = w.begin(ctx, turn, pause)
		}
		if soon = nil; w.line.throttled() {
			soon = time.After(throttleTick)
		}
		select {
		case d := <-w.in:
			w.accept(ctx, d)
		case destination := <-w.ended:
			w.line.done(destination, w.m.now())
		case <-soon:
		case <-tick.C:
			w.putOff(w.line.stuck(w.m.now().Add(-stuckAfter)))
		case <-ctx.Done():
			return
		}
		w.drain(ctx)
	}
}

// drain takes in all that is there, so that one claim serves it.
func (w *worker) drain(ctx context.Context) {
	for {
		select {
		case d := <-w.in:
			w.accept(ctx, d)
		case destination := <-w.ended:
			w.line.done(destination, w.m.now())
		default:
			return
		}
	}
}

// accept reads a message. What is none of ours goes to the dead queue.
func (w *worker) accept(ctx context.Context, d *delivery) {
	refs, err := parse(d.Body)
	if err != nil {
		w.m.log.ErrorContext(ctx, "a message goes to the dead queue", "error", err, "bytes", len(d.Body))
		d.Reject()
		return
	}
	d.left.Store(int32(len(refs))) //nolint:gosec // a message is far smaller
	for _, r := range refs {
		w.line.add(arrival{r, d}, w.m.now())
	}
}

// begin claims a turn's jobs and starts them. While the database is away it waits,
// longer each time, and the jobs wait for another turn; it gives the pause it made.
func (w *worker) begin(ctx context.Context, turn []arrival, pause time.Duration) time.Duration {
	err := w.start(ctx, turn)
	if err == nil {
		return 0
	}
	pause = min(max(pause*2, 100*time.Millisecond), 5*time.Second)
	w.m.log.WarnContext(ctx, "claiming jobs failed; trying again", "jobs", len(turn), "retry_in", pause, "error", err)
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
	for _, a := range turn {
		w.line.done(a.Destination, w.m.now())
		w.line.add(a, w.m.now())
	}
	return pause
}

// start claims a turn's jobs, prepares them together and sets each off. Those that
// cannot be claimed are settled. An error means that none was started.
func (w *worker) start(ctx context.Context, turn []arrival) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	byJob := make(map[string]arrival, len(turn))
	refs := make([]ref, 0, len(turn))
	for _, a := range turn {
		if _, twice := byJob[a.JobID]; twice {
			w.line.done(a.Destination, w.m.now())
			a.message.done()
			continue
		}
		byJob[a.JobID] = a
		refs = append(refs, a.ref)
	}
	jobs, err := w.m.claim(bounded, refs)
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	failpoint.Hit(failpoint.AfterClaim)
	for _, c := range jobs {
		w.m.watermark.raise(byJob[c.ID].message.PublishedAt, c.ScheduledAt.Time)
	}
	w.setOff(bounded, jobs, byJob)
	for _, c := range jobs {
		delete(byJob, c.ID)
	}
	w.settle(bounded, byJob)
	return nil
}

// settle deals with jobs that could not be claimed: most are done, or somebody
// else's. What is not due is published again for its time.
func (w *worker) settle(ctx context.Context, rest map[string]arrival) {
	if len(rest) == 0 {
		return
	}
	refs := make([]ref, 0, len(rest))
	for _, a := range rest {
		refs = append(refs, a.ref)
		w.line.done(a.Destination, w.m.now())
	}
	list, err := w.m.standings(ctx, refs)
	if err != nil {
		w.m.log.WarnContext(ctx, "looking up jobs failed; their messages go back", "jobs", len(rest), "error", err)
		for _, a := range rest {
			a.message.lose()
		}
		return
	}
	for _, s := range list {
		a := rest[s.ID]
		if s.Status != queued || s.Parked {
			continue
		}
		delete(rest, s.ID)
		if early := s.ScheduledAt.Sub(w.m.now()); early > 0 {
			if err := w.m.publishLater(ctx, a.ref, early); err != nil {
				a.message.lose()
				continue
			}
			a.message.done()
			continue
		}
		w.line.add(a, w.m.now()) // queued again since the claim
	}
	for _, a := range rest {
		a.message.done()
	}
}

// putOff moves jobs of stuck destinations to a later time, unclaimed.
func (w *worker) putOff(list []arrival) {
	ctx, cancel := context.WithTimeout(w.life, claimTimeout)
	defer cancel()
	for _, part := range chunks(list, claimAtOnce) {
		if err := w.m.postpone(ctx, part); err != nil {
			w.m.log.WarnContext(ctx, "putting jobs off failed; they keep waiting", "jobs", len(part), "error", err)
			for _, a := range part {
				w.line.add(a, w.m.now())
			}
			continue
		}
		for _, a := range part {
			a.message.done()
		}
	}
}

// stop gives back what waits and lets what was begun end, for the grace time.
func (w *worker) stop(end context.CancelFunc) {
	for len(w.in) > 0 {
		(<-w.in).Requeue()
	}
	for _, a := range w.line.clear() {
		a.message.lose()
	}
	idle := make(chan struct{})
	go func() { w.turns.Wait(); close(idle) }()
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

// retryUntil runs do until it succeeds, fails for good, the job's lease is over, or
// the worker's life ends.
func (w *worker) retryUntil(c claimed, what string, do func() error) error {
	pause := 100 * time.Millisecond
	for {
		err := do()
		if err == nil || !fault.Is(err, fault.Unavailable) || w.m.now.Since(c.at) > w.m.cfg.LeaseMargin+w.m.cfg.Timeout {
			return err
		}
		w.m.log.WarnContext(w.life, what+" failed; trying again", "job_id", c.ID, "event_id", c.EventID, "error", err)
		select {
		case <-w.life.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(pause*2, 2*time.Second)
	}
}
