package database

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// array is a column as a parameter that lib/pq sends in PostgreSQL's binary array format,
// which the server reads many times faster than text.
type array struct{ *column }

// The types' object ids, the same on every server.
// https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat
var oids = map[Type]uint32{Bool: 16, Bytes: 17, BigInt: 20, Text: 25, Times: 1184, UUID: 2950}

// epoch is the start of PostgreSQL's microsecond count.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// BinaryValue encodes the array for array_recv: the number of dimensions, whether there are
// NULLs, the elements' type, the number of elements and the lower bound, and each element
// with its length.
// https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c
func (a array) BinaryValue() ([]byte, error) {
	b := make([]byte, 0, 20+4*len(a.ends)+len(a.data))
	if len(a.ends) == 0 {
		return binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 0, 0, 0, 0, 0), oids[a.typ]), nil
	}
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 1)
	b = binary.BigEndian.AppendUint32(b, oids[a.typ])
	b = binary.BigEndian.AppendUint32(b, uint32(len(a.ends))) //nolint:gosec // rows of one statement
	b = append(b, 0, 0, 0, 1)
	for i := range a.ends {
		value, null := a.bytes(i)
		if null {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		var err error
		if b, err = appendElement(b, a.typ, value); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendElement(b []byte, typ Type, value []byte) ([]byte, error) {
	switch typ {
	case UUID:
		id, err := uuid.ParseBytes(value)
		if err != nil {
			return nil, fmt.Errorf("%q is not a UUID", value)
		}
		b = append(b, 0, 0, 0, byte(len(id)))
		return append(b, id[:]...), nil
	case Times:
		b = append(b, 0, 0, 0, 8)
		return binary.BigEndian.AppendUint64(b, uint64(number(value)-epoch)), nil //nolint:gosec // two's complement is intended
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(value))) //nolint:gosec // a body's size is limited
	return append(b, value...), nil
}
