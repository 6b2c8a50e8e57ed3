package provider

import (
	"fmt"
	"strings"
)

// Template describes a signed message: text with placeholders for parts of the request.
type Template []piece

// piece is literal text, the name of a part, or a spot of the request.
type piece struct {
	literal, part string
	spot          *spot
}

// The parts of a request that a Template may name.
const (
	partBody      = "body"
	partTimestamp = "timestamp"
	partID        = "id"
	partURL       = "url"
	partMethod    = "method"
	partForm      = "sortedForm" // the form's names and values, sorted by name
)

// over parses a template of this package; the tests find an invalid one.
func over(text string) Template {
	t, err := parseTemplate(text)
	if err != nil {
		panic(err)
	}
	return t
}

// parseTemplate reads text such as "{timestamp}.{body}".
func parseTemplate(text string) (Template, error) {
	var t Template
	for text != "" {
		literal, rest, found := strings.Cut(text, "{")
		if literal != "" {
			t = append(t, piece{literal: literal})
		}
		if !found {
			break
		}
		part, after, closed := strings.Cut(rest, "}")
		one := piece{part: part}
		switch part {
		case partBody, partTimestamp, partID, partURL, partMethod, partForm:
		default:
			place, err := optionalSpot(part)
			closed = closed && err == nil
			one = piece{spot: &place}
		}
		if !closed {
			return nil, fmt.Errorf("{%s is none of {body}, {timestamp}, {id}, {url}, {method}, {sortedForm} and a place such as {header:X-Id}", part)
		}
		t = append(t, one)
		text = after
	}
	return t, nil
}

// optionalSpot reads a place; one in the body may be absent if it ends in a question mark.
func optionalSpot(text string) (spot, error) {
	name, optional := strings.CutSuffix(text, "?")
	if !optional || !strings.HasPrefix(text, "$") {
		return parseSpot(text)
	}
	place, err := parseSpot(name)
	place.optional = true
	return place, err
}

// names reports whether the template has a part.
func (t Template) names(part string) bool {
	for _, p := range t {
		if p.part == part {
			return true
		}
	}
	return false
}

// runsTogether reports whether two parts of variable length are adjacent, so that the end of
// one could be moved to the start of the other. This does not apply to a body: it would no
// longer be valid JSON or a form. Nor does it to a time in RFC 3339, whose length is fixed by
// its grammar.
func (t Template) runsTogether(unit Unit) bool {
	fixed := func(p piece) bool { return p.part == partTimestamp && unit == RFC3339 }
	for i := 1; i < len(t); i++ {
		if t[i-1].varies() && t[i].varies() && !fixed(t[i-1]) && !fixed(t[i]) {
			return true
		}
	}
	return false
}

func (p piece) varies() bool {
	return p.part == partID || p.part == partTimestamp || p.part == partURL || p.spot != nil
}

// spots returns the places that the template names.
func (t Template) spots() (all []spot) {
	for _, p := range t {
		if p.spot != nil {
			all = append(all, *p.spot)
		}
	}
	return all
}

// values reads the places that the template names, in order.
func (t Template) values(req Request) (all []string, err error) {
	for _, s := range t.spots() {
		value, err := s.read(req)
		if err != nil {
			return nil, err
		}
		all = append(all, value)
	}
	return all, nil
}

func (t Template) fill(req Request, e envelope) []byte {
	size := len(req.URL) + len(e.form) + 128
	if t.names(partBody) {
		size += len(req.Body)
	}
	b := make([]byte, 0, size)
	values := e.values
	for _, p := range t {
		if p.spot != nil {
			b, values = append(b, values[0]...), values[1:]
			continue
		}
		switch p.part {
		case "":
			b = append(b, p.literal...)
		case partForm:
			b = append(b, e.form...)
		case partBody:
			b = append(b, req.Body...)
		case partTimestamp:
			b = append(b, e.timestamp...)
		case partID:
			b = append(b, e.id...)
		case partURL:
			b = append(b, req.URL...)
		case partMethod:
			b = append(b, req.Method...)
		}
	}
	return b
}
