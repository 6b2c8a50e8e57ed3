package database

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// array is a parameter that lib/pq sends in the binary form of a PostgreSQL array: the
// server reads it without parsing a text, which takes it many times as long.
type array struct {
	typ    Type
	values []any
}

// The types' numbers on every server.
// https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat
var oids = map[Type]uint32{Bool: 16, Bytes: 17, BigInt: 20, Text: 25, Times: 1184, UUID: 2950}

// epoch is what PostgreSQL counts microseconds from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// BinaryValue is the array as array_recv reads it: the number of dimensions, whether
// there are NULLs, the elements' type, how many and from which number, and each with
// its length.
// https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c
func (a array) BinaryValue() ([]byte, error) {
	b := make([]byte, 0, 20+a.size())
	if len(a.values) == 0 {
		return binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 0, 0, 0, 0, 0), oids[a.typ]), nil
	}
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 1)
	b = binary.BigEndian.AppendUint32(b, oids[a.typ])
	b = binary.BigEndian.AppendUint32(b, uint32(len(a.values))) //nolint:gosec // rows of one statement
	b = append(b, 0, 0, 0, 1)
	for _, v := range a.values {
		at := len(b)
		b = append(b, 0xff, 0xff, 0xff, 0xff) // NULL
		element, isNull, err := appendElement(b, a.typ, v)
		if err != nil {
			return nil, err
		}
		if b = element; !isNull {
			binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4)) //nolint:gosec // a body's size is bounded
		}
	}
	return b, nil
}

// size is how many bytes the elements take: growing a buffer again and again costs more
// than filling it.
func (a array) size() int {
	n := 20 * len(a.values)
	if a.typ == Text || a.typ == Bytes {
		for _, v := range a.values {
			switch v := v.(type) {
			case string:
				n += len(v)
			case *string:
				if v != nil {
					n += len(*v)
				}
			case []byte:
				n += len(v)
			}
		}
	}
	return n
}

func appendElement(b []byte, typ Type, value any) (with []byte, isNull bool, err error) {
	switch v := value.(type) {
	case nil:
		return b, true, nil
	case string:
		return appendText(b, typ, v)
	case *string:
		return appendPointer(b, typ, v)
	case []byte:
		return append(b, v...), false, nil
	case time.Time:
		micros := v.Round(time.Microsecond).UnixMicro() - epoch
		return binary.BigEndian.AppendUint64(b, uint64(micros)), false, nil //nolint:gosec // two's complement is meant
	case *time.Time:
		return appendPointer(b, typ, v)
	case int:
		return appendElement(b, typ, int64(v))
	case *int:
		return appendPointer(b, typ, v)
	case int64:
		return binary.BigEndian.AppendUint64(b, uint64(v)), false, nil //nolint:gosec // two's complement is meant
	case bool:
		if v {
			return append(b, 1), false, nil
		}
		return append(b, 0), false, nil
	}
	panic(fmt.Sprintf("database: a column of type %s cannot take a %T", typ, value))
}

func appendText(b []byte, typ Type, text string) ([]byte, bool, error) {
	if typ != UUID {
		return append(b, text...), false, nil
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return nil, false, fmt.Errorf("%q is no UUID", text)
	}
	return append(b, id[:]...), false, nil
}

func appendPointer[T any](b []byte, typ Type, p *T) ([]byte, bool, error) {
	if p == nil {
		return b, true, nil
	}
	return appendElement(b, typ, *p)
}
