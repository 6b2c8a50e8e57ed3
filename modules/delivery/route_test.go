package delivery

import (
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/modules/delivery/destination/expression"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/id"
)

func TestRoute(t *testing.T) {
	language := expression.New()
	m := &Module{shares: newShares(clock.System, 2)}
	event := contract.NewEvent{EventType: "order.created", Payload: []byte(`{"data":{"amount":5}}`)}
	type note struct {
		delivered bool
		reason    string
	}
	for _, c := range []struct {
		name    string
		filters []string
		wanting []int
		notes   []note
		reason  string // of an event that nobody wants
	}{
		{"no destination", nil, nil, nil, "the integration has no destination"},
		{"no filter", []string{"", ""}, []int{0, 1}, nil, ""},
		{"a filter that matches", []string{`data.amount == 5`}, []int{0}, nil, ""},
		{"a filter that does not", []string{`data.amount == 6`}, nil, []note{{false, "its filter did not match"}},
			"no destination wants it: its filter did not match"},
		{"several that do not", []string{`false`, `false`, `false`}, nil, []note{{false, "its filter did not match"}, {false, "its filter did not match"}, {false, "its filter did not match"}},
			"no destination wants it: 3 filters did not match"},
		{"some of several", []string{`false`, "", `eventType == 'order.created'`, `false`}, []int{1, 2}, []note{{false, "its filter did not match"}, {false, "its filter did not match"}}, ""},
		{"what the event does not have is not wanted", []string{`data.colour == 'red'`, ""}, []int{1},
			[]note{{false, "its filter uses a field that the event does not have: no such key: colour"}}, ""},
		{"a filter that cannot be worked out keeps nothing away", []string{`data.amount > 'a'`}, []int{0},
			[]note{{true, "its filter could not be evaluated: no such overload"}}, ""},
		{"nor does one that says neither yes nor no", []string{`data.amount`}, []int{0},
			[]note{{true, "its filter could not be evaluated: it gave a int, neither true nor false"}}, ""},
		{"nor one that this program does not understand", []string{`soundsLike('a')`}, []int{0},
			[]note{{true, "its filter could not be evaluated: it is no valid CEL expression: line 1, column 11: undeclared reference to 'soundsLike'"}}, ""},
		{"nor does one that costs more than it may", []string{costlyFilter}, []int{0},
			[]note{{true, "its filter could not be evaluated: operation cancelled: actual cost limit exceeded"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all []*destination.Destination
			for _, text := range c.filters {
				d := &destination.Destination{ID: id.New(), Filter: text}
				d.Compile(language, &destination.Destination{})
				all = append(all, d)
			}
			wanting, notes := route(all, m.ask(t.Context(), all, event))
			var got []note
			for _, n := range notes {
				got = append(got, note{n.Delivered, n.Reason})
			}
			require.Equal(t, c.notes, got)
			require.Len(t, wanting, len(c.wanting))
			for i, n := range c.wanting {
				require.Equal(t, all[n].ID, wanting[i].ID)
			}
			if c.reason != "" {
				require.Equal(t, c.reason, nobody(notes))
			}
		})
	}
}

// TestWithoutFiltersNothingIsRead: an event's JSON costs nothing then.
func TestWithoutFiltersNothingIsRead(t *testing.T) {
	all := []*destination.Destination{{ID: id.New()}, {ID: id.New()}}
	event := contract.NewEvent{Payload: []byte(`{"data":{}}`)}
	m := &Module{shares: newShares(clock.System, 2)}
	require.Zero(t, testing.AllocsPerRun(100, func() { route(all, m.ask(t.Context(), all, event)) }))
}

func TestAnEventGoesWhereItIsWanted(t *testing.T) {
	eachHarness(t, func(h *harness) {
		wants := h.add(config(t, `{"url":"`+h.receiver.URL+`","filter":"eventType == 'order.created' && headers['user-agent'] == 'Acme/1'"}`)).ID
		other := h.add(config(t, `{"url":"`+h.receiver.URL+`","filter":"eventType == 'order.deleted'"}`)).ID
		scheduled := h.schedule(id.New())
		require.Len(t, scheduled.Jobs, 1)
		require.Equal(t, []contract.FilterNote{{DestinationID: other, Reason: "its filter did not match"}}, scheduled.Filters)
		h.run()
		h.becomes(scheduled.EventID, contract.EventProcessed)
		attempts, _ := h.history(scheduled.EventID)
		require.Len(t, attempts, 1)
		require.Equal(t, wants, attempts[0].DestinationID)

		h.change(wants, `{"filter":"false"}`)
		scheduled = h.schedule(id.New())
		require.Empty(t, scheduled.Jobs)
		require.Equal(t, "no destination wants it: 2 filters did not match", scheduled.Reason)
	})
}

func TestAReplayGoesByTheFiltersOfToday(t *testing.T) {
	eachHarness(t, func(h *harness) {
		filtered := h.add(config(t, `{"url":"`+h.receiver.URL+`/filtered","filter":"headers['user-agent'] == 'Acme/2'"}`)).ID
		h.destination(h.receiver.URL + "/all")
		h.run()
		event := h.accept()
		h.becomes(event, contract.EventProcessed)
		require.Equal(t, 1, h.receiver.count())
		ends := func(o contract.ReplayOrder) contract.ReplayEnd {
			o.EventID = event
			request := h.replay(o)
			h.eventually("the replay to end", func() bool { return h.replays.end(request) != nil })
			return *h.replays.end(request)
		}
		require.False(t, ends(contract.ReplayOrder{}).Failed)
		require.Equal(t, 2, h.receiver.count(), "the filter is asked again")
		require.False(t, ends(contract.ReplayOrder{DestinationID: &filtered}).Failed)
		require.Equal(t, 3, h.receiver.count(), "a destination that is named gets it whatever its filter says")
		h.change(filtered, `{"filter":"headers['user-agent'] == 'Acme/1'"}`)
		require.False(t, ends(contract.ReplayOrder{}).Failed)
		require.Equal(t, 5, h.receiver.count(), "a filter that was mended lets it through")
	})
}

// A job that is gone is made again for a destination that wants the event, and no other.
func TestRepairGoesByFilters(t *testing.T) {
	eachHarness(t, func(h *harness) {
		event := h.accept() // before there was a destination
		for text, want := range map[string]bool{`eventType == 'order.created'`: true, `eventType == 'order.deleted'`: false} {
			destinationID := h.add(contract.DestinationConfig{URL: &h.receiver.URL, Filter: &text}).ID
			repaired, err := h.Repair(t.Context(), contract.Damage{Kind: contract.DamageMissingJob, EventID: event, DestinationID: destinationID})
			require.NoError(t, err)
			require.Equal(t, want, repaired, text)
		}
	})
}
