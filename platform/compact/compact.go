// Package compact stores texts in fewer bytes: compressed alone, or as what differs from a
// text that is stored elsewhere. Open returns exactly the bytes that were stored, or an error.
package compact

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A stored value that begins with one of these bytes is in that format; any other is the text
// itself. No UTF-8 text begins with one, so that JSON that is not worth compressing is stored,
// and can be read in the database, as it is.
const (
	formatPlain byte = 0xF8 // the text follows
	formatAlone byte = 0xF9 // checksum, zstd frame
	formatDelta byte = 0xFA // checksum, length, delta

	// BaseMark is the first byte of the values that need their base, so that a query can tell.
	BaseMark = formatDelta
)

const (
	// MaxSize is the longest text that is compressed, and that Open returns of a value that is
	// not plain: a damaged value takes no more memory.
	MaxSize = 64 << 20

	smallest     = 192 // bytes from which compression alone is tried: it saves a fourth of such webhooks for some 5 µs
	worth        = 10  // percent that compression must save
	checksumSize = 4
	headSize     = 1 + checksumSize
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged is the error of values that do not hold what was stored.
var ErrDamaged = errors.New("the stored value is damaged")

// The window bounds the memory of an encoder; larger ones gain little with JSON. The checksum
// is the package's own, of every format.
var encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(128<<10), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
})

var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(MaxSize), zstd.WithDecoderLowmem(true))
})

// Alone returns what is stored of a text on its own.
func Alone(text []byte) []byte {
	if len(text) < smallest || len(text) > MaxSize {
		return plain(text)
	}
	zip, err := encoder()
	if err != nil {
		return plain(text) // the options are valid
	}
	stored := zip.EncodeAll(text, head(make([]byte, 0, headSize+len(text)/2), formatAlone, text))
	if len(stored) > len(text)-len(text)*worth/100 {
		return plain(text)
	}
	return stored
}

// Against returns what is stored of a text beside a base, which Open needs again: the parts in
// this order. It is the shortest of the formats, though compression alone is only tried if the
// text has little in common with the base.
func Against(text []byte, base ...[]byte) []byte {
	if len(text) < shortest || len(text) > MaxSize {
		return plain(text)
	}
	whole := join(base)
	if len(whole) < shortest || len(whole) > MaxSize {
		return Alone(text)
	}
	delta := head(make([]byte, 0, headSize+64+len(text)/8), formatDelta, text)
	delta = appendDelta(binary.AppendUvarint(delta, uint64(len(text))), text, whole)
	if len(delta) < len(text)/4 {
		return delta
	}
	if alone := Alone(text); len(alone) <= len(delta) {
		return alone
	}
	return delta
}

// NeedsBase reports whether a stored value can only be opened with its base.
func NeedsBase(stored []byte) bool { return len(stored) > 0 && stored[0] == formatDelta }

// unsized is the longest text whose length zstd leaves out of its frame.
const unsized = 255

// Size returns the number of bytes that Open returns of a stored value, without opening it, or
// unsized of some that are not longer; 0 of a damaged value.
func Size(stored []byte) int {
	switch {
	case len(stored) == 0 || stored[0] < formatPlain:
		return len(stored)
	case stored[0] == formatPlain:
		return len(stored) - 1
	case len(stored) < headSize:
		return 0
	case stored[0] == formatDelta:
		if size, n := binary.Uvarint(stored[headSize:]); n > 0 && size <= MaxSize {
			return int(size) //nolint:gosec // at most MaxSize
		}
		return 0
	}
	var h zstd.Header
	switch {
	case h.Decode(stored[headSize:]) != nil || h.FrameContentSize > MaxSize:
		return 0
	case !h.HasFCS:
		return unsized
	}
	return int(h.FrameContentSize) //nolint:gosec // at most MaxSize
}

// Open returns the text of a stored value. The base matters only if the value needs it. The text
// may share memory with stored.
func Open(stored []byte, base ...[]byte) ([]byte, error) {
	if len(stored) == 0 || stored[0] < formatPlain {
		return stored, nil
	}
	if stored[0] == formatPlain {
		return stored[1:], nil
	}
	if len(stored) < headSize {
		return nil, ErrDamaged
	}
	text, err := unpack(stored[0], stored[headSize:], base)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if crc32.Checksum(text, castagnoli) != binary.LittleEndian.Uint32(stored[1:]) {
		return nil, fmt.Errorf("%w: it has another checksum", ErrDamaged)
	}
	return text, nil
}

func unpack(format byte, rest []byte, base [][]byte) ([]byte, error) {
	switch format {
	case formatAlone:
		zip, err := decoder()
		if err != nil {
			return nil, fmt.Errorf("start zstd: %w", err)
		}
		return zip.DecodeAll(rest, nil) //nolint:wrapcheck // wrapped by Open
	case formatDelta:
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > MaxSize {
			return nil, errDelta
		}
		return applyDelta(rest[n:], join(base), int(size)) //nolint:gosec // at most MaxSize
	}
	return nil, fmt.Errorf("format %#x is unknown", format)
}

func plain(text []byte) []byte {
	if len(text) == 0 || text[0] < formatPlain {
		return text
	}
	return append([]byte{formatPlain}, text...)
}

func head(dst []byte, format byte, text []byte) []byte {
	return binary.LittleEndian.AppendUint32(append(dst, format), crc32.Checksum(text, castagnoli))
}

func join(parts [][]byte) []byte {
	if len(parts) == 1 {
		return parts[0]
	}
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	whole := make([]byte, 0, size)
	for _, p := range parts {
		whole = append(whole, p...)
	}
	return whole
}
