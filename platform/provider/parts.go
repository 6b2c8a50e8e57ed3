package provider

import (
	"encoding/json"
	"regexp"
	"strings"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider/jsontext"
)

// step is a step to the parts of a body: a member and, if each, every item of it.
type step struct {
	name string
	each bool
}

// partsPath matches paths such as $.entry[*].changes[*].
var partsPath = regexp.MustCompile(`^\$(\.[A-Za-z_][A-Za-z0-9_]*(\[\*\])?){1,4}$`)

// Items says where a body's events are: true for a body that is an array of them, or the path
// of its parts.
type Items struct {
	Each bool   `json:"each,omitempty"`
	Path string `json:"path,omitempty"`
}

// JSONTypes are what UnmarshalJSON reads.
func (Items) JSONTypes() []string { return []string{"boolean", "string"} }

// UnmarshalJSON reads true, false or a path.
func (i *Items) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &i.Each) == nil {
		return nil
	}
	return json.Unmarshal(text, &i.Path)
}

// MarshalJSON writes true, false or the path.
func (i Items) MarshalJSON() ([]byte, error) {
	if i.Path != "" {
		return json.Marshal(i.Path)
	}
	return json.Marshal(i.Each)
}

// IsZero reports whether the body is one event.
func (i Items) IsZero() bool { return i == Items{} }

// steps reads the path.
func (i Items) steps(r *reading, field string) []step {
	if i.Path == "" {
		return nil
	}
	if !partsPath.MatchString(i.Path) {
		r.wrong(field, "It must be true for a body that is an array, or a path of at most 4 names such as $.entry[*].changes[*].")
		return nil
	}
	return stepsOf(i.Path)
}

// stepsOf reads a path that was matched.
func stepsOf(path string) (all []step) {
	for _, name := range strings.Split(path, ".")[1:] {
		plain, each := strings.CutSuffix(name, "[*]")
		all = append(all, step{plain, each})
	}
	return all
}

// parts returns the parts of the body that are events.
func (m Mapping) parts(req Request, body object, text []byte) ([]input, error) {
	tape, shared := jsontext.NewTape(text), newWork()
	nodes, found := partsOf(tape, 0, m.Parts)
	if !found {
		return []input{{req: req, body: body, raw: text, doc: &document{tape}, work: shared}}, nil
	}
	if len(nodes) > maxItems {
		return nil, fault.Invalid.New("too_many_events", "The body holds more than %d events.", maxItems).At("body")
	}
	around := &whole{text: text, doc: document{tape}}
	inputs := make([]input, len(nodes))
	for i, node := range nodes {
		raw := tape.Bytes(node)
		part, err := parseObject(raw)
		if err != nil {
			return nil, fault.Invalid.New("wrong_field", "Part %d of the body must be an object.", i).At("body")
		}
		inputs[i] = input{req: req, body: part, raw: raw, doc: &document{}, work: shared, all: around}
	}
	return inputs, nil
}

// partsOf returns the values at the steps; found is false if some member is not there at all.
func partsOf(t *jsontext.Tape, i int32, steps []step) (nodes []int32, found bool) {
	if len(steps) == 0 {
		if t.Bytes(i)[0] == '[' {
			return t.Items(i), true
		}
		return []int32{i}, true
	}
	child, ok := t.Member(i, steps[0].name)
	if !ok {
		return nil, false
	}
	if !steps[0].each {
		return partsOf(t, child, steps[1:])
	}
	for _, item := range t.Items(child) {
		some, ok := partsOf(t, item, steps[1:])
		if !ok { // an item without parts is one itself
			some = []int32{item}
		}
		nodes = append(nodes, some...)
	}
	return nodes, true
}
