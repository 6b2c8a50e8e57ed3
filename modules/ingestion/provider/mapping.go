package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"integration-gateway/platform/fault"
)

// Mapping says where a provider's requests hold what the canonical event is made of.
// The body, or an item of it, becomes the event's data as it was sent.
type Mapping struct {
	ID         finder // required where it is given, unless IDOptional
	IDOptional bool   // without an id the body's hash names the event
	Type       finder // required
	Subject    finder
	Time       instant // where it finds nothing, the event occurred when it was received
	Items      bool    // the body may be an array, with an event in each item
}

// maxItems is how many events one body may hold.
const maxItems = 10_000

// input is a request, and the object in its body that one event is made of.
type input struct {
	req  Request
	body object
	raw  json.RawMessage
	doc  *document
}

// document is the object decoded, for paths that need all of it; it is decoded once.
type document struct{ tree any }

func (in input) tree() any {
	if in.doc.tree == nil {
		decoder := json.NewDecoder(bytes.NewReader(in.raw))
		decoder.UseNumber()
		_ = decoder.Decode(&in.doc.tree) // cannot fail: raw is valid JSON
	}
	return in.doc.tree
}

// finder finds a text; the zero token where it is not there.
type finder struct {
	find  func(in input) token
	where string // for people: "$.data.id", "the header X-Event-Id"
}

// in is what f finds; the zero finder finds nothing.
func (f finder) in(in input) token {
	if f.find == nil {
		return token{}
	}
	return f.find(in)
}

// instant finds a time.
type instant func(in input) (time.Time, bool)

// normalizer makes a provider's Normalize of its mapping.
func (m Mapping) normalizer(provider string) func(Request) ([]Event, error) {
	return func(req Request) ([]Event, error) {
		inputs, err := m.inputs(req)
		if err != nil {
			return nil, err
		}
		events := make([]Event, len(inputs))
		for i, in := range inputs {
			if events[i], err = m.event(provider, in); err != nil {
				return nil, err
			}
		}
		return events, nil
	}
}

// inputs are the objects that the body holds.
func (m Mapping) inputs(req Request) ([]input, error) {
	text, err := jsonBody(req)
	if err != nil {
		return nil, err
	}
	if !m.Items || len(text) == 0 || text[0] != '[' {
		body, err := parseObject(text)
		return []input{{req, body, bytes.Trim(WithoutBOM(text), " \t\r\n"), &document{}}}, err
	}
	if deeperThan(text, MaxDepth) {
		return nil, tooDeep()
	}
	var items []json.RawMessage
	if err := json.Unmarshal(text, &items); err != nil {
		return nil, malformed(err)
	}
	switch {
	case len(items) == 0:
		return nil, fault.Invalid.New("no_events", "The body is an empty array.").At("body")
	case len(items) > maxItems:
		return nil, fault.Invalid.New("too_many_events", "The body holds more than %d events.", maxItems).At("body")
	}
	inputs := make([]input, len(items))
	for i, item := range items {
		body, err := parseObject(item)
		if err != nil {
			return nil, fault.Invalid.New("wrong_field", "Item %d of the body must be an object.", i).At("body")
		}
		inputs[i] = input{req, body, item, &document{}}
	}
	return inputs, nil
}

func (m Mapping) event(provider string, in input) (Event, error) {
	c := canonical{provider: provider, data: in.raw, occurredAt: in.req.ReceivedAt}
	if id := m.ID.in(in); id.text != "" {
		c.id = id
	}
	c.eventType = m.Type.in(in)
	switch {
	case c.id.absent() && m.ID.find != nil && !m.IDOptional:
		return Event{}, fault.Invalid.New("missing_field", "There is no id at %s.", m.ID.where).At("id")
	case c.eventType.text == "":
		return Event{}, fault.Invalid.New("missing_field", "There is no type at %s.", m.Type.where).At("type")
	}
	if subject := m.Subject.in(in); subject.text != "" {
		c.subject = subject
	}
	if m.Time != nil {
		if at, ok := m.Time(in); ok {
			c.occurredAt = at
		}
	}
	return c.event(), nil
}

// field finds a member by its path, such as "data.object.id": a string or a number.
func field(path string) finder {
	names := strings.Split(path, ".")
	last := len(names) - 1
	return finder{where: "$." + path, find: func(in input) token {
		o := in.body
		for _, name := range names[:last] {
			if o = o.inner(name); o == nil {
				return token{}
			}
		}
		return o.identifier(names[last])
	}}
}

// header finds the value of a header that is there once.
func header(name string) finder {
	return finder{where: "the header " + name, find: func(in input) token {
		if values := in.req.Header.Values(name); len(values) == 1 && values[0] != "" {
			return quoted(values[0])
		}
		return token{}
	}}
}

// constant finds the same text always.
func constant(text string) finder {
	t := quoted(text)
	return finder{where: "always " + text, find: func(input) token { return t }}
}

// firstOf finds what the first of several finds.
func firstOf(several ...finder) finder {
	return finder{where: places(", else ", several), find: func(in input) token {
		for _, f := range several {
			if t := f.find(in); t.text != "" {
				return t
			}
		}
		return token{}
	}}
}

// joined puts what several find together; nothing where the first finds nothing.
func joined(separator string, several ...finder) finder {
	return finder{where: places(" with ", several), find: func(in input) token {
		first := several[0].find(in)
		if first.text == "" {
			return token{}
		}
		raw, text := append([]byte{}, first.raw[:len(first.raw)-1]...), first.text
		for _, f := range several[1:] {
			if t := f.find(in); t.text != "" {
				raw = append(append(raw, separator...), t.asSent()...)
				text += separator + t.text
			}
		}
		return token{raw: append(raw, '"'), text: text}
	}}
}

func places(between string, several []finder) string {
	names := make([]string, len(several))
	for i, f := range several {
		names[i] = f.where
	}
	return strings.Join(names, between)
}

// quoted is text as a token. An encoder would fold bytes that are not UTF-8, and with
// them ids that differ.
func quoted(text string) token {
	raw := append(make([]byte, 0, len(text)+2), '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			raw = append(raw, '\\', c)
		case c < ' ':
			raw = fmt.Appendf(raw, `\u%04x`, c)
		default:
			raw = append(raw, c)
		}
	}
	return token{raw: append(raw, '"'), text: text}
}

// at finds a time that another finder finds, written in a unit.
func at(unit Unit, f finder) instant {
	return func(in input) (time.Time, bool) {
		text := f.in(in).text
		if unit == Seconds {
			text, _, _ = strings.Cut(text, ".") // some write fractions; a second is exact enough
		}
		found, ok := unit.parse(text)
		return found, ok && found.Year() >= 1 && found.Year() <= 9999
	}
}

// inner is the member name, an object; nil when it is none.
func (o object) inner(name string) object {
	raw := o[name]
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	var inner object
	_ = json.Unmarshal(raw, &inner) // cannot fail: raw is an object within valid JSON
	return inner
}
