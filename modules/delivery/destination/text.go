package destination

import (
	"strings"
	"unicode/utf8"
)

const maxBrief = 500 // bytes

// Storable returns a body as text that every database accepts: valid UTF-8 without NUL, at
// most so many bytes.
func Storable(body []byte, limit int) string {
	text := string(body[:min(len(body), limit)])
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	for len(text) > limit {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

// Brief is Storable for an error text.
func Brief(text string) string { return Storable([]byte(text), maxBrief) }
