package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/theory/jsonpath"
	"github.com/theory/jsonpath/spec"

	"integration-gateway/platform/secret"
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
	Changed bool     // otherwise the request is as it came
	Hidden  []string // texts and numbers that were replaced, a thousand at most
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
		clean.Body = append(w.out, text[w.copied:]...)
	} else {
		mark := req.Body[:len(req.Body)-len(text)] // a byte-order mark, and space
		clean.Body = slices.Concat(mark, w.out, text[w.copied:])
	}
	return Redacted{clean, true, w.hidden}, true
}

// front is how far each path has come: bit n says that n of its steps are behind.
type front []uint64

func (f front) none() bool {
	for _, bits := range f {
		if bits != 0 {
			return false
		}
	}
	return true
}

// advance makes next the front at a member or an item below f; true says that a path ends
// there.
func (r Redaction) advance(next, f front, name string, index int) (whole bool) {
	clear(next)
	for i, bits := range f {
		step := uint64(1)
		for _, segment := range r.paths[i] {
			if bits&step != 0 && segment.IsDescendant() {
				next[i] |= step
			}
			if bits&step != 0 && selects(segment, name, index) {
				next[i] |= step << 1
			}
			step <<= 1
		}
		whole = whole || next[i]&step != 0
	}
	return whole
}

// selects reports whether a step leads to a member, or with index >= 0 to an item.
func selects(segment *spec.Segment, name string, index int) bool {
	for _, selector := range segment.Selectors() {
		switch one := selector.(type) {
		case spec.WildcardSelector:
			return true
		case spec.Name:
			if index < 0 && string(one) == name {
				return true
			}
		case spec.Index:
			if int(one) == index {
				return true
			}
		}
	}
	return false
}

// walker copies valid JSON but for what is redacted. Decoding would change numbers and
// lose all but the last of members with the same name.
type walker struct {
	in        []byte
	redaction Redaction
	out       []byte
	copied    int // of in
	hidden    []string
	fronts    []front // one for each level, used again and again
	level     int
}

// start is the front at the body itself.
func (w *walker) start() front {
	f := make(front, len(w.redaction.paths))
	for i := range f {
		f[i] = 1
	}
	return f
}

// value goes through the value at i and gives the place behind it.
func (w *walker) value(i int, f front) int {
	if f.none() {
		return w.skip(i)
	}
	switch w.in[i] {
	case '{':
		return w.members(i, f)
	case '[':
		return w.items(i, f)
	}
	return w.skip(i)
}

func (w *walker) members(i int, f front) int {
	for i = w.space(i + 1); w.in[i] != '}'; i = w.space(i) {
		end := w.endOfString(i)
		var name string
		_ = json.Unmarshal(w.in[i:end], &name) // a string within valid JSON
		i = w.space(w.space(end) + 1)
		i = w.child(i, f, name, -1)
		if i = w.space(i); w.in[i] == ',' {
			i++
		}
	}
	return i + 1
}

func (w *walker) items(i int, f front) int {
	i = w.space(i + 1)
	for n := 0; w.in[i] != ']'; n++ {
		i = w.space(w.child(i, f, "", n))
		if w.in[i] == ',' {
			i = w.space(i + 1)
		}
	}
	return i + 1
}

func (w *walker) child(i int, f front, name string, index int) int {
	if w.level == len(w.fronts) {
		w.fronts = append(w.fronts, make(front, len(f)))
	}
	next := w.fronts[w.level]
	if !w.redaction.advance(next, f, name, index) {
		w.level++
		defer func() { w.level-- }()
		return w.value(i, next)
	}
	end := w.skip(i)
	if w.in[i] == 'n' {
		return end
	}
	w.out = append(append(w.out, w.in[w.copied:i]...), `"`+secret.Redacted+`"`...)
	w.copied = end
	w.hide(w.in[i:end])
	return end
}

// maxHidden bounds the texts that headers are searched for.
const maxHidden = 1000

// hide notes the texts and numbers of a value.
func (w *walker) hide(raw json.RawMessage) {
	in := input{raw: raw, doc: &document{}}
	eachText(in.tree(), func(text string) {
		if len(w.hidden) < maxHidden {
			w.hidden = append(w.hidden, text)
		}
	})
}

// eachText gives the texts and numbers of a decoded value, in no particular order.
func eachText(value any, give func(text string)) {
	switch v := value.(type) {
	case string:
		give(v)
	case json.Number:
		give(v.String())
	case []any:
		for _, one := range v {
			eachText(one, give)
		}
	case map[string]any:
		for _, one := range v {
			eachText(one, give)
		}
	}
}

func (w *walker) space(i int) int {
	for i < len(w.in) && strings.IndexByte(" \t\r\n", w.in[i]) >= 0 {
		i++
	}
	return i
}

// endOfString is the place behind the string at i.
func (w *walker) endOfString(i int) int {
	for i++; w.in[i] != '"'; i++ {
		if w.in[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skip gives the place behind the value at i.
func (w *walker) skip(i int) int {
	for depth := 0; ; {
		switch w.in[i] {
		case '"':
			i = w.endOfString(i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ' ', '\t', '\r', '\n', ',', ':':
			i++
			continue
		default:
			for i < len(w.in) && strings.IndexByte(" \t\r\n,:]}", w.in[i]) < 0 {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
}
