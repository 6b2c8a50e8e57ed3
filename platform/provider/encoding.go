package provider

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// Encoding is how a signature is written in its header.
type Encoding int

// The encodings of signatures. Hex is read in either case, as RFC 4648 section 8 allows.
const (
	Hex Encoding = iota
	Base64
	Base64URL // of either alphabet, with or without padding
)

func (e Encoding) decode(text string) ([]byte, error) {
	switch e {
	case Base64:
		return base64.StdEncoding.Strict().DecodeString(text)
	case Base64URL:
		return base64Text(text)
	}
	return hex.DecodeString(text)
}

func (e Encoding) encode(sum []byte) string {
	switch e {
	case Base64:
		return base64.StdEncoding.EncodeToString(sum)
	case Base64URL:
		return base64.RawURLEncoding.EncodeToString(sum)
	}
	return hex.EncodeToString(sum)
}

// Unit is the format of a time.
type Unit int

// The units: seconds or milliseconds since 1970, RFC 3339, and whichever of these and of
// otherTimes a text is.
const (
	Seconds Unit = iota
	Milliseconds
	RFC3339
	AnyTime
)

func (u Unit) parse(text string) (time.Time, bool) {
	switch u {
	case RFC3339:
		return parseTime(text)
	case AnyTime:
		return parseAny(text)
	}
	if len(text) > maxDigits || text != strings.Trim(text, "+-") {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	if u == Milliseconds {
		return time.UnixMilli(n).UTC(), true
	}
	return time.Unix(n, 0).UTC(), true
}

// maxDigits keeps times within the range of a Duration and the calendar.
const maxDigits = 14

func (u Unit) format(at time.Time) string {
	switch u {
	case Milliseconds:
		return strconv.FormatInt(at.UnixMilli(), 10)
	case RFC3339:
		return at.UTC().Format(time.RFC3339)
	}
	return strconv.FormatInt(at.Unix(), 10)
}

// base64Text decodes base64 of either alphabet, with or without padding.
func base64Text(text string) ([]byte, error) {
	text = strings.TrimRight(text, "=")
	return base64.RawURLEncoding.Strict().DecodeString(strings.NewReplacer("+", "-", "/", "_").Replace(text))
}
