package delivery

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/failpoint"
	"integration-gateway/platform/telemetry"
)

const (
	lockedWait    = time.Second // until a job whose event another one works on is tried again
	maxErrorBytes = 500
	maxBodyBytes  = 16 << 10
)

// attempt is a claimed job with all that it takes to send it.
type attempt struct {
	claimed
	arrival     arrival
	destination destination
	event       contract.Deliverable
	original    *contract.Original // where the destination needs it
}

// lock keeps two jobs of one event and destination apart.
func (c claimed) lock(ttl time.Duration) cache.Claim {
	return cache.Claim{Key: "lock:" + c.EventID + ":" + *c.DestinationID, Value: c.token, TTL: ttl}
}

// setOff prepares claimed jobs together and starts each: prepare → send → verdict →
// record is one path for first try, retry and replay.
func (w *worker) setOff(ctx context.Context, jobs []claimed, arrivals map[string]arrival) {
	var deliveries []claimed
	for _, c := range jobs {
		if c.DestinationID == nil {
			w.goTurn(c, arrivals[c.ID], func(func()) error {
				return w.retryUntil(c, "dispatching a replay", func() error { return w.m.dispatch(w.life, c) })
			})
			continue
		}
		deliveries = append(deliveries, c)
	}
	if len(deliveries) == 0 {
		return
	}
	ready, back, err := w.m.prepare(ctx, deliveries, arrivals)
	if err != nil {
		w.m.log.WarnContext(ctx, "preparing deliveries failed; giving the jobs back", "jobs", len(deliveries), "error", err)
		ready, back = nil, nil
		for _, c := range deliveries {
			back = append(back, release{claimed: c, delay: lockedWait})
		}
	}
	for _, a := range ready {
		w.goTurn(a.claimed, a.arrival, func(free func()) error { return w.deliver(a, free) })
	}
	for _, r := range back {
		w.goTurn(r.claimed, arrivals[r.ID], func(func()) error { return w.giveBack(r) })
	}
}

// goTurn runs a turn and settles its message: with an error it goes back. The turn's
// place is free for another once it says so.
func (w *worker) goTurn(c claimed, a arrival, turn func(free func()) error) {
	w.turns.Add(1)
	go func() {
		defer w.turns.Done()
		free := sync.OnceFunc(func() { w.ended <- progress{destination: a.Destination} })
		if err := turn(free); err != nil {
			ctx := telemetry.WithCorrelation(w.life, c.CorrelationID)
			w.m.log.ErrorContext(ctx, "a job was left to its lease", "job_id", c.ID, "event_id", c.EventID, "error", err)
			a.message.lose()
		} else {
			a.message.done()
		}
		free()
		w.ended <- progress{stored: true}
	}()
}

func (w *worker) giveBack(r release) error {
	return w.retryUntil(r.claimed, "giving a job back", func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.life), claimTimeout)
		defer cancel()
		return w.m.giveBack(ctx, []release{r})
	})
}

// prepare reads what the jobs need, and parks or gives back those that cannot go now.
func (m *Module) prepare(ctx context.Context, jobs []claimed, arrivals map[string]arrival) (ready []attempt, back []release, err error) {
	destinationIDs := eventIDs(jobs, func(c claimed) string { return *c.DestinationID })
	destinations, err := m.directory.get(ctx, destinationIDs)
	if err != nil {
		return nil, nil, err
	}
	events, err := m.events.Deliverables(ctx, eventIDs(jobs, func(c claimed) string { return c.EventID }))
	if err != nil {
		return nil, nil, err
	}
	byID := make(map[string]contract.Deliverable, len(events))
	for _, e := range events {
		byID[e.EventID] = e
	}
	originals, err := m.originals(ctx, jobs, destinations)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range jobs {
		d, known := destinations[*c.DestinationID]
		event, stored := byID[c.EventID]
		if !known || !stored || !d.flows() || !event.Active && !d.finishing() {
			back = append(back, release{claimed: c, parked: true})
			continue
		}
		ready = append(ready, attempt{claimed: c, arrival: arrivals[c.ID], destination: d, event: event, original: originals[c.EventID]})
	}
	ready, locked := m.lockAll(ctx, ready)
	return ready, append(back, locked...), nil
}

