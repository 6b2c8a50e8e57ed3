package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/provider/bodyschema"
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

// EventSchema is the JSON Schema (2020-12) of events of a type.
type EventSchema struct {
	EventType string          `json:"eventType,omitempty"` // "" for every type without a schema of its own
	Schema    json.RawMessage `json:"schema" api:"required"`
	// OnMismatch is mark (the default) or quarantine.
	OnMismatch string `json:"onMismatch,omitempty"`
}

// MarshalJSON writes the schema's members in order, so that equal options are the same text.
func (e EventSchema) MarshalJSON() ([]byte, error) {
	type plain EventSchema
	decoder := json.NewDecoder(bytes.NewReader(e.Schema))
	decoder.UseNumber()
	var schema any
	if decoder.Decode(&schema) == nil {
		if ordered, err := json.Marshal(schema); err == nil {
			e.Schema = ordered
		}
	}
	return json.Marshal(plain(e))
}

// eventSchema is a compiled EventSchema.
type eventSchema struct {
	*bodyschema.Schema
	quarantine bool
}

// maxEventSchemas is how many an integration may have.
const maxEventSchemas = 32

// compileSchemas compiles the schemas, by type. Its errors are fault.Invalid and name the option.
func compileSchemas(all []EventSchema) (map[string]eventSchema, error) {
	if len(all) > maxEventSchemas {
		return nil, wrongOption("schemas", "It may list at most %d.", maxEventSchemas)
	}
	var compiled map[string]eventSchema
	for i, one := range all {
		at := fmt.Sprintf("schemas[%d]", i)
		_, twice := compiled[one.EventType]
		switch {
		case twice:
			return nil, wrongOption(at+".eventType", "Another schema is for this type, too.")
		case one.OnMismatch != "" && one.OnMismatch != MarkKeys && one.OnMismatch != QuarantineKeys:
			return nil, wrongOption(at+".onMismatch", "%q is unknown; write mark or quarantine.", one.OnMismatch)
		case len(one.Schema) == 0:
			return nil, wrongOption(at+".schema", "It is required: a JSON Schema.")
		}
		schema, err := bodyschema.Compile(one.Schema)
		if err != nil {
			return nil, wrongOption(at+".schema", "%s", err)
		}
		if compiled == nil {
			compiled = map[string]eventSchema{}
		}
		compiled[one.EventType] = eventSchema{schema, one.OnMismatch == QuarantineKeys}
	}
	return compiled, nil
}

// Mismatch is the first place of a webhook that does not fit the schema of its event's type.
type Mismatch struct {
	Event      int    // its number in the webhook, from 1
	At         string // a path in the canonical event
	Keyword    string
	Quarantine bool
}

// Mismatches checks events against the integration's schemas. It returns the first that does not
// fit, and before others one that the integration wants in quarantine; nil if all fit.
func (s Spec) Mismatches(events []Event) (first *Mismatch) {
	if s.schemas == nil {
		return nil
	}
	steps := bodyschema.NewSteps()
	for i, e := range events {
		schema, ok := s.schemas[e.Type]
		if !ok {
			schema, ok = s.schemas[""]
		}
		if !ok || first != nil && !schema.quarantine {
			continue
		}
		inner, err := members(e.Payload, "data")
		if err != nil {
			continue // a canonical event is an object
		}
		if found := schema.Check(inner["data"], steps); found != nil {
			first = &Mismatch{i + 1, "$.data" + strings.TrimPrefix(found.At, "$"), found.Keyword, schema.quarantine}
			if schema.quarantine {
				return first
			}
		}
	}
	return first
}
