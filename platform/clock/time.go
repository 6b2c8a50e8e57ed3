package clock

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// Time is a moment in the format of records and API answers: UTC, RFC 3339, with
// milliseconds, or microseconds if there are any.
type Time struct{ time.Time }

// At wraps t, truncated to microseconds.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Microsecond)} }

func (t Time) String() string {
	if t.Nanosecond()%int(time.Millisecond) == 0 {
		return t.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// MarshalJSON returns the time as a string.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// Scan reads a time column.
func (t *Time) Scan(src any) error {
	switch v := src.(type) {
	case time.Time:
		*t = At(v)
		return nil
	case nil:
		*t = Time{}
		return nil
	}
	return fmt.Errorf("cannot read a time from %T", src)
}

// Value writes a time column.
func (t Time) Value() (driver.Value, error) { return t.Time, nil }
