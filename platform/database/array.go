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
		b.WriteString(hex.EncodeToString(v))
		b.WriteByte('"')
	case time.Time:
		b.WriteByte('"')
		b.WriteString(v.UTC().Format(time.RFC3339Nano))
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
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
}
