package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/theory/jsonpath"
	"github.com/theory/jsonpath/spec"
)

// Redaction says which values of a body are replaced before anything is stored. The zero
// value replaces none.
type Redaction struct{ paths [][]*spec.Segment }

// The bounds of a redaction. Work for a body grows with its length times these.
const (
	MaxRedactPaths = 50
	maxPathBytes   = 500
	maxPathSteps   = 30
)

// ParseRedactPath reads a JSON path (RFC 9535) of names, wildcards, indexes from 0 and "..".
// Its error finishes a sentence that starts with the field's name.
func ParseRedactPath(text string) (Redaction, error) {
	if len(text) > maxPathBytes {
		return Redaction{}, fmt.Errorf("must have at most %d bytes", maxPathBytes)
	}
	path, err := jsonpath.Parse(text)
	if err != nil {
		return Redaction{}, fmt.Errorf("is no JSON path such as $.data.email: %s", strings.TrimPrefix(err.Error(), "jsonpath: "))
	}
	segments := path.Query().Segments()
	switch {
	case len(segments) == 0:
		return Redaction{}, errors.New("stands for the whole body; name what is to be redacted in it, such as $.data.email")
	case len(segments) > maxPathSteps:
		return Redaction{}, fmt.Errorf("must have at most %d steps", maxPathSteps)
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
			return Redaction{}, fmt.Errorf("may have names, indexes from 0, * and .., and not %s", selector)
		}
	}
	return Redaction{paths: [][]*spec.Segment{segments}}, nil
}

// And is both redactions together.
func (r Redaction) And(other Redaction) Redaction {
	return Redaction{paths: append(r.paths[:len(r.paths):len(r.paths)], other.paths...)}
}

// None reports whether r replaces nothing, whatever the body.
func (r Redaction) None() bool { return len(r.paths) == 0 }

// Redacted is a request without the values that a Redaction names.
type Redacted struct {
	Request
	Changed  bool     // otherwise the request is as it came
	Hidden   []string // texts, numbers and names that were replaced, a thousand at most
	Overflow bool     // there were more
}

// Of gives the request with secret.Redacted, as a JSON string, in place of whatever stands
// at the paths; null stays. All other bytes stay as they were sent, and of members with
// the same name all are replaced. A form becomes the JSON that its events are made of. A
// body that is no JSON is left as it is, with false.
func (r Redaction) Of(req Request) (Redacted, bool) {
	text, err := jsonBody(req)
	if err != nil || deeperThan(text, MaxDepth) || !json.Valid(text) {
		return Redacted{Request: req}, false
	}
	w := walker{in: text, redaction: r}
	w.value(w.space(0), w.start())
	if w.copied == 0 {
		return Redacted{Request: req}, true
	}
	clean := req
	if isForm(req.Header) {
		clean.Header = req.Header.Clone()
		clean.Header.Set("Content-Type", jsonType)
		clean.Body = slices.Concat(w.out, text[w.copied:])
	} else {
		mark := req.Body[:len(req.Body)-len(text)] // a byte-order mark, and space
		clean.Body = slices.Concat(mark, w.out, text[w.copied:])
	}
	return Redacted{clean, true, w.hidden, w.overflow}, true
}
