// Package id makes and checks the identifiers of all records: UUIDs of version
// 7 (RFC 9562), which sort by the time they were made.
package id

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// New makes an identifier. Those of one process are strictly increasing.
func New() string { return uuid.Must(uuid.NewV7()).String() }

// At makes an identifier of a record that was made at t.
func At(t time.Time) string {
	u := uuid.Must(uuid.NewV7())
	var millis [8]byte
	binary.BigEndian.PutUint64(millis[:], uint64(t.UnixMilli())) //nolint:gosec // since 1970
	copy(u[:6], millis[2:])
	return u.String()
}

// Time is when an identifier was made, to the millisecond; the zero time for what is not one.
func Time(s string) time.Time {
	u, err := uuid.Parse(s)
	if err != nil {
		return time.Time{}
	}
	var millis [8]byte
	copy(millis[2:], u[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(millis[:]))).UTC() //nolint:gosec // 48 bits
}

// Valid reports whether s is a UUID in its canonical form of 36 characters.
func Valid(s string) bool {
	if len(s) != 36 {
		return false
	}
	_, err := uuid.Parse(s)
	return err == nil
}

// Floor is the least identifier of a record that was made at t or later, to the
// millisecond: a bound, not a record's own.
func Floor(t time.Time) string {
	var u uuid.UUID
	var millis [8]byte
	binary.BigEndian.PutUint64(millis[:], uint64(max(t.UnixMilli(), 0))) //nolint:gosec // not negative
	copy(u[:6], millis[2:])
	return u.String()
}
