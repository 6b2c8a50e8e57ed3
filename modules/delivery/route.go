package delivery

import (
	"errors"
	"fmt"

	"integration-gateway/modules/delivery/expression"
	"integration-gateway/platform/contract"
)

// filter and transform are a destination's compiled expressions; err says why there is
// none: it was stored by a program that understood it.
type (
	filter struct {
		expression.Filter
		err error
	}
	transform struct {
		expression.Transform
		err error
	}
)

// compile makes the destination's expressions ready, once for each text that they have.
func (d *destination) compile(l expression.Language, before destination) {
	if d.filter = before.filter; d.Filter != before.Filter {
		compiled, err := l.Filter(d.Filter)
		d.filter = filter{compiled, ofIt(err)}
	}
	if d.transform = before.transform; d.Transform != before.Transform {
		compiled, err := l.Transform(d.Transform)
		d.transform = transform{compiled, ofIt(err)}
	}
}

// ofIt makes a sentence of an error that finishes one.
func ofIt(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("it %w", err)
}

// wants says whether a destination's filter lets an event through, and the reason where
// that is not a plain yes. What the event does not have cannot be what is wanted; but a
// filter that cannot be worked out keeps nothing away, since a delivery too many does less
// harm than one too few.
func (d destination) wants(facts *expression.Facts) (wanted bool, reason string) {
	err := d.filter.err
	if err == nil {
		wanted, err = d.filter.Matches(facts)
	}
	switch {
	case errors.Is(err, expression.ErrLacking):
		return false, "its filter asks for what the event does not have: " + err.Error()
	case err != nil:
		return true, "its filter cannot be worked out: " + err.Error()
	case !wanted:
		return false, "its filter did not match"
	}
	return true, ""
}

// route gives those destinations that want an event, and notes what filters said but for a
// plain yes. Without filters it looks at nothing.
func route(destinations []destination, e contract.NewEvent) (wanting []destination, notes []contract.FilterNote) {
	var facts *expression.Facts
	for i, d := range destinations {
		wanted, reason := true, ""
		if d.Filter != "" {
			if facts == nil {
				facts = expression.NewFacts(e)
			}
			wanted, reason = d.wants(facts)
		}
		if reason != "" {
			notes = append(notes, contract.FilterNote{DestinationID: d.ID, Delivered: wanted, Reason: reason})
		}
		switch {
		case !wanted && wanting == nil:
			wanting = append(make([]destination, 0, len(destinations)), destinations[:i]...)
		case wanted && wanting != nil:
			wanting = append(wanting, d)
		}
	}
	if wanting == nil {
		return destinations, notes
	}
	return wanting, notes
}

// nobody says why an event has no destination.
func nobody(notes []contract.FilterNote) string {
	switch len(notes) {
	case 0:
		return noDestination
	case 1:
		return "no destination wants it: " + notes[0].Reason
	}
	return fmt.Sprintf("no destination wants it: %d filters did not match", len(notes))
}
