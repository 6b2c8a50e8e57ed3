package database

import (
	"encoding/binary"
	"slices"
	"time"
)

// Type is a column's type in a Rows, by PostgreSQL's name.
type Type string

// The types of columns, and the Go values they accept. All except Bytes also accept nil.
const (
	UUID   Type = "uuid"        // string, *string
	Text   Type = "text"        // string, *string
	Bytes  Type = "bytea"       // []byte
	Times  Type = "timestamptz" // time.Time, *time.Time; to the microsecond
	BigInt Type = "bigint"      // int, *int, int64
	Bool   Type = "boolean"     // bool
)

// maxReserve limits the bytes that are reserved for the values after the first, which may
// be a large one among small ones.
const maxReserve = 64 << 10

// column is one column of a Rows. Its values are stored consecutively in data, so that a
// row needs no allocation of its own: texts as they are, numbers and times (microseconds
// since 1970) in eight bytes, a boolean in one.
type column struct {
	name     string
	typ      Type
	data     []byte
	begin    int   // offset of the first value
	expected int   // values expected after the first
	ends     []int // end offset of each value; -1 - end for NULL
}

// add appends a value. Its panic does not name the value's type, so that the value does not
// escape to the heap.
func (c *column) add(value any) {
	switch v := value.(type) {
	case nil:
		c.end(true)
	case string:
		c.text(v)
	case *string:
		if v == nil {
			c.end(true)
			return
		}
		c.text(*v)
	case []byte:
		c.data = append(c.data, v...)
		c.end(false)
	case time.Time:
		c.number(v.Round(time.Microsecond).UnixMicro())
	case *time.Time:
		if v == nil {
			c.end(true)
			return
		}
		c.number(v.Round(time.Microsecond).UnixMicro())
	case int:
		c.number(int64(v))
	case *int:
		if v == nil {
			c.end(true)
			return
		}
		c.number(int64(*v))
	case int64:
		c.number(v)
	case bool:
		c.data = append(c.data, 0)
		if v {
			c.data[len(c.data)-1] = 1
		}
		c.end(false)
	default:
		panic("database: the column " + c.name + " of type " + string(c.typ) + " cannot store this value")
	}
}

func (c *column) text(s string) {
	c.data = append(c.data, s...)
	c.end(false)
}

func (c *column) number(n int64) {
	c.data = binary.BigEndian.AppendUint64(c.data, uint64(n)) //nolint:gosec // two's complement is intended
	c.end(false)
}

func (c *column) end(null bool) {
	end := len(c.data)
	if c.expected > 0 {
		c.data, c.ends = slices.Grow(c.data, min(c.expected*(end+end/8), maxReserve)), slices.Grow(c.ends, c.expected+1)
		c.expected = 0
	}
	if null {
		end = -1 - end
	}
	c.ends = append(c.ends, end)
}

// slice returns the values in [from, to).
func (c *column) slice(from, to int) column {
	part := *c
	part.ends = c.ends[from:to]
	if from > 0 {
		part.begin = offset(c.ends[from-1])
	}
	return part
}

// offset decodes the end of a value, NULL or not.
func offset(end int) int {
	if end < 0 {
		return -1 - end
	}
	return end
}

// bytes returns value number i; null reports whether it is NULL.
func (c *column) bytes(i int) (b []byte, null bool) {
	begin, end := c.begin, c.ends[i]
	if i > 0 {
		begin = offset(c.ends[i-1])
	}
	return c.data[begin:offset(end)], end < 0
}

// values passes the values to take in the form that database/sql drivers accept.
func (c *column) values(take func(i int, value any)) {
	text := ""
	if n := len(c.ends); n > 0 && (c.typ == Text || c.typ == UUID) {
		text = string(c.data[c.begin:offset(c.ends[n-1])]) // one conversion for all of them
	}
	for i := range c.ends {
		b, null := c.bytes(i)
		switch {
		case null:
			take(i, nil)
		case c.typ == Bytes && len(b) == 0:
			take(i, []byte{}) // nil would be NULL
		case c.typ == Bytes:
			take(i, b)
		case c.typ == BigInt:
			take(i, number(b))
		case c.typ == Times:
			take(i, time.UnixMicro(number(b)).UTC())
		case c.typ == Bool:
			take(i, b[0] == 1)
		default:
			end := offset(c.ends[i]) - c.begin
			take(i, text[end-len(b):end])
		}
	}
}

func number(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) } //nolint:gosec // two's complement is intended
