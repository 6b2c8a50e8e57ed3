package jsontext

import (
	"iter"
	"strings"

	"github.com/theory/jsonpath/spec"
)

// Tape is valid JSON with the positions of its values, in order. A value's children follow
// it; an object's are names and values alternately.
type Tape struct {
	raw   []byte
	nodes []node
}

// node is a value's position, and the number of the node after its children.
type node struct{ start, end, next int32 }

// NewTape reads valid JSON.
func NewTape(raw []byte) *Tape {
	t := &Tape{raw: raw}
	t.value(Space(raw, 0))
	return t
}

// value records the value at i and returns the position after it.
func (t *Tape) value(i int) int {
	n := len(t.nodes)
	t.nodes = append(t.nodes, node{start: int32(i)}) //nolint:gosec // bodies are far below 2 GB
	switch c := t.raw[i]; c {
	case '{', '[':
		for i = Space(t.raw, i+1); t.raw[i] != c+2; i = Space(t.raw, i) { // } and ] are two after { and [ in ASCII
			if t.raw[i] == ',' || t.raw[i] == ':' {
				i++
				continue
			}
			i = t.value(i)
		}
		i++
	case '"':
		i = EndOfString(t.raw, i)
	default:
		for i < len(t.raw) && strings.IndexByte(" \t\r\n,:]}", t.raw[i]) < 0 {
			i++
		}
	}
	t.nodes[n].end, t.nodes[n].next = int32(i), int32(len(t.nodes)) //nolint:gosec // as above
	return i
}

// Bytes returns the bytes of the value at i.
func (t *Tape) Bytes(i int32) []byte { return t.raw[t.nodes[i].start:t.nodes[i].end] }

// Children iterates over an array's items or an object's values.
func (t *Tape) Children(i int32) iter.Seq[int32] {
	kind := t.raw[t.nodes[i].start]
	return func(yield func(int32) bool) {
		if kind != '{' && kind != '[' {
			return
		}
		for child := i + 1; child < t.nodes[i].next; child = t.nodes[child].next {
			if kind == '{' {
				child++ // the name
			}
			if !yield(child) {
				return
			}
		}
	}
}

// Member returns an object's value of that name; the last if there are several.
func (t *Tape) Member(i int32, name string) (found int32, ok bool) {
	if t.raw[t.nodes[i].start] != '{' {
		return 0, false
	}
	for child := range t.Children(i) {
		if IsName(t.Bytes(child-1), name) {
			found, ok = child, true
		}
	}
	return found, ok
}

// Items returns an array's items; none for other values.
func (t *Tape) Items(i int32) []int32 {
	if t.raw[t.nodes[i].start] != '[' {
		return nil
	}
	var all []int32
	for child := range t.Children(i) {
		all = append(all, child)
	}
	return all
}

// Item returns an array's item; a negative index counts from the end.
func (t *Tape) Item(i int32, index int) (found int32, ok bool) {
	if t.raw[t.nodes[i].start] != '[' {
		return 0, false
	}
	if index < 0 {
		length := 0
		for range t.Children(i) {
			length++
		}
		index += length
	}
	n := 0
	for child := range t.Children(i) {
		if n == index {
			return child, true
		}
		n++
	}
	return 0, false
}

// Slice returns the items that a slice selects, in its order.
func (t *Tape) Slice(i int32, s spec.SliceSelector) []int32 {
	all := t.Items(i)
	lower, upper := s.Bounds(len(all))
	var some []int32
	switch step := s.Step(); {
	case step > 0:
		for n := lower; n < upper; n += step {
			some = append(some, all[n])
		}
	case step < 0:
		for n := upper; n > lower; n += step {
			some = append(some, all[n])
		}
	}
	return some
}
