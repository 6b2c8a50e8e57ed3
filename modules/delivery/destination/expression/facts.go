package expression

import (
	"encoding/json"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/secret"
)

// Facts are what expressions may ask about one event. Its JSON and its headers are
// read when the first of them does, and once. They belong to one goroutine.
type Facts struct {
	vars    map[string]any
	payload []byte
	read    bool
	doc     document
	err     error
	headers map[string]string // nil before the first question
	cost    uint64
}

// NewFacts gives the facts of an event.
func NewFacts(e contract.NewEvent) *Facts {
	f := &Facts{payload: e.Payload}
	subject := ""
	if e.Subject != nil {
		subject = *e.Subject
	}
	f.vars = map[string]any{
		"eventType": e.EventType, "subject": subject, "source": e.Source, "provider": e.Provider,
		"headers": func() any { return f.shownHeaders(e.Headers) },
		"payload": func() ref.Val { return f.member("") },
		"data":    func() ref.Val { return f.member("data") },
	}
	return f
}

// Cost is what the evaluations with these facts cost so far, the reading of the JSON
// included, in the units of the language.
func (f *Facts) Cost() uint64 { return f.cost }

// bytesRead is how much JSON is read for one unit of cost.
const bytesRead = 8

func (f *Facts) document() (document, error) {
	if !f.read {
		f.read = true
		f.cost += uint64(len(f.payload)) / bytesRead
		f.doc, f.err = parseDocument(f.payload)
	}
	return f.doc, f.err
}

// member is a member of the payload, or all of it.
func (f *Facts) member(name string) ref.Val {
	doc, err := f.document()
	if err != nil {
		return types.NewErr("%s", err)
	}
	value := doc.value
	if name != "" {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	return types.DefaultTypeAdapter.NativeToValue(value)
}

func (f *Facts) shownHeaders(stored []byte) map[string]string {
	if f.headers == nil {
		f.cost += uint64(len(stored)) / bytesRead
		f.headers = visible(stored)
	}
	return f.headers
}

// visible are the provider's headers that are no credentials, by lower-case name; one that
// came several times has commas between its values (RFC 9110, 5.3).
func visible(stored []byte) map[string]string {
	var headers map[string][]string
	_ = json.Unmarshal(stored, &headers) // written by whoever stored the event
	shown := make(map[string]string, len(headers))
	for name, values := range headers {
		if text := strings.Join(values, ", "); !strings.Contains(text, secret.Redacted) {
			shown[strings.ToLower(name)] = text
		}
	}
	return shown
}
