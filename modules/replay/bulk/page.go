package bulk

import (
	"time"

	"integration-gateway/platform/contract"
)

// pagesPerSecond is how finely a rate is spread. A process that was late catches up by at most
// burst, so that a pause is never followed by a flood.
const (
	pagesPerSecond = 5
	burst          = time.Second
)

// pageSize returns how many events a page has that begins so late: with it, the rate is held where a
// page takes longer than its share of a second.
func pageSize(rate int, late time.Duration, most int) int {
	missed := int(min(max(late, 0), burst) * time.Duration(rate) / time.Second)
	return min(max(rate/pagesPerSecond+missed, 1), most)
}

// nextAt returns when the page after one of n events may begin.
func nextAt(due, now time.Time, n, rate int) time.Time {
	if earliest := now.Add(-burst); due.Before(earliest) {
		due = earliest
	}
	return due.Add(time.Duration(n) * time.Second / time.Duration(rate))
}

// nextScan returns how many events the next step looks at: more where few of them match.
func nextScan(scan, matched, size, most int) int {
	switch {
	case matched < size:
		return min(2*scan, most)
	case matched > 2*size:
		return max(scan/2, size)
	}
	return scan
}

// take returns the targets of the first events of a part: at most size events, and at most
// deliveries targets unless the first event alone has more. last is the position behind them,
// end whether nothing is left.
func (f found) take(size, deliveries int) (events int, targets []contract.ReplayTarget, last contract.ReplayPosition, end bool) {
	for _, e := range f.events {
		more := f.targets[e.EventID]
		if events == size || events > 0 && len(targets)+len(more) > deliveries {
			return events, targets, last, false
		}
		for _, d := range more {
			targets = append(targets, contract.ReplayTarget{EventID: e.EventID, IntegrationID: e.IntegrationID, DestinationID: d})
		}
		events, last = events+1, e.At()
	}
	return events, targets, f.last, f.end
}
