package delivery

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/modules/delivery/destination/expression"
	"integration-gateway/platform/contract"
)

// changedMeanwhile is why a filter was not evaluated.
const changedMeanwhile = "it was set while the event was being stored"

// route returns the destinations that want an event by their filters' answers, and notes every
// answer except a plain match. A filter that changed since it was evaluated does not exclude
// its destination.
func route(destinations []*destination.Destination, answers []contract.FilterAnswer) (wanting []*destination.Destination, notes []contract.FilterNote) {
	for i, d := range destinations {
		wanted, reason := true, ""
		if d.Filter != "" {
			wanted, reason = answerOf(d, answers)
		}
		if reason != "" {
			notes = append(notes, contract.FilterNote{DestinationID: d.ID, Delivered: wanted, Reason: reason})
		}
		switch {
		case !wanted && wanting == nil:
			wanting = append(make([]*destination.Destination, 0, len(destinations)), destinations[:i]...)
		case wanted && wanting != nil:
			wanting = append(wanting, d)
		}
	}
	if wanting == nil {
		return destinations, notes
	}
	return wanting, notes
}

// answerOf returns the answer of a destination's filter.
func answerOf(d *destination.Destination, answers []contract.FilterAnswer) (wanted bool, reason string) {
	for _, a := range answers {
		if a.DestinationID == d.ID && a.Filter == d.Filter {
			return a.Wanted, a.Reason
		}
	}
	return true, destination.Unclear(changedMeanwhile)
}

// nobody returns why an event has no destination.
func nobody(notes []contract.FilterNote) string {
	switch len(notes) {
	case 0:
		return noDestination
	case 1:
		return "no destination wants it: " + notes[0].Reason
	}
	return fmt.Sprintf("no destination wants it: %d filters did not match", len(notes))
}

// filterTime bounds the total time of the filters for one webhook's events.
const filterTime = 2 * time.Second

// usedUp is why an expression is not evaluated.
const usedUp = "the filters and transformations of its source have used up their CPU budget in this process"

// Route evaluates the filters of the events' destinations and stores the answers in the events
// for Schedule. It runs before the transaction, within the sender's request: its duration
// depends on expressions and payloads, and it may query destinations that are not cached. It
// never fails: a filter without an answer excludes nothing, and Schedule reads the destinations
// that Route could not.
func (m *Module) Route(ctx context.Context, events []contract.NewEvent) {
	ctx, cancel := context.WithTimeout(ctx, filterTime)
	defer cancel()
	ids := eventIDs(events, func(e contract.NewEvent) string { return e.IntegrationID })
	_, _ = m.destinations.OfAll(ctx, ids) // what could not be read stays unknown
	for i := range events {
		known, _ := m.destinations.LastOf(events[i].IntegrationID)
		events[i].Answers = m.ask(ctx, known, events[i])
	}
}

// ask evaluates the destinations' filters for an event. Without filters it does nothing.
func (m *Module) ask(ctx context.Context, destinations []*destination.Destination, e contract.NewEvent) (answers []contract.FilterAnswer) {
	var facts *expression.Facts
	for _, d := range destinations {
		if d.Filter == "" {
			continue
		}
		if facts == nil {
			facts = expression.NewFacts(e)
		}
		a := contract.FilterAnswer{DestinationID: d.ID, Filter: d.Filter, Wanted: true, Reason: destination.Unclear(usedUp)}
		if m.shares.take(e.IntegrationID, expression.FilterCost) {
			before, began := facts.Cost(), m.shares.now()
			a.Wanted, a.Reason = d.Wants(ctx, facts)
			m.shares.settle(e.IntegrationID, expression.FilterCost, m.shares.spent(facts.Cost()-before, began))
		} else if m.shares.tells(e.IntegrationID) {
			m.log.WarnContext(ctx, "skipping a source's filters; its events are delivered: "+usedUp,
				"source", e.Source, "integration_id", e.IntegrationID, "destination_id", d.ID)
		}
		answers = append(answers, a)
	}
	return answers
}
