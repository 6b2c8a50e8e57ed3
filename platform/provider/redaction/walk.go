package redaction

import (
	"encoding/json"

	"github.com/theory/jsonpath/spec"

	"integration-gateway/platform/provider/jsontext"
	"integration-gateway/platform/secret"
)

// front is the progress of each path: bit n is set if its first n steps have matched.
type front []uint64

func (f front) none() bool {
	for _, bits := range f {
		if bits != 0 {
			return false
		}
	}
	return true
}

// advance computes the front of a member or an item below f. It returns true if a path ends
// there.
func (p Paths) advance(next, f front, name string, index int) (whole bool) {
	clear(next)
	for i, bits := range f {
		step := uint64(1)
		for _, segment := range p.segments[i] {
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

// selects reports whether a step selects a member, or with index >= 0 an item.
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

// walker copies valid JSON except for redacted values. Decoding would change numbers and lose
// all but the last of members with the same name.
type walker struct {
	in       []byte
	paths    Paths
	visit    func(raw []byte) // of each selected value, which then stays; nil to redact them
	out      []byte
	copied   int // of in
	hidden   []string
	overflow bool    // of hidden
	fronts   []front // one for each level, reused
	level    int
}

// start is the front of the body itself.
func (w *walker) start() front {
	f := make(front, len(w.paths.segments))
	for i := range f {
		f[i] = 1
	}
	return f
}

// value walks the value at i and returns the position after it.
func (w *walker) value(i int, f front) int {
	if f.none() {
		return jsontext.Skip(w.in, i)
	}
	switch w.in[i] {
	case '{':
		return w.members(i, f)
	case '[':
		return w.items(i, f)
	}
	return jsontext.Skip(w.in, i)
}

func (w *walker) members(i int, f front) int {
	for i = jsontext.Space(w.in, i+1); w.in[i] != '}'; i = jsontext.Space(w.in, i) {
		end := jsontext.EndOfString(w.in, i)
		var name string
		_ = json.Unmarshal(w.in[i:end], &name) // a string within valid JSON
		i = jsontext.Space(w.in, jsontext.Space(w.in, end)+1)
		i = w.child(i, f, name, -1)
		if i = jsontext.Space(w.in, i); w.in[i] == ',' {
			i++
		}
	}
	return i + 1
}

func (w *walker) items(i int, f front) int {
	i = jsontext.Space(w.in, i+1)
	for n := 0; w.in[i] != ']'; n++ {
		i = jsontext.Space(w.in, w.child(i, f, "", n))
		if w.in[i] == ',' {
			i = jsontext.Space(w.in, i+1)
		}
	}
	return i + 1
}

func (w *walker) child(i int, f front, name string, index int) int {
	if w.level == len(w.fronts) {
		w.fronts = append(w.fronts, make(front, len(f)))
	}
	next := w.fronts[w.level]
	if !w.paths.advance(next, f, name, index) {
		w.level++
		defer func() { w.level-- }()
		return w.value(i, next)
	}
	end := jsontext.Skip(w.in, i)
	if w.in[i] == 'n' {
		return end
	}
	if w.visit != nil {
		w.visit(w.in[i:end])
		return end
	}
	w.out = append(append(w.out, w.in[w.copied:i]...), `"`+secret.Redacted+`"`...)
	w.copied = end
	w.hide(w.in[i:end])
	return end
}

// maxHidden bounds the texts that are searched for in headers.
const maxHidden = 1000

// hide records the texts, numbers and names of a value.
func (w *walker) hide(raw []byte) {
	jsontext.Texts(raw, func(text string) bool {
		w.overflow = len(w.hidden) == maxHidden
		if !w.overflow {
			w.hidden = append(w.hidden, text)
		}
		return !w.overflow
	})
}
