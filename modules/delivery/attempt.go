package delivery

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/failpoint"
)

const (
	lockedWait   = time.Second // the wait for a job whose event is locked by another job
	maxBodyBytes = 16 << 10
)

// attempt is a claimed job with everything needed to send it.
type attempt struct {
	claimed
	queuedJob   queuedJob
	destination *destination.Destination
	event       contract.Deliverable
	original    *contract.Original // nil unless the destination needs it
	formless    error              // why the event has no canonical form by the mapping of now, where its replay orders that
}

// lock keeps two jobs of one event and destination apart.
func (c claimed) lock(ttl time.Duration) cache.Claim {
	return cache.Claim{Key: "lock:" + c.EventID + ":" + *c.DestinationID, Value: c.token, TTL: ttl}
}

// startAll prepares claimed jobs together and starts each: prepare → send → verdict →
// record is one path for first try, retry and replay.
func (w *worker) startAll(ctx context.Context, jobs []claimed, queuedJobs map[string]queuedJob) {
	var deliveries []claimed
	for _, c := range jobs {
		if c.DestinationID == nil {
			c.span = w.m.processing(c, queuedJobs[c.ID].message)
			w.goSlot(c, queuedJobs[c.ID], func(func()) error {
				return w.retryUntil(c, "dispatching a replay", func() error { return w.m.dispatchReplay(w.life, c) })
			})
			continue
		}
		deliveries = append(deliveries, c)
	}
	known, unknown := w.m.knownFirst(deliveries)
	w.launch(ctx, known, queuedJobs)
	if len(unknown) > 0 { // loading their destinations needs a query, for which the loop must not wait
		queuedJobs := maps.Clone(queuedJobs)
		w.slots.Go(func() {
			bounded, cancel := context.WithTimeout(context.WithoutCancel(w.life), claimTimeout)
			defer cancel()
			w.launch(bounded, unknown, queuedJobs)
		})
	}
}

// knownFirst splits jobs by whether their destinations are cached and accept deliveries.
func (m *Module) knownFirst(jobs []claimed) (known, unknown []claimed) {
	for _, c := range jobs {
		if d, ok := m.destinations.Known(*c.DestinationID); ok && d != nil && d.Flows() {
			known = append(known, c)
		} else {
			unknown = append(unknown, c)
		}
	}
	return known, unknown
}

// launch prepares claimed deliveries together and starts each.
func (w *worker) launch(ctx context.Context, deliveries []claimed, queuedJobs map[string]queuedJob) {
	if len(deliveries) == 0 {
		return
	}
	ready, back, err := w.m.prepare(ctx, deliveries, queuedJobs)
	if err != nil {
		w.m.log.WarnContext(ctx, "preparing deliveries failed; releasing the jobs", "jobs", len(deliveries), "error", err)
		ready, back = nil, nil
		for _, c := range deliveries {
			back = append(back, release{claimed: c, delay: lockedWait})
		}
	}
	for _, a := range ready {
		a.span = w.m.processing(a.claimed, a.queuedJob.message)
		w.goSlot(a.claimed, a.queuedJob, func(free func()) error { return w.deliver(a, free) })
	}
	for _, r := range back {
		w.goSlot(r.claimed, queuedJobs[r.ID], func(func()) error { return w.giveBack(r) })
	}
}

// goSlot runs a job's work in its slot and settles its message; after an error the message is
// requeued. The slot is free for another job when the work calls free.
func (w *worker) goSlot(c claimed, a queuedJob, work func(free func()) error) {
	w.slots.Add(1)
	go func() {
		defer w.slots.Done()
		free := sync.OnceFunc(func() { w.ended <- progress{stage: freed, destination: a.Destination, slot: a.slot} })
		if err := work(free); err != nil {
			c.span.Fail(reasonOf(err))
			w.m.log.ErrorContext(c.lines(w.life), "abandoned job; it will be reclaimed when its lease expires", append(c.logged(), "error", err)...)
			a.message.lose()
		} else {
			a.message.done()
		}
		w.m.end(c.span)
		free()
		w.ended <- progress{stage: stored}
	}()
}

// prepare reads what the jobs need, and parks or releases those that cannot be sent now.
func (m *Module) prepare(ctx context.Context, jobs []claimed, queuedJobs map[string]queuedJob) (ready []attempt, back []release, err error) {
	destinations, err := m.destinationsFor(ctx, jobs)
	if err != nil {
		return nil, nil, err
	}
	stored, err := m.contentsOf(ctx, jobs, destinations)
	if err != nil {
		return nil, nil, err
	}
	probing := map[string]bool{}
	for _, c := range jobs {
		d, known := destinations[*c.DestinationID]
		event, exists := stored.events[c.EventID]
		c.source, c.correlationID = event.Source, event.CorrelationID
		switch {
		case !exists:
			back = append(back, release{claimed: c, lost: eventGone})
			continue
		case !known:
			back = append(back, release{claimed: c, lost: destinationGone, event: event})
			continue
		case !d.Flows() || !event.Active && !d.Finishing():
			back = append(back, release{claimed: c, parked: true})
			continue
		}
		if original := stored.originals[c.EventID]; event.Deferred || original != nil && original.Deferred { // the others take the memory of one read
			back = append(back, release{claimed: c, delay: lockedWait})
			continue
		}
		if d.Breaker == destination.BreakerHalfOpen {
			if probing[d.ID] { // these were claimed before this process knew
				back = append(back, release{claimed: c, delay: lockedWait})
				continue
			}
			probing[d.ID] = true
		}
		a := attempt{claimed: c, queuedJob: queuedJobs[c.ID], destination: d, event: event, original: stored.originals[c.EventID]}
		a.renormalize(stored.renormalized)
		ready = append(ready, a)
	}
	ready, locked := m.lockAll(ctx, ready)
	return ready, append(back, locked...), nil
}

