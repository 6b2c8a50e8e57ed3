package delivery

import (
	"fmt"

	"integration-gateway/modules/delivery/destination"
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
