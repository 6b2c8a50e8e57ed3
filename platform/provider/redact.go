package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/provider/jsontext"
	"integration-gateway/platform/provider/redaction"
)

// Redacted is a request with its redacted values replaced.
type Redacted struct {
	Request
	Changed  bool     // false if nothing was replaced
	Hidden   []string // see redaction.Result
	Overflow bool
}

// Redact replaces the values at the paths. A form becomes the JSON that its events are made
// from. If the body is not JSON, Redact returns it unchanged, with false.
func Redact(req Request, paths redaction.Paths) (Redacted, bool) {
	text, err := jsonBody(req)
	if err != nil || jsontext.DeeperThan(text, MaxDepth) || !json.Valid(text) {
		return Redacted{Request: req}, false
	}
	left := paths.Of(text)
	if !left.Changed {
		return Redacted{Request: req}, true
	}
	clean := req
	if isForm(req.Header) {
		clean.Header = req.Header.Clone()
		clean.Header.Set("Content-Type", jsonType)
		clean.Body = left.Text
	} else {
		mark := req.Body[:len(req.Body)-len(text)] // a byte-order mark, and space
		clean.Body = slices.Concat(mark, left.Text)
	}
	return Redacted{clean, true, left.Hidden, left.Overflow}, true
}

// RedactedEvents returns events as they are stored: those of the redacted request, in the
// same order. It fails if the redaction leaves no valid event, or changes its id or type,
// which identify and route it.
func (s Spec) RedactedEvents(req Redacted, events []Event) ([]Event, error) {
	stored, err := s.Normalize(req.Request)
	switch {
	case err != nil:
		return nil, fmt.Errorf("leaves no valid event: %w", err)
	case len(stored) != len(events):
		return nil, errors.New("changes the number of events")
	}
	for i, e := range events {
		switch {
		case !bytes.Equal(stored[i].IDAsSent, e.IDAsSent):
			return nil, reached("id")
		case stored[i].Type != e.Type:
			return nil, reached("type")
		}
	}
	return stored, nil
}

func reached(part string) error {
	return fmt.Errorf("reaches the event's %s, which cannot be redacted; use a narrower path", part)
}

// CheckRedaction rejects a redaction that reaches an event's id or type, as far as the
// provider's mapping and samples show. Its error completes a sentence that starts with the
// field's name.
func (s Spec) CheckRedaction(p redaction.Paths) error {
	for _, part := range []struct {
		name  string
		where string
	}{{"id", s.Events.ID.where}, {"type", s.Events.Type.where}} {
		if p.Reaches(part.where) || s.Events.Items && p.Reaches(underItem(part.where)) {
			return reached(part.name)
		}
	}
	for _, sample := range s.Samples {
		req := sample.request(time.UnixMilli(0).UTC(), "", "1")
		req.SignedID = "1"
		events, err := s.Normalize(req)
		if err != nil {
			continue // a generic sample that this definition cannot read
		}
		redacted, _ := Redact(req, p)
		if _, err := s.RedactedEvents(redacted, events); err != nil {
			return fmt.Errorf("%w (in a sample of the type %s)", err, sample.Type)
		}
	}
	return nil
}

// underItem turns a path within an item into a path of the whole body.
func underItem(where string) string {
	if len(where) == 0 || where[0] != '$' {
		return where
	}
	return "$[0]" + where[1:]
}
