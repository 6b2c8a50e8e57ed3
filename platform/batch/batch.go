// Package batch lets concurrent callers share one operation: a commit, a publish, a round
// trip. It uses no timer, so a lone caller never waits for others.
package batch

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed is returned to callers after Close.
var ErrClosed = errors.New("batch: closed")

// Result is the result of one item.
type Result[O any] struct {
	Value O
	Err   error
}

// Config limits a Group.
type Config[I any] struct {
	Runners        int         // concurrent runs, at most; at least 1
	SpawnThreshold int         // pending items above which another concurrent run starts; fewer wait for the next run
	MaxItems       int         // items in one run, at most
	MaxBytes       int         // size of one run, at most, though one item always fits; 0 for no limit
	Size           func(I) int // bytes of an item; required with MaxBytes
}

// Group calls do with all items that arrived while earlier runs were in progress.
type Group[I, O any] struct {
	cfg Config[I]
	do  func([]I) []Result[O]

	mu      sync.Mutex
	idle    *sync.Cond // running fell to zero
	pending []call[I, O]
	active  map[*call[I, O]][]call[I, O] // the runs in progress, by their first call
	running int
	closed  bool
}

type call[I, O any] struct {
	item  I
	reply chan Result[O]
}

// NewGroup makes a group. do must return a result for every item, in order, and must limit
// its own duration: a run uses no caller's context.
func NewGroup[I, O any](cfg Config[I], do func([]I) []Result[O]) *Group[I, O] {
	g := &Group[I, O]{cfg: cfg, do: do, active: map[*call[I, O]][]call[I, O]{}}
	g.idle = sync.NewCond(&g.mu)
	return g
}

// Do submits item and waits for its result. If ctx ends first, Do returns ctx's error, and
// the item is still processed.
func (g *Group[I, O]) Do(ctx context.Context, item I) (O, error) {
	reply := make(chan Result[O], 1)
	if err := g.add(call[I, O]{item, reply}); err != nil {
		var zero O
		return zero, err
	}
	select {
	case r := <-reply:
		return r.Value, r.Err
	case <-ctx.Done():
		var zero O
		return zero, ctx.Err()
	}
}

// Close refuses new items and waits for the results of those submitted.
func (g *Group[I, O]) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for g.running > 0 {
		g.idle.Wait()
	}
}

func (g *Group[I, O]) add(c call[I, O]) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	g.pending = append(g.pending, c)
	if g.running == 0 || g.running < g.cfg.Runners && len(g.pending) > g.cfg.SpawnThreshold {
		g.running++
		go g.run()
	}
	return nil
}

func (g *Group[I, O]) run() {
	for {
		calls := g.take()
		if calls == nil {
			return
		}
		items := make([]I, len(calls))
		for i, c := range calls {
			items[i] = c.item
		}
		results := g.do(items)
		g.mu.Lock()
		delete(g.active, &calls[0])
		g.mu.Unlock()
		for i, r := range results {
			calls[i].answer(r)
		}
	}
}

// answer gives the caller its result, unless it has one.
func (c call[I, O]) answer(r Result[O]) {
	select {
	case c.reply <- r: // there is room for one
	default:
	}
}

// Fail answers all callers that wait with err at once. Items whose run has not begun are dropped;
// the runs in progress go on, and what becomes of their items is not reported.
func (g *Group[I, O]) Fail(err error) {
	g.mu.Lock()
	waiting := g.pending
	g.pending = nil
	for _, run := range g.active {
		waiting = append(waiting, run...)
	}
	g.mu.Unlock()
	for _, c := range waiting {
		c.answer(Result[O]{Err: err})
	}
}

// take removes and returns the next run's calls; nil means that there are none and the
// runner ends.
func (g *Group[I, O]) take() []call[I, O] {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, bytes := 0, 0
	for n < len(g.pending) && n < g.cfg.MaxItems {
		if g.cfg.MaxBytes > 0 {
			bytes += g.cfg.Size(g.pending[n].item)
			if n > 0 && bytes > g.cfg.MaxBytes {
				break
			}
		}
		n++
	}
	if n == 0 {
		g.running--
		g.idle.Broadcast()
		return nil
	}
	calls := g.pending[:n:n]
	g.pending = g.pending[n:]
	g.active[&calls[0]] = calls
	return calls
}
