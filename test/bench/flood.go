package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"integration-gateway/platform/clock"
)

const (
	floodSenders   = 16
	floodAddresses = 20_000 // client addresses of the half that does not come from one
	// The good webhooks come at a part of what the gateway takes at most: whoever sends a
	// flood to a full machine takes what anybody takes there.
	partOfMost = 5
	// lowersBy is what a flood may take of the accepted rate.
	lowersBy = 0.1
)

// flood sends webhooks with a signature of nobody, at a rate of its own, until it is
// stopped: every second one as if from one client address, the others from many.
type flood struct {
	template
	rate     int
	next     atomic.Int64
	mu       sync.Mutex
	statuses map[int]int
	failed   map[string]int
}

func newFlood(addr, mark string, c cell, rate int) (*flood, error) {
	t, err := newTemplate(addr, mark, c.payload, 0) // its signature stands at zeros
	return &flood{template: t, rate: rate, statuses: map[int]int{}, failed: map[string]int{}}, err
}

// start sends until stop is called, which waits for the answers that are due.
func (f *flood) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	from := clock.System()
	var all sync.WaitGroup
	for range floodSenders {
		all.Go(func() { f.send(ctx, from) })
	}
	return func() {
		cancel()
		all.Wait()
	}
}

func (f *flood) send(ctx context.Context, from time.Time) {
	c := newLeanSender(f.template)
	defer c.close()
	before, after, _ := strings.Cut(string(f.text), "X-Acme-Signature")
	for ctx.Err() == nil {
		n := f.next.Add(1) - 1
		if early := from.Add(time.Duration(n) * time.Second / time.Duration(f.rate)).Sub(clock.System()); early > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(early):
			}
		}
		c.text = fmt.Appendf(c.text[:0], "%sX-Forwarded-For: %s\r\nX-Acme-Signature%s", before, floodAddress(n), after)
		c.until(clock.System().Add(answersWithin))
		status, err := c.exchange()
		f.note(status, err)
	}
}

// floodAddress is whom a proxy says that a request came from (198.18.0.0/15, RFC 2544).
func floodAddress(n int64) string {
	if n%2 == 0 {
		return "198.18.0.1"
	}
	host := n / 2 % floodAddresses
	return fmt.Sprintf("198.19.%d.%d", host/256, host%256)
}

func (f *flood) note(status int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failed[err.Error()]++
		return
	}
	f.statuses[status]++
}

// refused counts the answers, and says what else came than refusals.
func (f *flood) refused() (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for status, count := range f.statuses {
		if status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
			return n, fmt.Errorf("%d requests with a bad signature were answered %d", count, status)
		}
		n += count
	}
	for text, count := range f.failed {
		return n, fmt.Errorf("%d requests with a bad signature had no answer: %s", count, text)
	}
	return n, nil
}

// floodTurn is a turn with or without a flood.
type floodTurn struct {
	measured
	withTheFlood bool
	bad          float64 // refused a second
	unauthorized int     // answered 401
	limited      int     // answered 429
}

// floodResult is what a flood costs those who send good webhooks.
type floodResult struct {
	cell
	bad   int // a second
	turns []floodTurn
}

// measureFlood finds out how much the gateway takes at most, and then sends a part of it,
// without and with so many bad requests for each good one, in turns.
func (b *bench) measureFlood(ctx context.Context, c cell, each int) (r floodResult, err error) {
	c.env = append(c.env, "TRUSTED_PROXIES=127.0.0.1/32")
	b.say("a flood of bad signatures, %s:", c.name())
	most, err := b.gatewayTurn(ctx, c)
	if err != nil {
		return r, err
	}
	c.loop, c.rate = open, max(1, int(most.acceptRate)/partOfMost)
	r = floodResult{cell: c, bad: c.rate * each}
	b.say("  %.0f/s at most; %d/s good ones, and %d/s bad ones", most.acceptRate, c.rate, r.bad)
	for range c.repeats {
		for _, with := range []bool{false, true} {
			t, err := b.floodTurn(ctx, c, r.bad, with)
			if err != nil {
				return r, err
			}
			r.turns = append(r.turns, t)
			b.say("  %s", t.line())
		}
	}
	return r, nil
}

