// Package id makes and checks the identifiers of all records: UUIDs of version
// 7 (RFC 9562), which sort by the time they were made.
package id

import "github.com/google/uuid"

// New makes an identifier. Those of one process are strictly increasing.
func New() string { return uuid.Must(uuid.NewV7()).String() }

// Valid reports whether s is a UUID in its canonical form of 36 characters.
func Valid(s string) bool {
	if len(s) != 36 {
		return false
	}
	_, err := uuid.Parse(s)
	return err == nil
}
