package delivery

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/failpoint"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/telemetry"
)

const (
	prefetch     = 256 // messages taken and not acknowledged, a queue
	claimAtOnce  = 128 // jobs in one claim
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

// maxUnrecorded bounds the attempts that were answered and whose outcomes are not stored.
// They hold no place, so that others go on and outcomes are stored in large groups.
const maxUnrecorded = 1024

// progress is how far a turn came: its place at the destination is free, and then what
// became of it is stored.
type progress struct {
	destination string
	stored      bool
}

// worker works jobs that the broker's messages name. Its loop alone touches line, unsure
// and unrecorded.
type worker struct {
	m      *Module
	line   *fair
	unsure []release // claims whose answer was lost: they may have been made
	in     chan *delivery
	quit   chan struct{} // closed when the loop has ended
	ended  chan progress
	turns  sync.WaitGroup  // attempts and dispatches under way
	life   context.Context // of attempts; ends when the grace time is over

	unrecorded int
}

// Work consumes queues until ctx ends; then it gives back what it has not begun,
// waits up to the grace time for what it has, and returns.
func (m *Module) Work(ctx context.Context, queues []contract.Queue) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	w := &worker{m: m, line: newFair(m.cfg.Concurrency, m.limits), life: life,
		in: make(chan *delivery, prefetch*len(queues)), quit: make(chan struct{}), ended: make(chan progress, m.cfg.Concurrency)}
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

// wait has a job wait for its turn. A message more for a job that waits already is
// dealt with: the first one stands for it.
func (w *worker) wait(a arrival) {
	if !w.line.add(a, w.m.now()) {
		a.message.done()
	}
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
		if turn := w.line.take(min(claimAtOnce, maxUnrecorded-w.unrecorded), w.m.now()); len(turn) > 0 {
			pause = w.begin(ctx, turn, pause)
		}
		if soon = nil; w.line.throttled() {
			soon = time.After(throttleTick)
		}
		select {
		case d := <-w.in:
			w.accept(ctx, d)
		case p := <-w.ended:
			w.note(p)
		case <-soon:
		case <-tick.C:
			w.drain(ctx) // turns that ended while the loop was busy are no sign of a slow destination
			w.putOff(w.line.excess(w.m.now()))
		case <-ctx.Done():
			return
		}
		w.drain(ctx)
	}
}

// note takes in how far a turn came.
func (w *worker) note(p progress) {
	if p.stored {
		w.unrecorded--
		return
	}
	w.unrecorded++
	w.line.done(p.destination, w.m.now())
}

// drain takes in all that is there, so that one claim serves it.
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
		w.wait(arrival{r, d})
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
	pause, lease := 100*time.Millisecond, w.m.cfg.LeaseMargin+w.m.cfg.Timeout
	if c.DestinationID != nil {
		lease = w.m.cfg.LeaseMargin + w.m.timeout(w.m.directory.peek(*c.DestinationID))
	}
	ctx := telemetry.WithCorrelation(w.life, c.CorrelationID)
	for {
		err := do()
		if err == nil || !fault.Is(err, fault.Unavailable) || w.m.now.Since(c.at) > lease {
			return err
		}
		w.m.log.WarnContext(ctx, what+" failed; trying again", "job_id", c.ID, "event_id", c.EventID, "error", err)
		select {
		case <-w.life.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(pause*2, 2*time.Second)
	}
}
