package audit

import (
	"slices"
	"strings"
	"sync"
	"time"

	"integration-gateway/platform/contract"
)

// The limits of the counts in memory. A caller cannot choose reasons or entity types, but
// can choose sources.
const (
	maxKeysPerMinute = 1_000
	maxKeys          = 10_000 // of all minutes, while the database is down
	maxSource        = 128    // bytes
	otherSource      = "(other)"
)

// key identifies a count of refusals.
type key struct {
	contract.Refusal
	minute int64 // since 1970
}

// sum is a row to write: the number of additional refusals of one key.
type sum struct {
	key
	count int
}

type counter struct{ total, written int }

// tally counts refusals by the minute. Its callers pass the time, and it does no I/O. Each
// key becomes at most two rows: the first refusal immediately, so that it is visible, and
// the rest when the minute is over.
type tally struct {
	mu       sync.Mutex
	counters map[key]*counter
	minutes  map[int64]int // distinct keys of each minute
}

func newTally() *tally {
	return &tally{counters: map[key]*counter{}, minutes: map[int64]int{}}
}

func minuteOf(at time.Time) int64 { return at.Unix() / 60 }

// add counts one refusal.
func (t *tally) add(r contract.Refusal, at time.Time) {
	if len(r.Source) > maxSource {
		r.Source = r.Source[:maxSource]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{r, minuteOf(at)}
	c, known := t.counters[k]
	if !known && (t.minutes[k.minute] >= maxKeysPerMinute || len(t.counters) >= maxKeys) {
		k.Source = otherSource
		c, known = t.counters[k]
	}
	if !known {
		c = &counter{}
		t.counters[k] = c
		t.minutes[k.minute]++
	}
	c.total++
}

// due returns the rows to write now, oldest first, at most limit. last means that there is
// no later flush.
func (t *tally) due(now time.Time, last bool, limit int) []sum {
	t.mu.Lock()
	defer t.mu.Unlock()
	var sums []sum
	for k, c := range t.counters {
		if n := c.due(last || k.minute < minuteOf(now)); n > 0 {
			sums = append(sums, sum{k, n})
		}
	}
	slices.SortFunc(sums, compareSums)
	return sums[:min(limit, len(sums))]
}

func (c *counter) due(over bool) int {
	switch {
	case over:
		return c.total - c.written
	case c.written == 0:
		return 1
	}
	return 0
}

func compareSums(a, b sum) int {
	if a.minute != b.minute {
		return int(a.minute - b.minute)
	}
	return strings.Compare(a.Action+"\x00"+a.Source+"\x00"+a.Reason, b.Action+"\x00"+b.Source+"\x00"+b.Reason)
}

// written records that sums are in the database, and drops the keys of minutes that are
// over. Refusals added in the meantime stay due.
func (t *tally) written(sums []sum, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range sums {
		t.counters[s.key].written += s.count
	}
	for k, c := range t.counters {
		if k.minute < minuteOf(now) && c.total == c.written {
			delete(t.counters, k)
			if t.minutes[k.minute]--; t.minutes[k.minute] == 0 {
				delete(t.minutes, k.minute)
			}
		}
	}
}
