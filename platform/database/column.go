package database

import (
	"encoding/binary"
	"slices"
	"time"
)

// Type is a column's type in a Rows, by PostgreSQL's name.
type Type string

// The types of columns, and the Go values they take; every one takes nil too,
// but for Bytes.
const (
	UUID   Type = "uuid"        // string, *string
	Text   Type = "text"        // string, *string
	Bytes  Type = "bytea"       // []byte
	Times  Type = "timestamptz" // time.Time, *time.Time; to the microsecond
	BigInt Type = "bigint"      // int, *int, int64
	Bool   Type = "boolean"     // bool
)

// mostAhead bounds the bytes that are taken ahead for the values after the first, which may be
// a large one among small ones.
const mostAhead = 64 << 10

// column is one column of a Rows. Its values lie one after the other in data, so that a row
// costs no memory of its own: texts as they are, numbers and times (microseconds since 1970)
// in eight bytes, a boolean in one.
type column struct {
	name  string
	typ   Type
	data  []byte
	begin int   // where the first value begins
	more  int   // values that are expected after the first
	ends  []int // where each value ends; -1 - end where it is NULL
}

// add appends a value. It must not let it escape, so it does not say what it is when it is
// of a wrong type.
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
		panic("database: the column " + c.name + " of type " + string(c.typ) + " cannot take such a value")
	}
}

func (c *column) text(s string) {
	c.data = append(c.data, s...)
	c.end(false)
}

func (c *column) number(n int64) {
	c.data = binary.BigEndian.AppendUint64(c.data, uint64(n)) //nolint:gosec // two's complement is meant
	c.end(false)
}

func (c *column) end(null bool) {
	end := len(c.data)
	if c.more > 0 {
		c.data, c.ends = slices.Grow(c.data, min(c.more*(end+end/8), mostAhead)), slices.Grow(c.ends, c.more+1)
		c.more = 0
	}
	if null {
		end = -1 - end
	}
	c.ends = append(c.ends, end)
}

// slice is the values from one number to before another.
func (c *column) slice(from, to int) column {
	part := *c
	part.ends = c.ends[from:to]
	if from > 0 {
		part.begin = at(c.ends[from-1])
	}
	return part
}

// at is where a value ends, NULL or not.
func at(end int) int {
	if end < 0 {
		return -1 - end
	}
	return end
}

// bytes are those of value number i; null says that it is NULL.
func (c *column) bytes(i int) (b []byte, null bool) {
	begin, end := c.begin, c.ends[i]
	if i > 0 {
		begin = at(c.ends[i-1])
	}
	return c.data[begin:at(end)], end < 0
}

// values gives the values as what a driver of database/sql takes.
func (c *column) values(take func(i int, value any)) {
	text := ""
	if n := len(c.ends); n > 0 && (c.typ == Text || c.typ == UUID) {
		text = string(c.data[c.begin:at(c.ends[n-1])]) // once for all of them
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
			end := at(c.ends[i]) - c.begin
			take(i, text[end-len(b):end])
		}
	}
}

func number(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) } //nolint:gosec // two's complement is meant
