package provider

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"integration-gateway/platform/clock"
)

// Event is one canonical event. Its text fields are cut for columns, indexes and searching;
// Payload holds the exact values.
type Event struct {
	ID         *string // cleaned and cut; nil if the provider sends none
	IDAsSent   []byte  // the id's bytes as sent, with escapes; nil if there is none
	Identity   []byte  // identifies the event in place of its id; nil for the id
	Type       string  // cleaned and cut
	Subject    *string // cleaned and cut; nil if there is none
	OccurredAt time.Time
	Payload    []byte // the canonical event as JSON, as destinations receive it
}

// MaxText is how many characters of an event's texts are searchable: an index entry has room
// for about 2,700 bytes.
const MaxText = 500

// token is a JSON string as sent, with its decoded text. The zero token stands for an absent
// or null value.
type token struct {
	raw  []byte // with its quotes
	text string // decoded
}

func (t token) absent() bool { return t.raw == nil }

// asSent returns the bytes between the quotes.
func (t token) asSent() []byte { return t.raw[1 : len(t.raw)-1] }

func stringToken(raw json.RawMessage) token {
	t := token{raw: raw}
	_ = json.Unmarshal(raw, &t.text) // cannot fail: raw is a string within valid JSON
	return t
}

// column returns the text for a column; nil if absent.
func (t token) column() *string {
	if t.absent() {
		return nil
	}
	text := Clean(t.text)
	return &text
}

// Clean makes text valid for a column: it replaces NUL and invalid UTF-8 with U+FFFD, and
// cuts the text at MaxText characters.
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

// canonical holds the fields that a normalizer found. Its tokens go into the payload
// unchanged.
type canonical struct {
	provider   string
	id         token
	eventType  token
	subject    token
	occurredAt time.Time
	data       json.RawMessage
	identity   []byte
	also       string // a second name for data that the provider's consumers expect
}

func (c canonical) event() Event {
	e := Event{
		ID: c.id.column(), Type: Clean(c.eventType.text), Subject: c.subject.column(),
		OccurredAt: c.occurredAt, Payload: c.payload(), Identity: c.identity,
	}
	if !c.id.absent() {
		e.IDAsSent = c.id.asSent()
	}
	return e
}

// payload builds the canonical event by hand: an encoder would rewrite numbers, surrogates
// and invalid UTF-8, and destinations must receive what was sent.
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
