package provider

import (
	"fmt"
	"strings"
)

// Template describes a signed message: text with placeholders for parts of the request.
type Template []piece

// piece is literal text, or the name of a part.
type piece struct{ literal, part string }

// The parts of a request that a Template may name.
const (
	partBody      = "body"
	partTimestamp = "timestamp"
	partID        = "id"
	partURL       = "url"
	partMethod    = "method"
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
		switch part {
		case partBody, partTimestamp, partID, partURL, partMethod:
		default:
			closed = false
		}
		if !closed {
			return nil, fmt.Errorf("{%s is none of {body}, {timestamp}, {id}, {url} and {method}", part)
		}
		t = append(t, piece{part: part})
		text = after
	}
	return t, nil
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
// longer be valid JSON or a form.
func (t Template) runsTogether() bool {
	for i := 1; i < len(t); i++ {
		if t[i-1].varies() && t[i].varies() {
			return true
		}
	}
	return false
}

func (p piece) varies() bool { return p.part == partID || p.part == partTimestamp || p.part == partURL }

func (t Template) fill(req Request, e envelope) []byte {
	b := make([]byte, 0, len(req.Body)+len(req.URL)+128)
	for _, p := range t {
		switch p.part {
		case "":
			b = append(b, p.literal...)
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
