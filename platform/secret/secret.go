// Package secret prevents credentials from being printed by accident.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
)

// Redacted replaces a secret wherever one would be shown.
const Redacted = "[redacted]"

// Value is a credential. Printing, logging or marshalling it gives Redacted; only Reveal
// returns the text.
type Value struct{ text string }

// New wraps text.
func New(text string) Value { return Value{text} }

// Reveal returns the text. Call it where the secret is used, not before.
func (v Value) Reveal() string { return v.text }

// Empty reports whether there is no secret.
func (v Value) Empty() bool { return v.text == "" }

// Equal compares in constant time, whatever the lengths.
func (v Value) Equal(other string) bool {
	a, b := sha256.Sum256([]byte(v.text)), sha256.Sum256([]byte(other))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func (Value) String() string { return Redacted }

// GoString is what %#v prints.
func (Value) GoString() string { return Redacted }

// LogValue is what slog prints.
func (Value) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText is what encoding/json and YAML write.
func (Value) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// UnmarshalText reads the text from configuration.
func (v *Value) UnmarshalText(text []byte) error {
	v.text = string(text)
	return nil
}
