package provider

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"integration-gateway/platform/clock"
)

// Event is one canonical event. Its text fields are made for columns, indexes and
// searching; the exact values stand in Payload.
type Event struct {
	ID         *string // cleaned and cut; nil when the provider gives none
	IDAsSent   []byte  // the id's bytes as they were sent, escapes and all; nil when there is none
	Type       string  // cleaned and cut
	Subject    *string // cleaned and cut; nil when there is none
	OccurredAt time.Time
	Payload    []byte // the canonical event as JSON, as destinations receive it
}

// MaxText is how many characters of an event's texts are kept for searching: an
// index entry has room for about 2,700 bytes.
const MaxText = 500

// token is a JSON string as it was sent, and its text for people. The zero token
// stands for an absent or null value.
type token struct {
	raw  []byte // with its quotes
	text string // decoded
}

func (t token) absent() bool { return t.raw == nil }

// asSent is the bytes between the quotes.
func (t token) asSent() []byte { return t.raw[1 : len(t.raw)-1] }

func stringToken(raw json.RawMessage) token {
	t := token{raw: raw}
	_ = json.Unmarshal(raw, &t.text) // cannot fail: raw is a string within valid JSON
	return t
}

// column is the text for a column: nil when absent.
func (t token) column() *string {
	if t.absent() {
		return nil
	}
	text := Clean(t.text)
	return &text
}

// Clean makes text fit for a column: NUL and what is not UTF-8 are replaced by U+FFFD,
// and what is beyond MaxText characters is cut.
func Clean(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	text = strings.ReplaceAll(text, "\x00", string(utf8.RuneError))
	n := 0
	for i := range text {
		if n == MaxText {
			return text[:i]
		}
		n++
	}
	return text
}

// canonical is what a normalizer found. Its tokens go into the payload unchanged.
type canonical struct {
	provider   string
	id         token
	eventType  token
	subject    token
	occurredAt time.Time
	data       json.RawMessage
	also       string // a second name for data that the provider's consumers know
}

func (c canonical) event() Event {
	e := Event{
		ID: c.id.column(), Type: Clean(c.eventType.text), Subject: c.subject.column(),
		OccurredAt: c.occurredAt, Payload: c.payload(),
	}
	if !c.id.absent() {
		e.IDAsSent = c.id.asSent()
	}
	return e
}

// payload builds the canonical event by hand: an encoder would rewrite numbers,
// surrogates and bytes that are not UTF-8, and destinations get what was sent.
func (c canonical) payload() []byte {
	b := make([]byte, 0, 256+2*len(c.data))
	b = append(b, `{"provider":`...)
	b = strconv.AppendQuote(b, c.provider)
	b = member(b, "eventType", c.eventType.raw)
	b = member(b, "externalEventId", c.id.raw)
	b = append(b, `,"occurredAt":"`...)
	b = append(b, clock.At(c.occurredAt).String()...)
	b = append(b, '"')
	b = member(b, "subject", c.subject.raw)
	b = member(b, "data", c.data)
	if c.also != "" {
		b = member(b, c.also, c.data)
	}
	return append(b, '}')
}

func member(b []byte, name string, raw []byte) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	if raw == nil {
		return append(b, "null"...)
	}
	return append(b, raw...)
}
