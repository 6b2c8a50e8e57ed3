package main

import (
	"slices"
	"sync/atomic"
	"time"
)

// ledger holds what became of each webhook of a turn, by its number.
type ledger struct {
	mark     string // the ids' beginning
	sign     []byte // how a delivery's body announces the id
	records  []record
	next     atomic.Int64
	arrivals atomic.Int64
	twice    atomic.Int64
	among    int // sources in turn, of which the first is left out; 0 for one that is not
}

// record is one webhook. Times are microseconds of the clock; 0 is never.
type record struct {
	due      int64 // when it was to be sent: in a closed loop when it was
	answered int64
	status   int // 0 when no answer came
	arrived  atomic.Int64
}

func newLedger(mark string, size int) *ledger {
	return &ledger{mark: mark, sign: []byte(`"externalEventId":"` + mark + `-`), records: make([]record, size)}
}

// counts reports whether webhook number n counts.
func (l *ledger) counts(n int) bool { return l.among == 0 || n%l.among != 0 }

func (r *record) accepted() bool { return r.status/100 == 2 }

// used are the records of webhooks that were sent so far, from the n-th on.
func (l *ledger) used(n int) []record {
	end := min(int(l.next.Load()), len(l.records))
	return l.records[min(n, end):end] //nolint:govet // the records themselves are not copied
}

// missing counts what was accepted and did not arrive.
func (l *ledger) missing() (n int) {
	for i := range l.used(0) {
		if r := &l.records[i]; l.counts(i) && r.accepted() && r.arrived.Load() == 0 {
			n++
		}
	}
	return n
}

// spread is a distribution of latencies.
type spread struct{ p50, p90, p99, max time.Duration }

func spreadOf(micros []int64) spread {
	if len(micros) == 0 {
		return spread{}
	}
	slices.Sort(micros)
	at := func(part float64) time.Duration {
		return time.Duration(micros[int(part*float64(len(micros)-1))]) * time.Microsecond
	}
	return spread{p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1)}
}