// destinationsFor returns the jobs' destinations. One that accepts nothing is read
// again, since the cache may be half a second old: its job may be the probe that another
// process has let through.
func (m *Module) destinationsFor(ctx context.Context, jobs []claimed) (map[string]*destination.Destination, error) {
	ids := eventIDs(jobs, func(c claimed) string { return *c.DestinationID })
	found, err := m.destinations.Get(ctx, ids)
	if err != nil {
		return nil, err
	}
	closed := slices.DeleteFunc(ids, func(id string) bool { d, known := found[id]; return known && d.Flows() })
	if len(closed) == 0 {
		return found, nil
	}
	again, err := m.destinations.GetAgain(ctx, closed)
	maps.Copy(found, again)
	return found, err
}

// lockAll locks each attempt's event and destination in the cache. While the cache is
// unavailable, the claim in the database is enough.
func (m *Module) lockAll(ctx context.Context, list []attempt) (free []attempt, held []release) {
	claims := make([]cache.Claim, len(list))
	for i, a := range list {
		claims[i] = a.lock(min(m.cfg.LockTTL, a.destination.Timeout(m.cfg.Timeout)+m.cfg.LeaseMargin))
	}
	answers, err := m.cache.Claim(ctx, claims)
	if err != nil {
		return list, nil
	}
	for i, a := range list {
		if answers[i].Won {
			free = append(free, a)
			continue
		}
		held = append(held, release{claimed: a.claimed, delay: lockedWait})
	}
	return free, held
}

// deliver makes one attempt and records it. Its slot is free once the answer has arrived. If
// deliver returns no error, the outcome is stored or the job is released.
func (w *worker) deliver(a attempt, free func()) error {
	patience := w.m.cfg.LeaseMargin/2 - w.m.now.Since(a.at)
	if patience < 0 {
		return w.unsent(a, 0)
	}
	leave, entered := w.enter(a, patience)
	if !entered {
		return w.unsent(a, noShare+time.Duration(w.m.random()*float64(noShare)))
	}
	ended := w.noteProcessing(a.claimed)
	note(&a.queuedJob.slot.sent, w.m.now())
	r, interrupted := w.m.send(w.life, a)
	answered := w.m.now()
	note(&a.queuedJob.slot.ended, answered)
	leave()
	ended()
	if interrupted {
		return w.unsent(a, 0)
	}
	failpoint.Hit(failpoint.AfterPost)
	free()
	record := w.m.recording(a.claimed, answered)
	o := attemptResult{claimed: a.claimed, destination: a.destination, event: a.event, response: r, chance: w.m.random()}
	err := w.retryUntil(a.claimed, "storing an outcome", func() error {
		_, err := w.m.outcomes.Do(context.WithoutCancel(w.life), o)
		return err
	})
	if err != nil {
		record.Fail(reasonOf(err))
	}
	w.m.end(record)
	w.m.logAttempt(a, r, err)
	w.m.watch(a.destination, r, answered)
	return err
}

// enter waits for a slot at a destination with its own limits; leave frees it.
func (w *worker) enter(a attempt, patience time.Duration) (leave func(), ok bool) {
	if !a.destination.Limited() {
		return func() {}, true
	}
	note(&a.queuedJob.slot.ready, w.m.now())
	if !w.gates.enter(a.destination.ID, a.ID, min(patience, gatePatience)) {
		return nil, false
	}
	select {
	case w.ended <- progress{stage: entered}:
	default: // the loop is busy and will look anyway
	}
	return func() { w.gates.leave(a.destination.ID, a.ID) }, true
}

// unsent releases a locked job that was not sent, or not completely.
func (w *worker) unsent(a attempt, delay time.Duration) error {
	defer w.m.unlock([]cache.Claim{a.lock(0)})
	return w.releaseJobs(release{claimed: a.claimed, delay: delay})
}

// send makes the request. interrupted says that life ended before the answer arrived.
func (m *Module) send(life context.Context, a attempt) (r response, interrupted bool) {
	ctx, cancel := context.WithTimeout(life, a.destination.Timeout(m.cfg.Timeout))
	defer cancel()
	began := m.now()
	span := m.sending(a, began)
	defer func() { m.endSending(span, r, interrupted) }()
	req, err := m.request(ctx, a, began)
	if err != nil {
		return response{err: destination.Brief(err.Error()), failure: failedUnsent, unsent: true, hopeless: neverSendable(err)}, false
	}
	describeRequest(span, req)
	if parent := m.traceparent(a, span); parent != "" {
		req.Header.Set("Traceparent", parent)
	}
	answer, err := m.client.Do(ctx, a.destination, req)
	r.duration = m.now.Since(began)
	hide := func(text string) string { return a.destination.Hide(text, req.Header.Get("Authorization")) }
	switch {
	case err != nil && life.Err() != nil:
		return r, true
	case err != nil:
		r.err, r.failure, r.detail = destination.Brief(hide(m.wording(a.destination, err))), failureOf(err), destination.Brief(hide(egress.Detail(err)))
	default:
		r.status = answer.Status
		r.retryAfter = retryAfter(answer.Header, m.now())
		r.body = destination.Storable([]byte(hide(string(answer.Body))), maxBodyBytes)
	}
	return r, false
}
