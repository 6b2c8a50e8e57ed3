package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"integration-gateway/platform/fault"
)

// MaxDepth is how deep a body may nest. Parsers that consumers use stop at about a
// thousand levels (Jackson at 1000, Python at its recursion limit of 1000), and an
// event that its destination cannot parse is of no use to anyone.
const MaxDepth = 1000

// object is a JSON object: the members by their exact names, the values as the bytes
// that were sent. Go's own matching of names to struct fields ignores case, and its
// decoding of values folds large numbers and broken surrogates.
type object map[string]json.RawMessage

// parseObject reads body, which must be one JSON object. A byte-order mark before it
// is passed over (RFC 8259 section 8.1); of members with the same name the last counts.
func parseObject(body []byte) (object, error) {
	text := bytes.Trim(WithoutBOM(body), " \t\r\n")
	switch {
	case len(text) == 0:
		return nil, fault.Invalid.New("empty_body", "The body is empty; a JSON object is expected.").At("body")
	case deeperThan(text, MaxDepth):
		return nil, tooDeep()
	case text[0] != '{' && json.Valid(text):
		return nil, fault.Invalid.New("not_an_object", "The body must be a JSON object.").At("body")
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, malformed(err)
	}
	return o, nil
}

func tooDeep() error {
	return fault.Invalid.New("too_deep", "The body nests deeper than %d levels.", MaxDepth).At("body")
}

func malformed(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fault.Invalid.Wrap(err, "malformed_json", "The body is not well-formed JSON, at byte %d.", syntax.Offset).At("body")
	}
	return fault.Invalid.Wrap(err, "malformed_json", "The body is not well-formed JSON.").At("body")
}

// WithoutBOM is body without the UTF-8 byte-order mark that some senders put first.
func WithoutBOM(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\xEF\xBB\xBF")) }

// deeperThan reports whether brackets nest deeper than limit. It needs no valid JSON.
func deeperThan(text []byte, limit int) bool {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// text is the member name, a string that is not empty.
func (o object) text(name string) (token, error) {
	t, err := o.optionalText(name)
	switch {
	case err != nil:
		return token{}, err
	case t.absent():
		return token{}, fault.Invalid.New("missing_field", "%s is required.", name).At(name)
	case t.text == "":
		return token{}, fault.Invalid.New("wrong_field", "%s must not be empty.", name).At(name)
	}
	return t, nil
}

// optionalText is the member name, a string, or the zero token when it is null or not there.
func (o object) optionalText(name string) (token, error) {
	raw := o[name]
	switch {
	case len(raw) == 0 || raw[0] == 'n':
		return token{}, nil
	case raw[0] != '"':
		return token{}, fault.Invalid.New("wrong_field", "%s must be a string.", name).At(name)
	}
	return stringToken(raw), nil
}

// object is the member name, an object, as its members and as the bytes sent.
func (o object) object(name string) (object, json.RawMessage, error) {
	raw := o[name]
	switch {
	case len(raw) == 0 || raw[0] == 'n':
		return nil, nil, fault.Invalid.New("missing_field", "%s is required.", name).At(name)
	case raw[0] != '{':
		return nil, nil, fault.Invalid.New("wrong_field", "%s must be an object.", name).At(name)
	}
	var inner object
	if err := json.Unmarshal(raw, &inner); err != nil {
		return nil, nil, malformed(err)
	}
	return inner, raw, nil
}

// identifier is the member name when it is a string or a number, else the zero token:
// a subject that cannot be named is no reason to refuse an event. A number becomes a
// string of the characters it was written with.
func (o object) identifier(name string) token {
	raw := o[name]
	switch {
	case len(raw) == 0:
		return token{}
	case raw[0] == '"':
		return stringToken(raw)
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return token{raw: []byte(`"` + string(raw) + `"`), text: string(raw)}
	}
	return token{}
}

// time is the member name, an RFC 3339 time.
func (o object) time(name string) (time.Time, error) {
	t, err := o.text(name)
	if err != nil {
		return time.Time{}, err
	}
	at, ok := parseTime(t.text)
	if !ok {
		return time.Time{}, fault.Invalid.New("wrong_field",
			"%s must be an RFC 3339 time such as 2026-01-31T12:00:00Z, in the years 1 to 9999.", name).At(name)
	}
	return at, nil
}

// rfc3339 is the grammar of RFC 3339 section 5.6. Go's own parser is more lenient: it
// takes hours of one digit, a comma before the fraction and offsets of any size.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// parseTime reads RFC 3339 as section 5.6 has it: T and Z in either case, and a leap
// second, which Go does not know and which becomes the second after it.
func parseTime(text string) (time.Time, bool) {
	text = strings.ToUpper(text)
	if !rfc3339.MatchString(text) {
		return time.Time{}, false
	}
	const seconds = len("2006-01-02T15:04:")
	leap := text[seconds:seconds+2] == "60"
	if leap {
		text = text[:seconds] + "59" + text[seconds+2:]
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, false
	}
	// Cut and not rounded, as the payload has it: PostgreSQL would round what it cannot
	// hold, and the last moment of 9999 into the year 10000.
	if at = at.UTC().Truncate(time.Microsecond); leap {
		at = at.Add(time.Second)
	}
	return at, at.Year() >= 1 && at.Year() <= 9999
}
