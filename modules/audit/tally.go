package audit

import (
	"slices"
	"strings"
	"sync"
	"time"

	"integration-gateway/platform/contract"
)

// The bounds of what is kept in memory. A caller chooses neither the reasons nor
// the entity types, but may choose sources.
const (
	maxKeysPerMinute = 1_000
	maxKeys          = 10_000 // of all minutes, while the database is away
	maxSource        = 128    // bytes
	otherSource      = "(other)"
)

// key is what refusals are summed by.
type key struct {
	contract.Refusal
	minute int64 // since 1970
}

// sum is a row to be written: so many more refusals of one key.
type sum struct {
	key
	count int
}

type counter struct{ total, written int }

// tally sums refusals by the minute. It is told the time and does no I/O. Each key
// becomes at most two rows: the first refusal at once, so that it is seen, and the
// rest when the minute is over.
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

// due gives what should be written by now, at most limit rows, oldest first. last
// says that there will be no later chance.
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

// written notes that sums are in the database, and forgets the keys of minutes
// that are over. What was added in the meantime stays due.
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
