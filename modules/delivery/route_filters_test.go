package delivery

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/modules/delivery/destination/expression"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// costlyFilter is one that CEL's own count of steps took for cheap.
const costlyFilter = `cel.bind(a,[1,1],cel.bind(b,[a,a],cel.bind(c,[b,b],cel.bind(d,[c,c],cel.bind(e,[d,d],cel.bind(f,[e,e],cel.bind(g,[f,f],` +
	`cel.bind(h,[g,g],cel.bind(i,[h,h],cel.bind(j,[i,i],cel.bind(k,[j,j],cel.bind(l,[k,k],cel.bind(m,[l,l],cel.bind(n,[m,m],` +
	`cel.bind(o,[n,n],cel.bind(p,[o,o],cel.bind(q,[p,p],cel.bind(r,[q,q],cel.bind(s,[r,r],s != s)))))))))))))))))))`

// at is a clock that the test sets.
type at struct{ now time.Time }

func (a *at) Now() time.Time { return a.now }

func TestTheShareOfASource(t *testing.T) {
	hand := &at{time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	s := newShares(hand.Now, 2)
	require.True(t, s.take("a", shareOfTwoProcessors))
	require.True(t, s.take("a", shareOfTwoProcessors), "two seconds at once")
	require.False(t, s.take("a", 1))
	require.True(t, s.take("b", 1), "another source has its own")
	hand.now = hand.now.Add(time.Second / 10)
	require.False(t, s.take("a", shareOfTwoProcessors/10+1))
	require.True(t, s.take("a", shareOfTwoProcessors/10), "what comes in a tenth of a second")
	s.settle("a", 1000, 400)
	require.False(t, s.take("a", 601))
	require.True(t, s.take("a", 600), "what was taken and not spent")
	s.settle("a", 0, 500)
	require.False(t, s.take("a", 1), "what was spent beyond it")
	hand.now = hand.now.Add(time.Hour)
	require.False(t, s.take("a", shareOfTwoProcessors*shareSeconds+1))
	require.True(t, s.take("a", shareOfTwoProcessors*shareSeconds), "no more than two seconds' are kept")
	require.True(t, newShares(hand.Now, 8).take("a", 4*shareOfTwoProcessors*shareSeconds), "more processors, more of it")

	hand.now = hand.now.Add(time.Hour)
	for range maxShares + 1 {
		s.take(id.New(), 1)
	}
	require.Equal(t, maxShares+1, len(s.of), "a and b, which are full again, are forgotten") //nolint:testifylint // prints them all
}

// A kind of cost that nobody has thought of shows in the time.
func TestWhatTakesLongCountsByItsTime(t *testing.T) {
	hand := &at{time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	s, began := newShares(hand.Now, 2), hand.now
	hand.now = began.Add(longEvaluation)
	require.EqualValues(t, 7, s.spent(7, began))
	hand.now = began.Add(2 * time.Second)
	require.EqualValues(t, 2*unitsInTime, s.spent(7, began))
	require.EqualValues(t, 3*unitsInTime, s.spent(3*unitsInTime, began))
}

func TestWhatIsUsedUpIsWaitedForAsLongAsTheContextLasts(t *testing.T) {
	s := newShares(clock.System, 2)
	require.True(t, s.take("a", shareOfTwoProcessors*shareSeconds))
	require.NoError(t, s.wait(t.Context(), "a", 100_000), "it comes again")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	s.settle("a", 0, shareOfTwoProcessors*3600)
	require.ErrorIs(t, s.wait(over, "a", 1), context.Canceled)
}

// A source whose filters take more than their share is delivered to without them, and so it
// says; those of others are asked as before.
func TestFiltersBeyondTheShareKeepNothingAway(t *testing.T) {
	t.Parallel()
	hand := &at{time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	var logged bytes.Buffer
	m := &Module{shares: newShares(hand.Now, 2), log: slog.New(slog.NewTextHandler(&logged, nil))}
	filtered := func(text string) []*destination.Destination {
		d := &destination.Destination{ID: id.New(), Filter: text}
		d.Compile(expression.New(), &destination.Destination{})
		return []*destination.Destination{d}
	}
	costly, cheap := filtered(costlyFilter), filtered(`eventType == 'a'`)
	event := contract.NewEvent{IntegrationID: "one", EventType: "b", Payload: []byte(`{}`)}
	tooCostly := destination.Unclear("operation cancelled: actual cost limit exceeded")
	asked := 0
	for {
		answers := m.ask(t.Context(), costly, event)
		require.Len(t, answers, 1)
		require.True(t, answers[0].Wanted)
		if answers[0].Reason == destination.Unclear(usedUp) {
			break
		}
		require.Equal(t, tooCostly, answers[0].Reason)
		asked++
		require.Less(t, asked, shareOfTwoProcessors*shareSeconds/expression.FilterCost+1)
	}
	require.Greater(t, asked, 100)
	require.True(t, m.ask(t.Context(), cheap, event)[0].Wanted, "nor are cheap ones of the source")
	require.Equal(t, 1, strings.Count(logged.String(), "skipping a source's filters"), "it is logged once a minute")
	other := event
	other.IntegrationID = "another"
	require.False(t, m.ask(t.Context(), cheap, other)[0].Wanted)
	require.Equal(t, tooCostly, m.ask(t.Context(), costly, other)[0].Reason)

	hand.now = hand.now.Add(time.Second)
	require.False(t, m.ask(t.Context(), cheap, event)[0].Wanted, "a second later they are asked again")
	m.shares.settle("one", 0, shareOfTwoProcessors*3600)
	hand.now = hand.now.Add(tellEvery)
	m.ask(t.Context(), cheap, event)
	require.Equal(t, 2, strings.Count(logged.String(), "integration_id=one"))
}

func TestAnEventGoesToADestinationWhoseFilterCostsTooMuch(t *testing.T) {
	eachHarness(t, func(h *harness) {
		text := costlyFilter
		costly := h.add(contract.DestinationConfig{URL: &h.receiver.URL, Filter: &text}).ID
		scheduled := h.schedule(id.New())
		require.Len(h.t, scheduled.Jobs, 1)
		require.Equal(h.t, []contract.FilterNote{{DestinationID: costly, Delivered: true,
			Reason: destination.Unclear("operation cancelled: actual cost limit exceeded")}}, scheduled.Filters)
		h.run()
		h.becomes(scheduled.EventID, contract.EventProcessed)
		require.Equal(h.t, 1, h.receiver.count())
	})
}

func TestATransformationWaitsForItsShare(t *testing.T) {
	m := &Module{shares: newShares(clock.System, 2)}
	d := &destination.Destination{Mode: contract.ModeCanonical, Transform: `{'is': eventType}`}
	d.Compile(expression.New(), &destination.Destination{})
	a := attempt{destination: d, event: contract.Deliverable{IntegrationID: "one", EventType: "b", Payload: []byte(`{}`)}}
	m.shares.settle("one", 0, shareOfTwoProcessors*3600)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.body(ctx, a)
	require.EqualError(t, err, "the transformation failed: "+usedUp)
	m.shares.settle("one", shareOfTwoProcessors*3600, 0)
	body, err := m.body(t.Context(), a)
	require.NoError(t, err)
	require.JSONEq(t, `{"is":"b"}`, string(body))
}

// What a filter said holds as long as it is the destination's filter; nothing is evaluated
// in the commit.
func TestDestinationsThatChangeWhileAnEventIsStored(t *testing.T) {
	eachHarness(t, func(h *harness) {
		no := `{"url":"` + h.receiver.URL + `","filter":"eventType == 'order.deleted'"}`
		for _, c := range []struct {
			name   string
			change func(destinationID string)
			goes   bool
			note   string
		}{
			{"nothing changes", func(string) {}, false, "its filter did not match"},
			{"the filter is another", func(d string) { h.change(d, `{"filter":"eventType == 'order.refunded'"}`) }, true, destination.Unclear(changedMeanwhile)},
			{"the filter is taken away", func(d string) { h.change(d, `{"filter":""}`) }, true, ""},
			{"the destination is removed", func(d string) { h.remove(d, contract.FinishJobs) }, false, ""},
			{"anything else changes", func(d string) { h.change(d, `{"url":"`+h.receiver.URL+`/else"}`) }, false, "its filter did not match"},
		} {
			made := h.add(config(h.t, no)).ID
			scheduled := h.scheduleAfter(func() { c.change(made) })
			require.Equal(h.t, c.goes, len(scheduled.Jobs) == 1, c.name)
			var notes []contract.FilterNote
			if c.note != "" {
				notes = []contract.FilterNote{{DestinationID: made, Delivered: c.goes, Reason: c.note}}
			}
			require.Equal(h.t, notes, scheduled.Filters, c.name)
			if c.name != "the destination is removed" {
				h.remove(made, contract.FinishJobs)
			}
		}
		var made string
		scheduled := h.scheduleAfter(func() { made = h.add(config(h.t, no)).ID })
		require.Len(h.t, scheduled.Jobs, 1)
		require.Equal(h.t, []contract.FilterNote{{DestinationID: made, Delivered: true, Reason: destination.Unclear(changedMeanwhile)}}, scheduled.Filters,
			"a destination that is new gets the event")
	})
}

// scheduleAfter routes an event, has something happen, and schedules it.
func (h *harness) scheduleAfter(happen func()) contract.Scheduled {
	h.t.Helper()
	eventID := id.New()
	h.events.add(eventID, h.integration)
	events := []contract.NewEvent{h.newEvent(eventID)}
	h.Route(context.Background(), events)
	happen()
	var scheduled []contract.Scheduled
	h.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		if err := h.events.insert(ctx, tx, eventID); err != nil {
			return err
		}
		scheduled, err = h.Schedule(ctx, tx, events)
		return err
	})
	return scheduled[0]
}

// The time of all filters of a webhook is bounded, and nobody waits for a database that does
// not answer longer than that.
func TestRoutingEndsWithItsContext(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(config(h.t, `{"url":"`+h.receiver.URL+`","filter":"[1,2] == [1,3]"}`)).ID
		eventID := id.New()
		h.events.add(eventID, h.integration)
		events := []contract.NewEvent{h.newEvent(eventID)}
		h.Route(context.Background(), events)
		require.Equal(h.t, "its filter did not match", events[0].Answers[0].Reason)

		h.destinations.Changed(h.integration)
		over, cancel := context.WithCancel(context.Background())
		cancel()
		h.Route(over, events)
		require.Equal(h.t, []contract.FilterAnswer{{DestinationID: made, Filter: "[1,2] == [1,3]", Wanted: true,
			Reason: destination.Unclear("it took longer than it may")}}, events[0].Answers, "by what was known")
	})
}