// lockAll locks each attempt's event and destination in the cache. Without the cache
// the claim alone decides.
func (m *Module) lockAll(ctx context.Context, list []attempt) (free []attempt, held []release) {
	claims := make([]cache.Claim, len(list))
	for i, a := range list {
		claims[i] = a.lock(min(m.cfg.LockTTL, m.timeout(a.destination)+m.cfg.LeaseMargin))
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

// deliver makes one attempt and records it; its place is free as soon as the answer is
// there. Without an error the outcome is stored, or the job is given back.
func (w *worker) deliver(a attempt, free func()) error {
	if w.m.now.Since(a.at) > w.m.cfg.LeaseMargin/2 {
		return w.unsent(a)
	}
	ended := w.noteProcessing(a.claimed)
	r, interrupted := w.m.send(w.life, a)
	ended()
	if interrupted {
		return w.unsent(a)
	}
	failpoint.Hit(failpoint.AfterPost)
	free()
	o := outcome{claimed: a.claimed, destination: a.destination, event: a.event, response: r, chance: w.m.random()}
	err := w.retryUntil(a.claimed, "storing an outcome", func() error {
		_, err := w.m.outcomes.Do(context.WithoutCancel(w.life), o)
		return err
	})
	w.m.logAttempt(a, r, err)
	w.m.watch(a.destination, r)
	return err
}

// unsent gives back a job that was locked and not sent, or not to its end.
func (w *worker) unsent(a attempt) error {
	defer w.m.unlock([]cache.Claim{a.lock(0)})
	return w.giveBack(release{claimed: a.claimed})
}

func (m *Module) logAttempt(a attempt, r response, err error) {
	ctx := telemetry.WithCorrelation(context.Background(), a.CorrelationID)
	fields := []any{"event_id", a.EventID, "destination_id", a.destination.ID, "job_id", a.ID, "attempt", a.AttemptNo,
		"http_status", r.status, "duration_ms", r.duration.Milliseconds()}
	switch {
	case err != nil:
		m.log.ErrorContext(ctx, "an attempt's outcome is not stored", append(fields, "error", err)...)
	case r.received():
		m.log.InfoContext(ctx, "delivered", fields...)
	default:
		m.log.WarnContext(ctx, "not delivered", append(fields, "error", *r.problem())...)
	}
}

// unlock lets go of the locks of what was recorded or given back.
func (m *Module) unlock(locks []cache.Claim) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = m.cache.Release(ctx, locks) // else they run out
}

// send makes the request. interrupted says that life ended before the answer came.
func (m *Module) send(life context.Context, a attempt) (r response, interrupted bool) {
	ctx, cancel := context.WithTimeout(life, m.timeout(a.destination))
	defer cancel()
	began := m.now()
	req, err := m.request(ctx, a, began)
	if err != nil {
		return response{err: brief(err.Error()), failure: failedUnsent, unsent: true, hopeless: neverSendable(err)}, false
	}
	answer, err := m.authorizedDo(ctx, a.destination, req)
	r.duration = m.now.Since(began)
	switch {
	case err != nil && life.Err() != nil:
		return r, true
	case errors.Is(err, context.DeadlineExceeded):
		r.err, r.failure = "no answer within "+m.timeout(a.destination).String(), string(egress.KindTimeout)
	case err != nil:
		r.err, r.failure = brief(err.Error()), failureOf(err)
	default:
		r.status = answer.Status
		r.retryAfter = retryAfter(answer.Header, m.now())
		r.body = storable(answer.Body, maxBodyBytes)
	}
	return r, false
}

// storable makes text of a body that any of the databases takes: valid UTF-8 without
// NUL, at most so many bytes.
func storable(body []byte, limit int) string {
	text := string(body[:min(len(body), limit)])
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	for len(text) > limit {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

func brief(text string) string { return storable([]byte(text), maxErrorBytes) }
