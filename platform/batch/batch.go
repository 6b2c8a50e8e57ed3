// Package batch lets callers that arrive together share one piece of work: a
// commit, a publish, a round trip. There is no timer, so a lone caller never
// waits for company.
package batch

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed answers callers that come after Close.
var ErrClosed = errors.New("batch: closed")

// Result is what became of one item.
type Result[O any] struct {
	Value O
	Err   error
}

// Config bounds a Group.
type Config[I any] struct {
	Runners  int         // runs under way at once, at most; at least 1
	Crowd    int         // items that wait before a run begins beside others: fewer go together later
	MaxItems int         // items in one run, at most
	MaxBytes int         // size of one run, at most, though one item always fits; 0 for no bound
	Size     func(I) int // bytes of an item; needed where MaxBytes is set
}

// Group runs do over everything that arrived while earlier runs were under way.
type Group[I, O any] struct {
	cfg Config[I]
	do  func([]I) []Result[O]

	mu      sync.Mutex
	idle    *sync.Cond // running fell to zero
	pending []call[I, O]
	running int
	closed  bool
}

type call[I, O any] struct {
	item  I
	reply chan Result[O]
}

// NewGroup makes a group. do must answer every item, in order, and must bound
// its own time: a run belongs to no caller's context.
func NewGroup[I, O any](cfg Config[I], do func([]I) []Result[O]) *Group[I, O] {
	g := &Group[I, O]{cfg: cfg, do: do}
	g.idle = sync.NewCond(&g.mu)
	return g
}

// Do hands item in and waits for its result. When ctx ends first the item still
// runs; only the waiting ends, with ctx's error.
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

// Close refuses new items and waits until those handed in are answered.
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
	if g.running == 0 || g.running < g.cfg.Runners && len(g.pending) > g.cfg.Crowd {
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
		for i, r := range g.do(items) {
			calls[i].reply <- r
		}
	}
}

// take removes the next run's calls; nil when there are none and the runner ends.
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
	return calls
}
