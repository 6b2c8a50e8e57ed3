package provider

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/theory/jsonpath"
	"github.com/theory/jsonpath/spec"
)

// Kept gives what is stored of events, in their order: those of the request without what
// was redacted. It is an error where no event can be made of that, or where its id or its
// type are not what they were: by these it is told apart and routed.
func (s Spec) Kept(req Redacted, events []Event) ([]Event, error) {
	kept, err := s.Normalize(req.Request)
	switch {
	case err != nil:
		return nil, fmt.Errorf("leaves nothing that an event can be made of: %w", err)
	case len(kept) != len(events):
		return nil, errors.New("leaves another number of events")
	}
	for i, e := range events {
		switch {
		case !bytes.Equal(kept[i].IDAsSent, e.IDAsSent):
			return nil, reached("id")
		case kept[i].Type != e.Type:
			return nil, reached("type")
		}
	}
	return kept, nil
}

func reached(part string) error {
	return fmt.Errorf("reaches the event's %s, which cannot be redacted; name what is to be redacted more narrowly", part)
}

// CheckRedaction finds a redaction that reaches what names an event, as far as the
// provider's mapping and samples show it. Its error finishes a sentence that starts with
// the field's name.
func (s Spec) CheckRedaction(r Redaction) error {
	for _, part := range []struct {
		name  string
		where string
	}{{"id", s.Events.ID.where}, {"type", s.Events.Type.where}} {
		if r.reaches(part.where) || s.Events.Items && r.reaches(underItem(part.where)) {
			return reached(part.name)
		}
	}
	for _, sample := range s.Samples {
		req := sample.request(time.UnixMilli(0).UTC(), "", "1")
		events, err := s.Normalize(req)
		if err != nil {
			continue // a sample of how all definitions of one's own look, and not of this
		}
		redacted, _ := r.Of(req)
		if _, err := s.Kept(redacted, events); err != nil {
			return fmt.Errorf("%w (in a sample of the type %s)", err, sample.Type)
		}
	}
	return nil
}

// underItem is a path within an item as a path of the whole body.
func underItem(where string) string {
	if len(where) == 0 || where[0] != '$' {
		return where
	}
	return "$[0]" + where[1:]
}

// reaches reports whether r replaces what stands at a path of plain steps, or something
// that holds it; false for what is no such path.
func (r Redaction) reaches(where string) bool {
	path, err := jsonpath.Parse(where)
	if err != nil || r.None() {
		return false
	}
	w := walker{redaction: r}
	f, next := w.start(), w.start()
	for _, segment := range path.Query().Segments() {
		if segment.IsDescendant() || len(segment.Selectors()) != 1 {
			return false
		}
		name, index := "", -1
		switch one := segment.Selectors()[0].(type) {
		case spec.Name:
			name = string(one)
		case spec.Index:
			index = int(one)
		default:
			return false
		}
		if r.advance(next, f, name, index) {
			return true
		}
		f, next = next, f
	}
	return false
}