func (b *bench) floodTurn(ctx context.Context, c cell, bad int, with bool) (t floodTurn, err error) {
	b.turn++
	g, err := b.install(ctx, c, b.turn)
	defer func() { err = firstOf(err, g.remove(context.WithoutCancel(ctx))) }()
	if err != nil {
		return t, err
	}
	f, err := newFlood(g.addr, "flood", c, bad)
	if err != nil {
		return t, err
	}
	began, stop := clock.System(), func() {}
	if with {
		stop = f.start(ctx)
	}
	s, err := b.storm(ctx, c, g.addr, func() []costing { return b.costings(g) })
	stop()
	lasted := clock.System().Sub(began)
	if err != nil {
		return t, err
	}
	defer s.load.close()
	if c.mode == accept {
		_, err = b.acceptedOnly(ctx, g, s)
	} else {
		s.drain(ctx)
	}
	t = floodTurn{measured: s.measured(), withTheFlood: with}
	t.missing = s.ledger.missing()
	n, wrong := f.refused()
	t.bad = float64(n) / lasted.Seconds()
	t.unauthorized, t.limited = f.statuses[http.StatusUnauthorized], f.statuses[http.StatusTooManyRequests]
	return t, firstOf(err, wrong, ctx.Err())
}

func (t floodTurn) line() string {
	return fmt.Sprintf("%5.0f/s bad (%d × 401, %d × 429); good %5.0f/s accepted, p50 %s, p99 %s%s",
		t.bad, t.unauthorized, t.limited, t.acceptRate, millis(t.acceptance.p50), millis(t.acceptance.p99), t.rest())
}

// kept is the part of the accepted rate that is left with the flood, of medians.
func (r floodResult) kept() float64 {
	without, with := r.medians(false, acceptRate), r.medians(true, acceptRate)
	if without == 0 {
		return 0
	}
	return with / without
}

func (r floodResult) medians(with bool, of func(measured) float64) float64 {
	var list []float64
	for _, t := range r.turns {
		if t.withTheFlood == with {
			list = append(list, of(t.measured))
		}
	}
	return median(list)
}

// fails is the error of a run in which the flood did harm, or that compares with nothing.
func (r floodResult) fails() error {
	if without := r.medians(false, acceptRate); without < (1-lowersBy)*float64(r.rate) {
		return fmt.Errorf("without a flood %.0f/s were accepted of %d/s: the machine is busy, so this shows nothing", without, r.rate)
	}
	if r.kept() < 1-lowersBy {
		return fmt.Errorf("the flood left %.0f %% of the accepted rate", 100*r.kept())
	}
	if slices.ContainsFunc(r.turns, func(t floodTurn) bool { return t.missing > 0 || len(t.problems) > 0 }) {
		return errors.New("good webhooks were not answered 2xx, or did not arrive")
	}
	return nil
}

// String shows the turns in Markdown.
func (r floodResult) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, a fifth of the most, and %d/s with a bad signature, half of them from one client address.\n\n"+
		"| turn | bad/s | of them 401 | 429 | good/s accepted | p50 ms | p99 ms | max ms |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n", r.name(), r.bad)
	for _, t := range r.turns {
		what := "without"
		if t.withTheFlood {
			what = "with the flood"
		}
		fmt.Fprintf(&b, "| %s | %.0f | %d | %d | %.0f | %s | %s | %s |\n", what, t.bad, t.unauthorized, t.limited, t.acceptRate,
			millis(t.acceptance.p50), millis(t.acceptance.p99), millis(t.acceptance.max))
	}
	p99 := func(m measured) float64 { return float64(m.acceptance.p99) }
	fmt.Fprintf(&b, "\nMedians: the flood left %.1f %% of the accepted rate; p99 %s ms without it, %s ms with it.\n", 100*r.kept(),
		millis(time.Duration(r.medians(false, p99))), millis(time.Duration(r.medians(true, p99))))
	return b.String()
}
