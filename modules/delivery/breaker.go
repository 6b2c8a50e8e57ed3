package delivery

import (
	"net/http"
	"time"
)

// breakerPolicy says when a destination counts as down, and how it is probed.
type breakerPolicy struct {
	volume       int           // attempts within the window, at least
	rate         float64       // of them failed, at least
	probe, reach time.Duration // wait before the first probe; doubles up to reach
}

const (
	breakerWindow  = time.Minute
	breakerBuckets = 12
)

// window counts this process's attempts at one destination over the last minute. It is not
// safe for concurrent use.
type window struct {
	buckets [breakerBuckets]struct{ slot, total, failed int64 }
}

func (w *window) add(failed bool, at time.Time) {
	slot := slotOf(at)
	b := &w.buckets[slot%breakerBuckets]
	if slot < b.slot {
		return // it is older than the window
	}
	if b.slot != slot {
		b.slot, b.total, b.failed = slot, 0, 0
	}
	b.total++
	if failed {
		b.failed++
	}
}

// trips reports whether the breaker should open.
func (w *window) trips(p breakerPolicy, now time.Time) bool {
	var total, failed int64
	for _, b := range w.buckets {
		if slotOf(now)-b.slot < breakerBuckets {
			total += b.total
			failed += b.failed
		}
	}
	return total >= int64(p.volume) && float64(failed) >= p.rate*float64(total)
}

func slotOf(now time.Time) int64 {
	return now.UnixNano() / int64(breakerWindow/breakerBuckets)
}

// wait is the time from a failed probe, or the opening, to the next probe.
func (p breakerPolicy) wait(trips int) time.Duration {
	wait := p.probe
	for range trips {
		if wait >= p.reach {
			break
		}
		wait *= 2
	}
	return min(wait, p.reach)
}

// down reports whether a response counts against the destination and not the event: no
// answer, a server error, or a rate limit. A 4xx about one event does not.
func (r response) down() bool {
	return r.status == 0 || r.status >= 500 || r.status == http.StatusTooManyRequests || r.status == http.StatusRequestTimeout
}
