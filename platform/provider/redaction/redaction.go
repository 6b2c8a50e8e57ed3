// Package redaction replaces the values at JSON paths and leaves all other bytes unchanged.
package redaction

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/theory/jsonpath"
	"github.com/theory/jsonpath/spec"

	"integration-gateway/platform/provider/jsontext"
)

// Paths select the values of a body that are replaced before it is stored. The zero value
// selects none.
type Paths struct{ segments [][]*spec.Segment }

// The bounds of a redaction. The work for a body is proportional to its length times these.
const (
	MaxPaths     = 50
	maxPathBytes = 500
	maxPathSteps = 30
)

// ParsePath parses a JSON path (RFC 9535) of names, wildcards, non-negative indexes and "..".
// Its error completes a sentence that starts with the field's name.
func ParsePath(text string) (Paths, error) {
	if len(text) > maxPathBytes {
		return Paths{}, fmt.Errorf("must have at most %d bytes", maxPathBytes)
	}
	path, err := jsonpath.Parse(text)
	if err != nil {
		return Paths{}, fmt.Errorf("is not a JSON path such as $.data.email: %s", strings.TrimPrefix(err.Error(), "jsonpath: "))
	}
	segments := path.Query().Segments()
	switch {
	case len(segments) == 0:
		return Paths{}, errors.New("selects the whole body; select the values to redact, such as $.data.email")
	case len(segments) > maxPathSteps:
		return Paths{}, fmt.Errorf("must have at most %d steps", maxPathSteps)
	}
	for _, segment := range segments {
		for _, selector := range segment.Selectors() {
			switch one := selector.(type) {
			case spec.Name, spec.WildcardSelector:
				continue
			case spec.Index:
				if one >= 0 {
					continue
				}
			}
			return Paths{}, fmt.Errorf("may have names, indexes from 0, * and .., and not %s", selector)
		}
	}
	return Paths{[][]*spec.Segment{segments}}, nil
}

// And returns the union of both.
func (p Paths) And(other Paths) Paths {
	return Paths{append(p.segments[:len(p.segments):len(p.segments)], other.segments...)}
}

// None reports whether p replaces nothing, whatever the body.
func (p Paths) None() bool { return len(p.segments) == 0 }

// Result is a text with the selected values replaced.
type Result struct {
	Text     []byte
	Changed  bool     // false if nothing was replaced
	Hidden   []string // replaced texts, numbers and names, at most a thousand
	Overflow bool     // there are more
}

// Of replaces the selected values of valid JSON, except null, with the JSON string
// secret.Redacted. All other bytes stay unchanged. Of members with the same name all are
// replaced.
func (p Paths) Of(text []byte) Result {
	w := walker{in: text, paths: p}
	w.value(jsontext.Space(text, 0), w.start())
	if w.copied == 0 {
		return Result{Text: text}
	}
	return Result{slices.Concat(w.out, text[w.copied:]), true, w.hidden, w.overflow}
}

// Holds reports whether a selected value of valid JSON is such a text or number, or has such a text,
// number or name within.
func (p Paths) Holds(valid []byte, is func(text string) bool) (found bool) {
	w := walker{in: valid, paths: p, visit: func(raw []byte) {
		if found {
			return
		}
		jsontext.Texts(raw, func(one string) bool {
			found = is(one)
			return !found
		})
	}}
	w.value(jsontext.Space(valid, 0), w.start())
	return found
}

// Reaches reports whether p replaces the value at a path of names and indexes, or a value
// that contains it. It is false for other paths.
func (p Paths) Reaches(where string) bool {
	path, err := jsonpath.Parse(where)
	if err != nil || p.None() {
		return false
	}
	w := walker{paths: p}
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
		if p.advance(next, f, name, index) {
			return true
		}
		f, next = next, f
	}
	return false
}
