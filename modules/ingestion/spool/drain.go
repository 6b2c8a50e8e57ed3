package spool

import (
	"context"
	"errors"
	"sync"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// What became of a spooled webhook.
const (
	Stored   = "stored"
	Repeated = "repeated" // its event was known
)

// Store stores webhooks together and returns an outcome for each, Stored or Repeated, or its
// error: fault.Unavailable if it may be tried again later.
type Store func(ctx context.Context, webhooks []Webhook) ([]string, []error)

// The bounds of what a process holds of the spool: messages, and bytes in one commit.
const (
	prefetch   = 16
	groupBytes = 4 << 20
)

// maxTries is how often the first webhook of the spool is tried, while the database accepts
// others' writes, before it is parked: it must not hold up the rest.
const maxTries = 20

// Run has spooled webhooks stored, and watches the depth, until ctx ends.
func (s *Spool) Run(ctx context.Context, store Store) {
	var all sync.WaitGroup
	all.Go(func() { s.watch(ctx) })
	all.Go(func() { s.retryParked(ctx, store) })
	d := drain{Spool: s, store: store}
	for {
		if !s.gate.away.Load() && s.Depth().Waiting > 0 {
			d.run(ctx)
		}
		if !clock.Sleep(ctx, s.cfg.Pause) {
			all.Wait()
			return
		}
	}
}

// drain stores webhooks of one queue.
type drain struct {
	*Spool
	store Store
	first string // the id of the webhook that failed last
	tries int
}

// item is a message and its webhook.
type item struct {
	broker.Delivery
	webhook Webhook
}

// run consumes the spool until it is empty, ctx ends, the database does not answer, or another
// process consumes it. What it holds then goes back to the spool, in its place.
func (d *drain) run(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	in := make(chan broker.Delivery, prefetch) // all that may be unsettled
	consumed := make(chan struct{})
	go func() {
		defer close(consumed)
		_ = d.d.Broker.Consume(ctx, broker.Spool, prefetch, func(m broker.Delivery) { // its arguments are valid
			select {
			case in <- m:
			case <-ctx.Done():
				m.Requeue()
			}
		})
	}()
	defer func() {
		stop()
		<-consumed
		close(in)
		for m := range in {
			m.Requeue()
		}
	}()
	idle := time.NewTimer(d.cfg.Idle)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-consumed: // by another process
			return
		case <-idle.C:
			return
		case m := <-in:
			if !d.group(ctx, d.collect(m, in)) {
				return
			}
			idle.Reset(d.cfg.Idle)
		}
	}
}

// collect adds the messages that are there to the first one.
func (d *drain) collect(first broker.Delivery, in <-chan broker.Delivery) []broker.Delivery {
	all, size := []broker.Delivery{first}, len(first.Body)
	for len(all) < prefetch && size < groupBytes {
		select {
		case m := <-in:
			all, size = append(all, m), size+len(m.Body)
		default:
			return all
		}
	}
	return all
}

// group stores a group of messages and settles each. It returns false if it put some of them back.
func (d *drain) group(ctx context.Context, messages []broker.Delivery) bool {
	var items []*item
	ok := true
	for _, m := range messages {
		w, err := d.decode(m.Body)
		if err != nil {
			ok = d.park(ctx, &item{Delivery: m}, err) && ok
			continue
		}
		items = append(items, &item{Delivery: m, webhook: w})
	}
	if len(items) == 0 {
		return ok
	}
	d.saw(0, items[0].webhook.ReceivedAt)
	webhooks := make([]Webhook, len(items))
	for i, one := range items {
		webhooks[i] = one.webhook
	}
	outcomes, errs := d.store(context.WithoutCancel(ctx), webhooks) // the commit is bounded in itself
	failed := false
	for i, one := range items {
		switch {
		case errs[i] == nil:
			d.d.Metrics.Spooled(outcomes[i], 1, len(one.Body))
			d.saw(-1, one.webhook.ReceivedAt)
			one.Ack()
		case fault.Is(errs[i], fault.Unavailable) && (failed || !d.exhausted(one.webhook.ID)):
			if !failed {
				d.d.Log.WarnContext(ctx, "a spooled webhook could not be stored; it stays in the spool", "webhook", one.webhook.ID, "error", errs[i])
			}
			failed = true
			one.Requeue()
		default:
			ok = d.park(ctx, one, errs[i]) && ok
		}
	}
	return ok && !failed
}

// exhausted counts the tries of a webhook. While the database is away none is counted.
func (d *drain) exhausted(webhookID string) bool {
	if d.first != webhookID {
		d.first, d.tries = webhookID, 0
	}
	if !d.gate.away.Load() {
		d.tries++
	}
	return d.tries >= maxTries
}

// park moves a message to the parked ones, from which it is tried again. It returns false if the
// broker did not take it; then it is back in its queue.
func (s *Spool) park(ctx context.Context, one *item, cause error) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Confirm)
	defer cancel()
	if err := s.d.Broker.Publish(ctx, []broker.Message{{Queue: broker.SpoolParked, Body: one.Body}})[0]; err != nil {
		s.d.Log.WarnContext(ctx, "a spooled webhook could not be parked; it stays where it is", "error", err)
		one.Requeue()
		return false
	}
	one.Ack()
	s.d.Metrics.Spooled("parked", 1, len(one.Body))
	s.d.Log.ErrorContext(ctx, "a spooled webhook cannot be stored; it is parked and tried again later", "webhook", one.webhook.ID,
		"source", one.webhook.Source, "error", cause)
	return true
}

// retryParked tries the parked webhooks again from time to time: what was wrong may have been
// mended, by a newer program for instance.
func (s *Spool) retryParked(ctx context.Context, store Store) {
	for clock.Sleep(ctx, s.cfg.Again) {
		parked, err := s.d.Broker.Depth(ctx, broker.SpoolParked)
		if err == nil && parked > 0 && !s.gate.away.Load() {
			s.parkedOnce(ctx, store, parked)
		}
	}
}

// parkedTime bounds one round over the parked webhooks.
const parkedTime = 5 * time.Minute

// parkedOnce tries n parked webhooks, one after the other.
func (s *Spool) parkedOnce(ctx context.Context, store Store, n int) {
	ctx, stop := context.WithTimeout(ctx, parkedTime)
	defer stop()
	_ = s.d.Broker.Consume(ctx, broker.SpoolParked, 1, func(m broker.Delivery) {
		if n--; n < 0 || ctx.Err() != nil {
			m.Requeue()
			stop()
			return
		}
		if !s.again(ctx, store, m) || n == 0 {
			stop()
		}
	})
}

// again tries one parked webhook. It goes to the end of the parked ones if it fails again.
func (s *Spool) again(ctx context.Context, store Store, m broker.Delivery) bool {
	one := &item{Delivery: m}
	w, err := s.decode(m.Body)
	if err != nil {
		return s.park(ctx, one, err)
	}
	one.webhook = w
	outcomes, errs := store(context.WithoutCancel(ctx), []Webhook{w})
	switch err := errors.Join(errs...); {
	case err == nil:
		m.Ack()
		s.d.Metrics.Spooled(outcomes[0], 1, len(m.Body))
		return true
	case fault.Is(err, fault.Unavailable) && s.gate.away.Load():
		m.Requeue()
		return false
	default:
		return s.park(ctx, one, err)
	}
}
