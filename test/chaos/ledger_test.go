package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// at is a moment of a run, in seconds from its beginning.
func at(seconds float64) time.Time {
	return time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

func accepted(id string, when float64, deliveries ...delivery) *entry {
	return &entry{eventID: id, accepted: at(when), delivered: deliveries}
}

func from(began, ended float64) delivery { return delivery{began: at(began), ended: at(ended)} }

func broken(began, ended float64) delivery {
	return delivery{began: at(began), ended: at(ended), broken: true}
}

func TestAllowedDuplicates(t *testing.T) {
	for name, c := range map[string]struct {
		deliveries []delivery
		stray      bool
	}{
		"a response that the gateway did not live to see":     {[]delivery{broken(9, 10), from(12, 13)}, false},
		"a response shortly before the fault":                 {[]delivery{from(8, 9), from(12, 13)}, false},
		"a response during the fault":                         {[]delivery{from(10, 11), from(12, 13)}, false},
		"a response long before the fault":                    {[]delivery{from(6, 7.9), from(12, 13)}, true},
		"a response after the return":                         {[]delivery{from(15, 16.1), from(18, 19)}, true},
		"each delivery but the last must have been in flight": {[]delivery{broken(9, 10), from(15, 16.1), from(18, 19)}, true},
		"the last may be at any time":                         {[]delivery{broken(9, 10), from(30, 31)}, false},
		"a broken delivery counts as a duplicate too":         {[]delivery{from(6, 7.9), broken(9, 10)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			l.events["a"] = accepted("1", 5, c.deliveries...)
			got := l.tally(at(8), at(16))
			require.Equal(t, 1, got.twice)
			require.Equal(t, c.stray, len(got.unexpectedTwice) > 0)
		})
	}
}

func TestABrokenDeliveryDoesNotCount(t *testing.T) {
	l := newLedger()
	l.events["a"] = accepted("1", 5, broken(9, 10))
	require.Len(t, l.tally(at(8), at(16)).lost, 1)
}

func TestAnEventsWait(t *testing.T) {
	l := newLedger()
	l.events["a"] = accepted("1", 5, broken(9, 10), from(14, 15)) // in progress when its worker died at 10
	l.events["b"] = accepted("2", 11, from(12, 13))
	w := window{began: at(10), recovered: at(13), sendingEnded: at(15), waitFrom: at(10)}
	got := l.flow(w, false)
	require.Equal(t, 4*time.Second, got.wait, "from the death to the first complete delivery")
	require.Equal(t, 3*time.Second, got.gap, "from the fault's beginning")
	require.Equal(t, 2*time.Second, got.silence, "from the return")
	w.waitFrom = at(13)
	require.Equal(t, time.Second, l.flow(w, false).wait, "from the return, if that is later than the acceptance")
	l.events["c"] = accepted("3", 12)
	require.Greater(t, l.flow(w, false).wait, time.Hour, "an undelivered event is still waiting")
}

func TestAnEventThatTheDatabaseLost(t *testing.T) {
	again := func(t *testing.T) *ledger {
		l := newLedger()
		l.recordAnswer("lost", "old", answer{status: 202})
		l.recordAnswer("kept", "same", answer{status: 202})
		l.recordDelivery("lost", delivery{webhookID: "old"}, true, false)
		require.Equal(t, 1, l.resetLost(l.acceptedNow(), map[string]string{"kept": "same"}))
		require.Equal(t, []string{"lost"}, l.tally(time.Time{}, time.Time{}).unaccepted, "it must be accepted again")
		return l
	}
	t.Run("stored and delivered again", func(t *testing.T) {
		l := again(t)
		l.recordDelivery("lost", delivery{webhookID: "old"}, true, false) // was in progress when the database was lost
		l.recordAnswer("lost", "new", answer{status: 202})
		require.Len(t, l.tally(time.Time{}, time.Time{}).lost, 2, "a delivery from before the rewind does not count; kept was never delivered")
		l.recordDelivery("lost", delivery{webhookID: "new"}, true, false)
		require.Len(t, l.tally(time.Time{}, time.Time{}).lost, 1)
		require.Empty(t, l.contradictions)
		absent, falseDuplicates := l.absent(map[string]string{"kept": "same", "lost": "new"})
		require.Empty(t, absent)
		require.Empty(t, falseDuplicates)
	})
	t.Run("answered as a duplicate of a lost event", func(t *testing.T) {
		l := again(t)
		l.recordAnswer("lost", "old", answer{status: 200})
		absent, falseDuplicates := l.absent(map[string]string{"kept": "same"})
		require.Empty(t, absent)
		require.Equal(t, []string{"lost"}, falseDuplicates)
	})
	t.Run("stored under the same id", func(t *testing.T) {
		l := again(t)
		l.recordDelivery("lost", delivery{webhookID: "old"}, true, false) // arrived before the response to the provider
		l.recordAnswer("lost", "old", answer{status: 202})
		require.Len(t, l.tally(time.Time{}, time.Time{}).lost, 1, "delivered, whichever was first")
		_, falseDuplicates := l.absent(map[string]string{"kept": "same", "lost": "old"})
		require.Empty(t, falseDuplicates)
	})
	t.Run("accepted, not lost, and not stored", func(t *testing.T) {
		absent, _ := again(t).absent(nil)
		require.Equal(t, []string{"kept (same)"}, absent)
	})
	t.Run("stored twice", func(t *testing.T) {
		l := again(t)
		l.recordAnswer("kept", "another", answer{status: 202})
		require.Len(t, l.contradictions, 1)
	})
}

func TestRateAndConcurrencyOfADestination(t *testing.T) {
	var list []delivery
	for i := range 40 { // three at once for half a second each, and then one
		list = append(list, from(float64(i)/2, float64(i+1)/2))
		if i < 20 {
			list = append(list, from(float64(i)/2, float64(i+1)/2), from(float64(i)/2, float64(i+1)/2))
		}
	}
	mean, most := load(list, at(0), at(10))
	require.InDelta(t, 3, mean, 0.001)
	require.Equal(t, 3, most, "deliveries that only touch are not concurrent")
	mean, most = load(list, at(10), at(20))
	require.InDelta(t, 1, mean, 0.001)
	require.Equal(t, 1, most)
	perSecond, busiest := pace(list, at(10), at(20))
	require.InDelta(t, 2, perSecond, 0.001)
	require.Equal(t, 2, busiest)
	perSecond, busiest = pace(list, at(0), at(20))
	require.InDelta(t, 4, perSecond, 0.001)
	require.Equal(t, 6, busiest)
}

func TestTheBarOfAnEventsWait(t *testing.T) {
	require.Equal(t, 5*time.Second, scenario{target: ofProcess}.waitBar())
	require.Equal(t, 10*time.Second, scenario{target: ofServer}.waitBar())
	for _, s := range catalog() {
		require.Equal(t, s.maxWait > 0, s.reason != "", "%s: a bar of its own has a reason", s.name)
		require.LessOrEqual(t, s.maxWait, time.Minute, s.name)
	}
}
