package figures

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// counts are what a process counted in one minute for one source or destination.
type counts struct {
	accepted, duplicate, handshakes, failed, delivered uint32
	refused                                            map[string]uint32 // by reason
	errors                                             map[string]uint32 // failed attempts, by kind of error
	attempts, endToEnd                                 *histogram        // nil for none
}

// maxNames bounds the reasons and the kinds of one row; further ones count as other.
const (
	maxNames = 64
	other    = "other"
)

func increase(names map[string]uint32, name string) map[string]uint32 {
	if names == nil {
		names = map[string]uint32{}
	}
	if _, known := names[name]; !known && len(names) >= maxNames {
		name = other
	}
	names[name]++
	return names
}

func observe(h *histogram, bucket int) *histogram {
	if h == nil {
		h = new(histogram)
	}
	h[bucket]++
	return h
}

// format is the first byte of encoded counts.
const format = 1

// encode writes counts as variable-length integers: five counts; the refusals and the errors,
// each as their number and then name and count; the two histograms, each as the number of its
// buckets that are not empty and then the distance to the one before and the count.
func (c *counts) encode() []byte {
	b := append(make([]byte, 0, 64), format)
	for _, n := range []uint32{c.accepted, c.duplicate, c.handshakes, c.failed, c.delivered} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for _, names := range []map[string]uint32{c.refused, c.errors} {
		b = binary.AppendUvarint(b, uint64(len(names)))
		for _, name := range slices.Sorted(maps.Keys(names)) {
			b = binary.AppendUvarint(b, uint64(len(name)))
			b = binary.AppendUvarint(append(b, name...), uint64(names[name]))
		}
	}
	for _, h := range []*histogram{c.attempts, c.endToEnd} {
		if h == nil {
			b = append(b, 0)
			continue
		}
		b = encodeBuckets(b, (*[buckets]uint32)(h))
	}
	return b
}

func encodeBuckets[T uint32 | int64](b []byte, h *[buckets]T) []byte {
	var used uint64
	for _, n := range h {
		if n > 0 {
			used++
		}
	}
	b = binary.AppendUvarint(b, used)
	last := 0
	for i, n := range h {
		if n > 0 {
			b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(i-last)), uint64(n)) //nolint:gosec // both are positive
			last = i
		}
	}
	return b
}

// sum adds up counts.
type sum struct {
	accepted, duplicate, handshakes, failed, delivered int64
	refused, errors                                    map[string]int64
	attempts, endToEnd                                 distribution
}

func newSum() *sum { return &sum{refused: map[string]int64{}, errors: map[string]int64{}} }

func (s *sum) encode() []byte {
	b := append(make([]byte, 0, 128), format)
	for _, n := range []int64{s.accepted, s.duplicate, s.handshakes, s.failed, s.delivered} {
		b = binary.AppendUvarint(b, uint64(n)) //nolint:gosec // positive
	}
	for _, names := range []map[string]int64{s.refused, s.errors} {
		b = binary.AppendUvarint(b, uint64(len(names)))
		for _, name := range slices.Sorted(maps.Keys(names)) {
			b = binary.AppendUvarint(b, uint64(len(name)))
			b = binary.AppendUvarint(append(b, name...), uint64(names[name])) //nolint:gosec // positive
		}
	}
	return encodeBuckets(encodeBuckets(b, (*[buckets]int64)(&s.attempts)), (*[buckets]int64)(&s.endToEnd))
}

var errDamaged = errors.New("counts are damaged")

// add adds encoded counts.
func (s *sum) add(b []byte) error {
	if len(b) == 0 || b[0] != format {
		return errDamaged
	}
	r := reader{rest: b[1:]}
	for _, into := range []*int64{&s.accepted, &s.duplicate, &s.handshakes, &s.failed, &s.delivered} {
		*into += r.number()
	}
	for _, names := range []map[string]int64{s.refused, s.errors} {
		for n := r.number(); n > 0 && !r.damaged; n-- {
			name := r.text()
			names[string(name)] += r.number()
		}
	}
	for _, d := range []*distribution{&s.attempts, &s.endToEnd} {
		i := int64(0)
		for n := r.number(); n > 0 && !r.damaged; n-- {
			if i += r.number(); i >= buckets {
				return errDamaged
			}
			d[i] += r.number()
		}
	}
	if r.damaged {
		return errDamaged
	}
	return nil
}

// merge adds another sum.
func (s *sum) merge(o *sum) {
	s.accepted += o.accepted
	s.duplicate += o.duplicate
	s.handshakes += o.handshakes
	s.failed += o.failed
	s.delivered += o.delivered
	for name, n := range o.refused {
		s.refused[name] += n
	}
	for name, n := range o.errors {
		s.errors[name] += n
	}
	for i := range o.attempts {
		s.attempts[i] += o.attempts[i]
		s.endToEnd[i] += o.endToEnd[i]
	}
}

func total(of map[string]int64) (n int64) {
	for _, v := range of {
		n += v
	}
	return n
}

// reader reads encoded counts. After an error it returns zeros.
type reader struct {
	rest    []byte
	damaged bool
}

func (r *reader) number() int64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > 1<<53 {
		r.damaged, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return int64(n)
}

func (r *reader) text() []byte {
	n := r.number()
	if n > int64(len(r.rest)) {
		r.damaged, r.rest = true, nil
		return nil
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}
