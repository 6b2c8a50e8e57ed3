package main

import (
	"slices"
	"sync/atomic"
	"time"
)

// ledger records the result of each webhook of a turn, by its number.
type ledger struct {
	mark     string // prefix of the ids
	sign     []byte // marks the id in a delivery's body
	records  []record
	next     atomic.Int64
	arrivals atomic.Int64
	twice    atomic.Int64
	sources  int // sources in rotation, of which the first is ignored; 0 for a single one that counts
}

// record is one webhook. Times are microseconds of the clock; 0 means never.
type record struct {
	due      int64 // scheduled time of sending; in a closed loop the actual time
	answered int64
	status   int // 0 without a response
	arrived  atomic.Int64
}

func newLedger(mark string, size int) *ledger {
	return &ledger{mark: mark, sign: []byte(`"externalEventId":"` + mark + `-`), records: make([]record, size)}
}

// counts reports whether webhook number n counts.
func (l *ledger) counts(n int) bool { return l.sources == 0 || n%l.sources != 0 }

func (r *record) accepted() bool { return r.status/100 == 2 }

// used returns the records of the webhooks sent so far, from the n-th on.
func (l *ledger) used(n int) []record {
	end := min(int(l.next.Load()), len(l.records))
	return l.records[min(n, end):end] //nolint:govet // the records themselves are not copied
}

// missing counts the webhooks that were accepted and did not arrive.
func (l *ledger) missing() (n int) {
	for i := range l.used(0) {
		if r := &l.records[i]; l.counts(i) && r.accepted() && r.arrived.Load() == 0 {
			n++
		}
	}
	return n
}

// percentiles is a distribution of latencies.
type percentiles struct{ p50, p90, p99, max time.Duration }

func percentilesOf(micros []int64) percentiles {
	if len(micros) == 0 {
		return percentiles{}
	}
	slices.Sort(micros)
	at := func(part float64) time.Duration {
		return time.Duration(micros[int(part*float64(len(micros)-1))]) * time.Microsecond
	}
	return percentiles{p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1)}
}
