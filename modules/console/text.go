package console

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// partBytes is how much of a text a page shows at first; the rest is loaded as it is asked for.
const partBytes = 16 << 10

// document is a body that a page shows: as text, or as hex where it is none.
type document struct {
	Text    string // the first part
	JSON    bool
	Binary  bool
	Bytes   int64
	Missing string // why there is none
	Href    string // where the whole is
	More    string // where the next part is; "" if this is all
}

// documentOf shows bytes, all of which are at href. JSON is indented, and none of its numbers or
// strings is changed.
func documentOf(href string, raw []byte) document {
	text, isJSON, binary := readable(raw)
	d := document{Text: cut(text, 0), JSON: isJSON, Binary: binary, Bytes: int64(len(raw)), Href: href}
	if len(d.Text) < len(text) {
		d.More = href + "&offset=" + strconv.Itoa(len(d.Text))
	}
	return d
}

// readable returns a body as text for people.
func readable(raw []byte) (text string, isJSON, binary bool) {
	if !utf8.Valid(raw) {
		return hex.Dump(raw), false, true
	}
	var indented bytes.Buffer
	if json.Indent(&indented, raw, "", "  ") == nil {
		return indented.String(), true, false
	}
	return string(raw), false, false
}

func prettyText(text string) string {
	shown, _, _ := readable([]byte(text))
	return shown
}

// cut returns the part of a text from an offset on, whole characters alone.
func cut(text string, offset int) string {
	if offset >= len(text) {
		return ""
	}
	end := min(offset+partBytes, len(text))
	for end < len(text) && !utf8.RuneStart(text[end]) {
		end++
	}
	return text[offset:end]
}

func decoded(text string) []byte {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return []byte(text)
	}
	return raw
}
