package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider/jsontext"
)

// Mapping says where a provider's requests hold the fields of the canonical event. The body,
// or an item of it, becomes the event's data as it was sent.
type Mapping struct {
	ID      finder // an event without one is identified by the body's hash
	Type    finder // required
	Subject finder
	// Identity identifies an event in place of its id where it finds anything.
	Identity finder
	Time     instant // if it finds nothing, the time of receipt is used
	Items    bool    // the body may be an array, with an event in each item
	// Parts are the steps to the parts of the body that are events, in place of Items; where
	// there are none, the body is one.
	Parts []step
}

// maxItems is the greatest number of events in one body.
const maxItems = 10_000

// input is a request and the object in its body that becomes one event.
type input struct {
	req  Request
	body object
	raw  json.RawMessage
	doc  *document
	work *work // of all events of the request
	all  *whole
}

// whole is the whole body that an input is a part of.
type whole struct {
	text []byte
	doc  document
}

// around is the input of the whole body.
func (in input) around() input {
	if in.all == nil {
		return in
	}
	return input{req: in.req, raw: in.all.text, doc: &in.all.doc, work: in.work}
}

// document indexes the object's values for paths; it is built once.
type document struct{ tape *jsontext.Tape }

func (in input) tape() *jsontext.Tape {
	if in.doc.tape == nil {
		in.doc.tape = jsontext.NewTape(in.raw)
	}
	return in.doc.tape
}

// finder finds a text; it returns the zero token if there is none.
type finder struct {
	find  func(in input) token
	where string // for people: "$.data.id", "the header X-Event-Id"
	// headers lists the headers that it reads. They are unsigned: signatures cover bodies, and
	// signedID finds the id in a signed header.
	headers []string
	// unsigned says that it reads another part of the request that signatures rarely cover.
	unsigned bool
}

// in applies f; the zero finder finds nothing.
func (f finder) in(in input) token {
	if f.find == nil {
		return token{}
	}
	return f.find(in)
}

// instant finds a time.
type instant func(in input) (time.Time, bool)

// normalizer turns a mapping into a provider's Normalize.
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

// inputs returns the objects in the body.
func (m Mapping) inputs(req Request) ([]input, error) {
	text, err := jsonBody(req)
	if err != nil {
		return nil, err
	}
	if !m.Items || len(text) == 0 || text[0] != '[' {
		body, err := parseObject(text)
		trimmed := bytes.Trim(WithoutBOM(text), " \t\r\n")
		if m.Parts != nil && err == nil {
			return m.parts(req, body, trimmed)
		}
		return []input{{req: req, body: body, raw: trimmed, doc: &document{}, work: newWork()}}, err
	}
	if jsontext.DeeperThan(text, MaxDepth) {
		return nil, tooDeep()
	}
	var items []json.RawMessage
	if err := json.Unmarshal(text, &items); err != nil {
		return nil, malformed(err)
	}
	if len(items) > maxItems {
		return nil, fault.Invalid.New("too_many_events", "The body holds more than %d events.", maxItems).At("body")
	}
	inputs, shared := make([]input, len(items)), newWork()
	for i, item := range items {
		body, err := parseObject(item)
		if err != nil {
			return nil, fault.Invalid.New("wrong_field", "Item %d of the body must be an object.", i).At("body")
		}
		inputs[i] = input{req: req, body: body, raw: item, doc: &document{}, work: shared}
	}
	return inputs, nil
}

func (m Mapping) event(provider string, in input) (Event, error) {
	c := canonical{provider: provider, data: in.raw, occurredAt: in.req.ReceivedAt}
	if id := m.ID.in(in); id.text != "" {
		c.id = id
	}
	c.eventType = m.Type.in(in)
	if c.eventType.text == "" {
		return Event{}, fault.Invalid.New("missing_field", "There is no type at %s.", m.Type.where).At("type")
	}
	if subject := m.Subject.in(in); subject.text != "" {
		c.subject = subject
	}
	c.identity = m.Identity.in(in).raw
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

// header finds the value of a header that is given once.
func header(name string) finder {
	return finder{where: "the header " + name, headers: []string{name}, find: func(in input) token {
		if values := in.req.Header.Values(name); len(values) == 1 && values[0] != "" {
			return quoted(values[0])
		}
		return token{}
	}}
}

// constant always finds the same text.
func constant(text string) finder {
	t := quoted(text)
	return finder{where: "always " + text, find: func(input) token { return t }}
}

// firstOf returns the first text that one of several finders finds.
func firstOf(several ...finder) finder {
	return finder{where: places(", else ", several), headers: headersOf(several), unsigned: unsignedOf(several), find: func(in input) token {
		for _, f := range several {
			if t := f.find(in); t.text != "" {
				return t
			}
		}
		return token{}
	}}
}

// joined concatenates what several finders find; nothing if the first finds nothing.
func joined(separator string, several ...finder) finder {
	return finder{where: places(" with ", several), headers: headersOf(several), unsigned: unsignedOf(several), find: func(in input) token {
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

// signedID finds the id that the request's signature covers.
func signedID(where string) finder {
	return finder{where: where, find: func(in input) token {
		if in.req.SignedID == "" {
			return token{}
		}
		return quoted(in.req.SignedID)
	}}
}

func unsignedOf(several []finder) bool {
	return slices.ContainsFunc(several, func(f finder) bool { return f.unsigned })
}

func headersOf(several []finder) (names []string) {
	for _, f := range several {
		names = append(names, f.headers...)
	}
	return names
}

func places(between string, several []finder) string {
	names := make([]string, len(several))
	for i, f := range several {
		names[i] = f.where
	}
	return strings.Join(names, between)
}

// quoted returns text as a token. An encoder would replace invalid UTF-8 and so make
// different ids equal.
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

// at parses the time that a finder finds, written in a unit.
func at(unit Unit, f finder) instant {
	return func(in input) (time.Time, bool) {
		text := f.in(in).text
		if unit == Seconds {
			text, _, _ = strings.Cut(text, ".") // some send fractions; seconds are precise enough
		}
		found, ok := unit.parse(text)
		return found, ok && found.Year() >= 1 && found.Year() <= 9999
	}
}

// inner returns the member name if it is an object, else nil.
func (o object) inner(name string) object {
	raw := o[name]
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	var inner object
	_ = json.Unmarshal(raw, &inner) // cannot fail: raw is an object within valid JSON
	return inner
}
