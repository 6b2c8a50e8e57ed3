package database

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// array is the text form of a PostgreSQL array.
// https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
func array(typ Type, values []any) string {
	var b strings.Builder
	b.Grow(2 + arraySize(typ, values))
	b.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		writeElement(&b, typ, v)
	}
	b.WriteByte('}')
	return b.String()
}

// arraySize is about how many bytes the elements take: growing a text again and again
// costs more than writing it.
func arraySize(typ Type, values []any) (n int) {
	switch typ {
	case UUID, Times:
		return len(values) * 40
	case Text, Bytes:
		for _, v := range values {
			switch v := v.(type) {
			case string:
				n += len(v) + len(v)/8 + 4
			case []byte:
				n += 2*len(v) + 8
			default:
				n += 40
			}
		}
		return n
	}
	return len(values) * 8
}

func writeElement(b *strings.Builder, typ Type, value any) {
	switch v := value.(type) {
	case nil:
		b.WriteString("NULL")
	case string:
		quoteElement(b, v)
	case *string:
		writePointer(b, typ, v)
	case []byte:
		b.WriteString(`"\\x`)
		_, _ = hex.NewEncoder(b).Write(v)
		b.WriteByte('"')
	case time.Time:
		b.WriteByte('"')
		b.Write(v.UTC().AppendFormat(make([]byte, 0, len(time.RFC3339Nano)), time.RFC3339Nano))
		b.WriteByte('"')
	case *time.Time:
		writePointer(b, typ, v)
	case int:
		b.WriteString(strconv.Itoa(v))
	case *int:
		writePointer(b, typ, v)
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case bool:
		b.WriteString(strconv.FormatBool(v))
	default:
		panic(fmt.Sprintf("database: a column of type %s cannot take a %T", typ, value))
	}
}

func writePointer[T any](b *strings.Builder, typ Type, p *T) {
	if p == nil {
		b.WriteString("NULL")
		return
	}
	writeElement(b, typ, *p)
}

func quoteElement(b *strings.Builder, s string) {
	b.WriteByte('"')
	for {
		i := strings.IndexAny(s, `"\`)
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		b.WriteByte('\\')
		b.WriteByte(s[i])
		s = s[i+1:]
	}
	b.WriteString(s)
	b.WriteByte('"')
}
