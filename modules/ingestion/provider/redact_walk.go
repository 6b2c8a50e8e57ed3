package provider

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/theory/jsonpath/spec"

	"integration-gateway/platform/secret"
)

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
	overflow  bool    // of hidden
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

// hide notes the texts and numbers of a value, and the names in it.
func (w *walker) hide(raw []byte) {
	eachText(raw, func(text string) bool {
		w.overflow = len(w.hidden) == maxHidden
		if !w.overflow {
			w.hidden = append(w.hidden, text)
		}
		return !w.overflow
	})
}

// eachText gives the texts, numbers and members' names of valid JSON as they come, until
// it is told that no more are wanted. Numbers are as they were written, and of members with
// the same name all are given.
func eachText(raw []byte, give func(text string) (more bool)) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	for more := true; more; {
		token, err := decoder.Token()
		if err != nil { // the end
			return
		}
		switch one := token.(type) {
		case string:
			more = give(one)
		case json.Number:
			more = give(one.String())
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
