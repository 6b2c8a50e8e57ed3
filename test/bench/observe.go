package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"integration-gateway/platform/clock"
)

// watched is a way to observe the gateway.
type watched struct {
	name string
	keep float64 // minimum share of the rates that must remain; 0 for what the others are compared with

	env      []string // additional environment of the gateway
	scrape   bool
	consoles int // that are open meanwhile
}

// begin begins to observe a gateway.
func (w watched) begin(ctx context.Context, g *gateway, r *observed) (stop func() error, err error) {
	if w.consoles > 0 {
		c, stop, err := openConsoles(ctx, g.addr, w.consoles)
		if err != nil {
			return nil, err
		}
		return func() error {
			err := stop()
			r.messages, r.pages = r.messages+c.messages.Load(), r.pages+c.pages.Load()
			return err
		}, nil
	}
	quiet := g.scrape(ctx)
	return func() error { quiet(); return nil }, nil
}

// watching lists them; sink is a collector's URL. Without METRICS_ADDR nothing is counted for
// metrics, except by the embedded gateway, which is only not scraped.
func watching(sink string) []watched {
	return []watched{
		{name: "metrics off, traces off", env: []string{"METRICS_ADDR="}},
		{name: "metrics on, traces off", keep: 0.97, scrape: true},
		{name: "metrics on, traces of 1 %", keep: 0.95, scrape: true,
			env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + sink, "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.01"}},
	}
}

// scrape asks each process for its metrics every second until stop is called.
func (g *gateway) scrape(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for _, url := range g.metrics {
		all.Go(func() {
			for clock.Sleep(ctx, time.Second) {
				_ = scrapeOnce(ctx, url) // as Prometheus, it tries again
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

func scrapeOnce(ctx context.Context, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("X-Internal-Api-Key", managementKey) // dev asks for it
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// observed is what observing takes from the gateway's rates.
type observed struct {
	workload
	ways  []watched
	turns [][]measured // by way; of the first there is one more, so that each turn of the others is between two
	spans int64        // requests of spans that the sink has taken

	messages, pages int64 // that consoles got
}

// spanSink takes spans and answers 200.
type spanSink struct {
	*httptest.Server
	requests atomic.Int64
}

func newSpanSink() *spanSink {
	s := &spanSink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.requests.Add(1)
		w.WriteHeader(http.StatusOK)
	}))
	return s
}

// measureObserved measures with metrics and traces.
func (b *bench) measureObserved(ctx context.Context, w workload) (observed, error) {
	sink := newSpanSink()
	defer sink.Close()
	r, err := b.inTurns(ctx, w, watching(sink.URL))
	r.spans = sink.requests.Load()
	return r, err
}

// inTurns measures the ways in turns, so that what changes on the machine meanwhile is in all of
// them: off, on, off, traced, off, …
func (b *bench) inTurns(ctx context.Context, w workload, ways []watched) (observed, error) {
	r := observed{workload: w, ways: ways, turns: make([][]measured, len(ways))}
	turn := func(i int) error {
		at := w
		at.env, at.scrape = slices.Concat(w.env, ways[i].env), ways[i].scrape
		var stopped error
		m, err := b.gatewayTurnWith(ctx, at, func(g *gateway) (func(), error) {
			stop, err := ways[i].begin(ctx, g, &r)
			return func() { stopped = stop() }, err
		})
		if err := firstOf(err, stopped); err != nil {
			return fmt.Errorf("%s: %w", ways[i].name, err)
		}
		r.turns[i] = append(r.turns[i], m)
		b.say("  %-26s %6.0f/s accepted, p99 %s%s", ways[i].name, m.acceptRate, millis(m.acceptance.p99), m.details())
		return nil
	}
	b.say("%s, in turns:", w.name())
	if err := turn(0); err != nil {
		return r, err
	}
	for range w.repeats {
		for i := 1; i < len(ways); i++ {
			if err := firstOf(turn(i), turn(0)); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// ratios divides a figure of each turn of a way by that of the turns without, before and after it.
func (r observed) ratios(way int, of func(measured) float64) []float64 {
	list := make([]float64, len(r.turns[way]))
	for n, m := range r.turns[way] {
		before := n*(len(r.ways)-1) + way - 1
		if without := (of(r.turns[0][before]) + of(r.turns[0][before+1])) / 2; without > 0 {
			list[n] = of(m) / without
		}
	}
	return list
}

// used is the processor's milliseconds an event, of all programs but the generator.
func (m measured) used() (ms float64) {
	for _, c := range m.costs {
		if c.name != generator {
			ms += c.cpu
		}
	}
	return ms
}

// missing counts accepted webhooks that did not arrive.
func (r observed) missing() (n int) {
	for _, turns := range r.turns {
		n += result{turns: turns}.missing()
	}
	return n
}

func (r observed) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. Medians of the turns; ratios are to the turns without, before and after.\n", r.name())
	b.WriteString("CPU is milliseconds an event of all programs but the generator.\n\n")
	b.WriteString("what                      accept/s  ratio deliv/s  ratio    bar   CPU  ratio\n")
	for i, way := range r.ways {
		each := result{turns: r.turns[i]}
		accepted, delivered, bar, used := "–", "–", "–", "–"
		if i > 0 {
			used = fmt.Sprintf("%.3f", median(r.ratios(i, measured.used)))
			accepted, bar = fmt.Sprintf("%.3f", median(r.ratios(i, acceptRate))), fmt.Sprintf("≥ %.2f", way.keep)
			if r.mode == deliver {
				delivered = fmt.Sprintf("%.3f", median(r.ratios(i, deliverRate)))
			}
		}
		fmt.Fprintf(&b, "%s%s%s%s%s%s%6.2f%s\n", pad(way.name, -26), pad(fmt.Sprintf("%.0f", median(each.each(acceptRate))), 8), pad(accepted, 7),
			pad(fmt.Sprintf("%.0f", median(each.each(deliverRate))), 8), pad(delivered, 7), pad(bar, 7),
			median(each.each(measured.used)), pad(used, 7))
	}
	if r.pages+r.messages > 0 {
		fmt.Fprintf(&b, "\nThe consoles got %d messages and %d pages.\n", r.messages, r.pages)
	} else {
		fmt.Fprintf(&b, "\nThe sink took %d requests of spans.\n", r.spans)
	}
	return b.String()
}
