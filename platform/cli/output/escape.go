// Package output writes what the command line shows: tables that fit the terminal, and JSON,
// YAML and CSV. Nothing that it writes controls the terminal but its own colours.
package output

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Writer passes text on to a terminal or a pipe: text from senders and destinations
// must not control the terminal or be misleading. Control characters except for newlines
// and tabs, invisible characters, and characters that change the writing direction
// (category Cf) are written as escapes, which mean the same in JSON.
type Writer struct {
	to   io.Writer
	rest []byte // the beginning of a character that the next call may complete
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{to: w} }

// Write returns len(text) if all of it was written or buffered for the next call.
func (p *Writer) Write(text []byte) (int, error) {
	all := append(p.rest, text...) //nolint:gocritic // rest is consumed
	p.rest = nil
	var out bytes.Buffer
	for len(all) > 0 {
		if !utf8.FullRune(all) {
			p.rest = bytes.Clone(all)
			break
		}
		r, size := utf8.DecodeRune(all)
		if invisible(r) {
			out.WriteString(escaped(r))
		} else {
			out.Write(all[:size])
		}
		all = all[size:]
	}
	if _, err := p.to.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Flush writes the beginning of an incomplete character.
func (p *Writer) Flush() {
	_, _ = p.to.Write(p.rest)
	p.rest = nil
}

// invisible reports whether a character is not shown, or changes how others are shown.
func invisible(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029')
}

// escaped returns a character as a JSON escape.
func escaped(r rune) string {
	if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// Clean returns text on one line that shows every character: it neither controls a terminal
// nor misleads.
func Clean(text string) string {
	var out strings.Builder
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			out.WriteByte(' ')
		case invisible(r):
			out.WriteString(escaped(r))
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}
