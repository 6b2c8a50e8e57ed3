package main

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"integration-gateway/platform/clock"
)

// ledger records the responses to the provider and the deliveries to the receiver.
type ledger struct {
	mu             sync.Mutex
	events         map[string]*entry // by the provider's event id
	answers        []answer
	contradictions []string          // deliveries that contradict earlier records
	repeats        map[string]string // events that are repeats of others, by their ids
	aliases        bool              // an event may be accepted again under another id
}

// entry is one event.
type entry struct {
	eventID   string     // from the 2xx response
	accepted  time.Time  // zero until then
	delivered []delivery // deliveries that the receiver answered 2xx
	refused   int        // deliveries that the receiver refused for good
	webhookID string     // of the first delivery
	lostID    string     // its id before the database lost it
	stale     []delivery // with that id, since then
}

// delivery is one request that the receiver answered 2xx.
type delivery struct {
	webhookID    string
	began, ended time.Time
	broken       bool // the gateway died before the response
}

// answer is one response to the provider. Status 0 means none: the connection broke, or was
// refused.
type answer struct {
	at         time.Time
	took       time.Duration
	status     int
	retryAfter bool
}

func newLedger() *ledger { return &ledger{events: map[string]*entry{}} }

func (l *ledger) event(external string) *entry {
	e := l.events[external]
	if e == nil {
		e = &entry{}
		l.events[external] = e
	}
	return e
}

// recordAnswer records a response to the provider; eventID is from a 2xx response.
func (l *ledger) recordAnswer(external, eventID string, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, a)
	e := l.event(external)
	if eventID == "" {
		return
	}
	if !e.accepted.IsZero() && e.eventID != eventID {
		l.contradictions = append(l.contradictions, external+" was accepted as "+e.eventID+" and again as "+eventID)
	}
	if e.accepted.IsZero() {
		e.accepted, e.eventID = clock.System(), eventID
		if eventID == e.lostID && len(e.stale) > 0 {
			e.delivered, e.webhookID, e.stale = e.stale, eventID, nil
		}
	}
	l.compare(external, e)
}

// recordDelivery records the receiver's response to a delivery.
func (l *ledger) recordDelivery(external string, d delivery, ok, forGood bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.event(external)
	d.ended = clock.System()
	if e.lostID == d.webhookID && e.eventID != e.lostID {
		// From before the rewind, unless the event gets the same id again.
		if e.accepted.IsZero() && ok {
			e.stale = append(e.stale, d)
		}
		return
	}
	if ok {
		e.delivered = append(e.delivered, d)
	}
	if forGood {
		e.refused++
	}
	if e.webhookID == "" {
		e.webhookID = d.webhookID
	}
	if e.webhookID != d.webhookID {
		l.contradictions = append(l.contradictions, external+" was delivered as "+e.webhookID+" and as "+d.webhookID)
	}
	l.compare(external, e)
}

func (l *ledger) compare(external string, e *entry) {
	if !l.aliases && e.eventID != "" && e.webhookID != "" && e.eventID != e.webhookID {
		l.contradictions = append(l.contradictions, external+" was accepted as "+e.eventID+" and delivered as "+e.webhookID)
	}
}

// tally holds the totals at a moment.
type tally struct {
	sent, accepted, delivered, refused int
	lost                               []string // accepted, but neither delivered nor refused
	unaccepted                         []string
	twice                              int
	unexpectedTwice                    []string // delivered twice, although not in flight at the fault
}

// tally counts. Events delivered between from and to may have been in flight.
func (l *ledger) tally(from, to time.Time) tally {
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
		case e.firstDelivery() != nil:
			t.delivered++
		case e.refused > 0:
			t.refused++
		default:
			t.lost = append(t.lost, external+" ("+e.eventID+")")
		}
		if len(e.delivered) > 1 {
			t.twice++
			if !e.duplicateAllowed(from, to) {
				t.unexpectedTwice = append(t.unexpectedTwice, external+" ("+e.eventID+")")
			}
		}
	}
	slices.Sort(t.lost)
	return t
}

// firstDelivery returns the first delivery whose response the gateway could read.
func (e *entry) firstDelivery() *delivery {
	for i := range e.delivered {
		if !e.delivered[i].broken {
			return &e.delivered[i]
		}
	}
	return nil
}

// duplicateAllowed reports whether every delivery but the last was in flight at the fault:
// the gateway died before the response, or got it between from and to.
func (e *entry) duplicateAllowed(from, to time.Time) bool {
	if e.lostID != "" {
		return true
	}
	for _, d := range e.delivered[:len(e.delivered)-1] {
		if !d.broken && (d.ended.Before(from) || d.ended.After(to)) {
			return false
		}
	}
	return true
}

// failures returns the responses with a status from 500.
func (l *ledger) failures() []answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.answers), func(a answer) bool { return a.status < http.StatusInternalServerError })
}

// count5xx counts the responses by status from 500.
func (l *ledger) count5xx() map[int]int {
	counts := map[int]int{}
	for _, a := range l.failures() {
		counts[a.status]++
	}
	return counts
}

// answersBetween returns the responses to requests that were sent and answered between two
// moments.
func (l *ledger) answersBetween(from, to time.Time) []answer {
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
