package bulk

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
)

func TestThePagesOfARate(t *testing.T) {
	for _, test := range []struct{ rate, size int }{{1, 1}, {4, 1}, {5, 1}, {9, 1}, {10, 2}, {100, 20}, {2500, 500}, {10_000, 500}} {
		require.Equal(t, test.size, pageSize(test.rate, 0, 500), test.rate)
	}
	require.Equal(t, 20, pageSize(100, -time.Second, 500), "early")
	require.Equal(t, 70, pageSize(100, 500*time.Millisecond, 500), "half a second late")
	require.Equal(t, 120, pageSize(100, time.Hour, 500), "at most a second is caught up")
	require.Equal(t, 500, pageSize(1000, time.Second, 500), "a page is never larger")
}

func TestTheRateHolds(t *testing.T) {
	began := time.Unix(1000, 0)
	at := began.Add
	for _, test := range []struct {
		name         string
		due, now     time.Time
		events, rate int
		want         time.Time
	}{
		{"a page of a fifth of a second", began, began, 20, 100, at(200 * time.Millisecond)},
		{"a late page does not delay the next", began, at(150 * time.Millisecond), 20, 100, at(200 * time.Millisecond)},
		{"a second is caught up", began, at(time.Second), 20, 100, at(200 * time.Millisecond)},
		{"more than a second is not", began, at(time.Hour), 20, 100, at(time.Hour - time.Second + 200*time.Millisecond)},
		{"a page without events takes no time", began, began, 0, 100, began},
		{"one a second", began, began, 1, 1, at(time.Second)},
	} {
		require.Equal(t, test.want, nextAt(test.due, test.now, test.events, test.rate), test.name)
	}
}

func TestMoreIsLookedAtWhereFewMatch(t *testing.T) {
	require.Equal(t, 40, nextScan(20, 19, 20, 5000))
	require.Equal(t, 20, nextScan(20, 20, 20, 5000))
	require.Equal(t, 40, nextScan(40, 40, 20, 5000))
	require.Equal(t, 40, nextScan(80, 80, 20, 5000))
	require.Equal(t, 5000, nextScan(4000, 0, 20, 5000))
	require.Equal(t, 20, nextScan(30, 41, 20, 5000))
}

func TestAPageHasWholeEvents(t *testing.T) {
	f := found{targets: map[string][]string{"a": {"1", "2", "3"}, "b": {"1"}, "c": {"1"}}, last: contract.ReplayPosition{EventID: "z"}, end: true}
	for _, eventID := range []string{"a", "b", "c"} {
		f.events = append(f.events, contract.ReplayEvent{EventID: eventID})
	}
	for _, test := range []struct {
		name             string
		size, deliveries int
		events, targets  int
		last             string
		end              bool
	}{
		{"all", 3, 5, 3, 5, "z", true},
		{"two events", 2, 5, 2, 4, "b", false},
		{"four deliveries", 3, 4, 2, 4, "b", false},
		{"an event with more deliveries than a page is a page", 3, 2, 1, 3, "a", false},
	} {
		events, targets, last, end := f.take(test.size, test.deliveries)
		require.Equal(t, test.events, events, test.name)
		require.Len(t, targets, test.targets, test.name)
		require.Equal(t, test.last, last.EventID, test.name)
		require.Equal(t, test.end, end, test.name)
	}
}
