package main

import (
	"slices"
	"sync"
	"time"

	"integration-gateway/platform/clock"
)

// ledger holds what the provider was answered and what the receiver got.
type ledger struct {
	mu      sync.Mutex
	events  map[string]*entry // by the provider's event id
	answers []answer
	strange []string // deliveries that contradict the books
}

// entry is one event.
type entry struct {
	eventID   string      // by the answer of 2xx
	accepted  time.Time   // zero until then
	delivered []time.Time // answers of 2xx that the receiver gave whole
	refused   int         // answers by which the receiver said that it wants no more
	webhookID string      // of the first delivery
}

// answer is one answer to the provider. A status of 0 is none: the connection broke, or
// nobody listened.
type answer struct {
	at         time.Time
	took       time.Duration
	status     int
	retryAfter bool
}

func newLedger() *ledger { return &ledger{events: map[string]*entry{}} }

func (l *ledger) of(external string) *entry {
	e := l.events[external]
	if e == nil {
		e = &entry{}
		l.events[external] = e
	}
	return e
}

// answered notes an answer to the provider; eventID is that of an answer of 2xx.
func (l *ledger) answered(external, eventID string, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, a)
	e := l.of(external)
	if eventID == "" {
		return
	}
	if e.accepted.IsZero() {
		e.accepted, e.eventID = clock.System(), eventID
	}
	l.compare(external, e)
}

// took notes what the receiver answered to a delivery.
func (l *ledger) took(external, webhookID string, well, forGood bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of(external)
	if well {
		e.delivered = append(e.delivered, clock.System())
	}
	if forGood {
		e.refused++
	}
	if e.webhookID == "" {
		e.webhookID = webhookID
	}
	if e.webhookID != webhookID {
		l.strange = append(l.strange, external+" came as "+e.webhookID+" and as "+webhookID)
	}
	l.compare(external, e)
}

func (l *ledger) compare(external string, e *entry) {
	if e.eventID != "" && e.webhookID != "" && e.eventID != e.webhookID {
		l.strange = append(l.strange, external+" was accepted as "+e.eventID+" and delivered as "+e.webhookID)
	}
}

// tally is a moment's sum.
type tally struct {
	sent, accepted, delivered, refused int
	lost                               []string // accepted, and neither delivered nor refused
	unaccepted                         []string
	twice                              int
	strays                             []string // delivered twice, though not in flight at the fault
}

// sum counts. Between from and to, what was delivered may have been in flight.
func (l *ledger) sum(from, to time.Time) tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	var t tally
	for external, e := range l.events {
		t.sent++
		if e.accepted.IsZero() {
			t.unaccepted = append(t.unaccepted, external)
			continue
		}
		t.accepted++
		switch {
		case len(e.delivered) > 0:
			t.delivered++
		case e.refused > 0:
			t.refused++
		default:
			t.lost = append(t.lost, external+" ("+e.eventID+")")
		}
		if len(e.delivered) > 1 {
			t.twice++
			if first := e.delivered[0]; first.Before(from) || first.After(to) {
				t.strays = append(t.strays, external+" ("+e.eventID+")")
			}
		}
	}
	slices.Sort(t.lost)
	return t
}

// flow is how deliveries went on after the server's return.
type flow struct {
	silence time.Duration // the longest time without a delivery, until all was delivered
	wait    time.Duration // the longest from an event's acceptance, or the return where that was later, to its delivery
}

// With late, silence counts until stopped alone.
func (l *ledger) flow(back, stopped time.Time, late bool) flow {
	l.mu.Lock()
	defer l.mu.Unlock()
	var times []time.Time
	var f flow
	for _, e := range l.events {
		if len(e.delivered) == 0 {
			continue
		}
		first := e.delivered[0]
		times = append(times, first)
		since := e.accepted
		if since.Before(back) {
			since = back
		}
		f.wait = max(f.wait, first.Sub(since))
	}
	slices.SortFunc(times, time.Time.Compare)
	last := back
	for _, at := range times {
		if at.Before(back) {
			continue
		}
		if !late || last.Before(stopped) {
			f.silence = max(f.silence, at.Sub(last))
		}
		last = at
	}
	if last.Before(stopped) {
		f.silence = max(f.silence, stopped.Sub(last))
	}
	return f
}

// during gives the answers to requests that were sent and answered between two moments.
func (l *ledger) during(from, to time.Time) []answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []answer
	for _, a := range l.answers {
		if !a.at.Add(-a.took).Before(from) && a.at.Before(to) {
			list = append(list, a)
		}
	}
	return list
}
