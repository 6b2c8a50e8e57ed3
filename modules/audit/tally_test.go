package audit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func refusal(source string) contract.Refusal {
	return contract.Refusal{Action: "webhook.rejected", EntityType: contract.EntityWebhookEvent, Source: source, Reason: "bad_signature"}
}

// write takes all that is due and marks it as written.
func write(t *tally, now time.Time, last bool) []int {
	sums := t.due(now, last, maxKeys)
	t.written(sums, now)
	var counts []int
	for _, s := range sums {
		counts = append(counts, s.count)
	}
	return counts
}

func TestRefusalsOfOneKeyBecomeTwoRowsAMinute(t *testing.T) {
	type moment struct {
		after time.Duration // since noon
		add   int
		last  bool
		rows  []int
	}
	for _, test := range []struct {
		name    string
		moments []moment
	}{
		{"nothing to write", []moment{{0, 0, false, nil}, {time.Minute, 0, true, nil}}},
		{"the first is written immediately", []moment{{0, 1, false, []int{1}}, {time.Second, 0, false, nil}}},
		{"the first of many is written immediately", []moment{{0, 5, false, []int{1}}}},
		{"the rest waits until the last instant of the minute", []moment{{0, 5, false, []int{1}}, {time.Minute - 1, 0, false, nil}}},
		{"and is written when the minute is over", []moment{{0, 5, false, []int{1}}, {time.Minute, 0, false, []int{4}}}},
		{"a single one leaves no remainder", []moment{{0, 1, false, []int{1}}, {time.Minute, 0, false, nil}}},
		{"refusals between writes are summed", []moment{{0, 1, false, []int{1}}, {time.Second, 7, false, nil}, {time.Minute, 0, false, []int{7}}}},
		{"shutdown does not wait for the minute", []moment{{0, 5, false, []int{1}}, {time.Second, 0, true, []int{4}}}},
		{"if none was written, all are one row at shutdown", []moment{{0, 5, true, []int{5}}}},
		{"the next minute starts over, and the older one comes first",
			[]moment{{0, 3, false, []int{1}}, {time.Minute, 4, false, []int{2, 1}}, {2 * time.Minute, 0, false, []int{3}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tally := newTally()
			for _, m := range test.moments {
				for range m.add {
					tally.add(refusal("acme"), noon.Add(m.after))
				}
				require.Equal(t, m.rows, write(tally, noon.Add(m.after), m.last))
			}
		})
	}
}

func TestUnwrittenCountsStayDueAndWrittenOnesAreDropped(t *testing.T) {
	tally := newTally()
	for range 3 {
		tally.add(refusal("acme"), noon)
	}
	require.Len(t, tally.due(noon, false, maxKeys), 1)
	require.Equal(t, tally.due(noon, false, maxKeys), tally.due(noon, false, maxKeys), "reading changes nothing")
	require.Equal(t, []int{3}, write(tally, noon.Add(time.Hour), false), "a minute that was never written is one row")
	require.Empty(t, tally.counters)
	require.Empty(t, tally.minutes)
}

func TestRefusalsAddedDuringAWriteAreNotLost(t *testing.T) {
	tally := newTally()
	tally.add(refusal("acme"), noon)
	sums := tally.due(noon, false, maxKeys)
	tally.add(refusal("acme"), noon)
	tally.written(sums, noon.Add(time.Minute))
	require.Equal(t, []int{1}, write(tally, noon.Add(time.Minute), false))
}

func TestEveryFieldOfAKeyIsDistinguished(t *testing.T) {
	tally := newTally()
	changes := []func(*contract.Refusal){
		func(*contract.Refusal) {},
		func(r *contract.Refusal) { r.Action = "auth.failed" },
		func(r *contract.Refusal) { r.EntityType = contract.EntityManagement },
		func(r *contract.Refusal) { r.Source = "globex" },
		func(r *contract.Refusal) { r.Reason = "stale_timestamp" },
	}
	for _, change := range changes {
		r := refusal("acme")
		change(&r)
		tally.add(r, noon)
	}
	require.Len(t, tally.due(noon, false, maxKeys), len(changes))
}

func TestInventedSourcesAreLimited(t *testing.T) {
	tally := newTally()
	for i := range maxKeysPerMinute {
		tally.add(refusal(fmt.Sprintf("source-%d", i)), noon)
	}
	require.Len(t, tally.counters, maxKeysPerMinute)
	for i := range 5 {
		tally.add(refusal(fmt.Sprintf("more-%d", i)), noon)
	}
	tally.add(refusal("source-1"), noon)
	require.Len(t, tally.counters, maxKeysPerMinute+1, "all further sources share one key")
	require.Equal(t, 5, tally.counters[key{refusal(otherSource), minuteOf(noon)}].total)
	require.Equal(t, 2, tally.counters[key{refusal("source-1"), minuteOf(noon)}].total, "a known source keeps its own count")
	tally.add(refusal("more-1"), noon.Add(time.Minute))
	require.Contains(t, tally.counters, key{refusal("more-1"), minuteOf(noon) + 1}, "the next minute has room again")
}

func TestALongDatabaseOutageUsesBoundedMemory(t *testing.T) {
	tally := newTally()
	minutes := 3 * maxKeys / maxKeysPerMinute
	for minute := range minutes {
		for i := range maxKeysPerMinute {
			tally.add(refusal(fmt.Sprintf("source-%d", i)), noon.Add(time.Duration(minute)*time.Minute))
		}
	}
	require.Len(t, tally.counters, maxKeys+minutes*2/3)
	total := 0
	for _, n := range write(tally, noon.Add(time.Hour), false) {
		total += n
	}
	require.LessOrEqual(t, total, minutes*maxKeysPerMinute)
	for n := write(tally, noon.Add(time.Hour), false); len(n) > 0; n = write(tally, noon.Add(time.Hour), false) {
		for _, count := range n {
			total += count
		}
	}
	require.Equal(t, minutes*maxKeysPerMinute, total, "none is lost")
}

func TestALongSourceIsTruncated(t *testing.T) {
	tally := newTally()
	tally.add(refusal(strings.Repeat("x", maxSource)), noon)
	tally.add(refusal(strings.Repeat("x", maxSource+1)), noon)
	require.Len(t, tally.counters, 1)
}
