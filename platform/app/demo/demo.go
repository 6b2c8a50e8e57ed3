// Package demo keeps a gateway busy for trying it out. It is several providers, the services that
// events are delivered to, and the operators, and does all by HTTP, as they would.
package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"integration-gateway/platform/client"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/provider"
)

// Options say which gateway is filled.
type Options struct {
	URL  string        // of the gateway
	Key  string        // a management key with the role admin
	Pace time.Duration // between two webhooks, once it is filled; 700 ms
	// Filled is called once there is something to see; what comes then goes on until the context
	// ends.
	Filled func(sources, webhooks int)
}

// world is a gateway with what is around it.
type world struct {
	o        Options
	http     *http.Client
	admin    *client.Client
	operator *client.Client // a colleague, who appears in the audit trail
	receiver *receiver
	sources  []*source
	chance   *rand.Rand
	sent     int
	ids      map[string][]string // of the accepted events, by source
}

// Run fills the gateway and keeps it busy until ctx ends. An error says what could not be set up.
func Run(ctx context.Context, o Options) error {
	if o.Pace == 0 {
		o.Pace = 700 * time.Millisecond
	}
	w := &world{o: o, http: &http.Client{Timeout: 10 * time.Second}, ids: map[string][]string{},
		chance: rand.New(rand.NewPCG(2026, 1))} //nolint:gosec // the demo is the same each time
	defer w.http.CloseIdleConnections()
	var err error
	if w.admin, err = client.New(client.Options{URL: o.URL, Key: o.Key, UserAgent: "gateway-demo"}); err != nil {
		return err
	}
	if w.receiver, err = newReceiver(ctx); err != nil {
		return err
	}
	defer w.receiver.close()
	if err := w.fill(ctx); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was stopped
		}
		return fmt.Errorf("fill the demo: %w", err)
	}
	if o.Filled != nil {
		o.Filled(len(w.sources), w.sent)
	}
	w.live(ctx)
	return nil
}

// live sends webhooks and lets operators react until ctx ends. What is refused here is part of the
// demo: somebody may have paused or removed a source in the meantime.
func (w *world) live(ctx context.Context) {
	react := w.reactions()
	for i := 0; clock.Sleep(ctx, w.o.Pace/2+time.Duration(w.chance.Int64N(int64(w.o.Pace)))); i++ {
		s := w.pick()
		how := valid
		if i%45 == 44 {
			how = forged
		}
		_, _ = w.send(ctx, s, s.pick(w.chance), how)
		if i%8 == 7 {
			react = w.react(ctx, react)
		}
	}
}

// pick draws a source by its weight.
func (w *world) pick() *source {
	total := 0
	for _, s := range w.sources {
		total += s.weight
	}
	at := w.chance.IntN(total)
	for _, s := range w.sources {
		if at -= s.weight; at < 0 {
			return s
		}
	}
	return w.sources[0]
}

// specOf is a shipped provider.
func specOf(name string) (provider.Spec, error) {
	spec, known := provider.Builtin().Spec(name)
	if !known {
		return spec, errors.New("there is no provider " + name)
	}
	return spec, nil
}
