package compact

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"sync"
)

// A delta describes a text by pieces of a base: length<<1|1 and the distance of the piece from
// the end of the one before, or length<<1 and bytes of the text's own. Numbers are varints, and
// the distance a signed one. RFC 3284 and Git's packs do the same with other encodings.

const (
	shortest = 4       // bytes that are worth a reference
	maxIndex = 1 << 14 // entries of the index, whatever the base's size
)

var errDelta = errors.New("the delta is damaged")

// index maps hashes of four bytes to their positions in a base, plus 1.
type index [maxIndex]uint32

var indexes = sync.Pool{New: func() any { return new(index) }}

func load32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }

func hash(four uint32, shift int) uint32 { return four * 2654435761 >> shift }

// appendDelta appends the delta that makes text from base. Of a long base only some positions
// are in the index: short pieces of it may not be found.
func appendDelta(dst, text, base []byte) []byte {
	table, _ := indexes.Get().(*index)
	defer indexes.Put(table)
	size := bits.Len(uint(min(2*len(base), maxIndex) - 1))
	shift, step := 32-size, 1+2*len(base)/maxIndex
	used := table[:1<<size]
	clear(used)
	for at := 0; at+shortest <= len(base); at += step {
		used[hash(load32(base, at), shift)] = uint32(at + 1) //nolint:gosec // at most MaxSize
	}
	own, end := 0, 0 // the start of the bytes without a reference; the end of the last piece
	for at := 0; at+shortest <= len(text); {
		four := load32(text, at)
		from := int(used[hash(four, shift)]) - 1
		if from < 0 || load32(base, from) != four {
			at += 1 + (at-own)>>6 // hurries through what does not repeat
			continue
		}
		start, n := at, shortest+common(text[at+shortest:], base[from+shortest:])
		for start > own && from > 0 && text[start-1] == base[from-1] {
			start, from, n = start-1, from-1, n+1
		}
		dst = appendOwn(dst, text[own:start])
		dst = binary.AppendUvarint(dst, uint64(n)<<1|1) //nolint:gosec // a length
		dst = binary.AppendVarint(dst, int64(from-end))
		at, own, end = start+n, start+n, from+n
	}
	return appendOwn(dst, text[own:])
}

func appendOwn(dst, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	return append(binary.AppendUvarint(dst, uint64(len(text))<<1), text...)
}

// common returns how many bytes a and b have in common at their starts.
func common(a, b []byte) int {
	n, most := 0, min(len(a), len(b))
	for ; n+8 <= most; n += 8 {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
	}
	for n < most && a[n] == b[n] {
		n++
	}
	return n
}

// applyDelta makes the text of that size from base.
func applyDelta(delta, base []byte, size int) ([]byte, error) {
	text := make([]byte, 0, min(size, len(base)+len(delta)))
	for end := 0; len(delta) > 0; {
		op, n := binary.Uvarint(delta)
		if n <= 0 || op>>1 > uint64(size-len(text)) { //nolint:gosec // never negative
			return nil, errDelta
		}
		length := int(op >> 1) //nolint:gosec // at most size
		if delta = delta[n:]; op&1 == 0 {
			if length > len(delta) {
				return nil, errDelta
			}
			text, delta = append(text, delta[:length]...), delta[length:]
			continue
		}
		distance, n := binary.Varint(delta)
		if n <= 0 || distance < int64(-end) || distance > int64(len(base)-length-end) {
			return nil, errDelta
		}
		from := end + int(distance)
		text, delta, end = append(text, base[from:from+length]...), delta[n:], from+length
	}
	if len(text) != size {
		return nil, errDelta
	}
	return text, nil
}
