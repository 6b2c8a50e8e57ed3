package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider/jsontext"
	"integration-gateway/platform/provider/redaction"
)

// MaxDepth is how deep a body may nest. Common parsers stop at about a thousand levels
// (Jackson at 1000, Python at its recursion limit of 1000), and an event that its destination
// cannot parse is useless.
const MaxDepth = 1000

// object is a JSON object: members by their exact names, values as the bytes sent. Go's
// matching of names to struct fields ignores case, and its decoding rounds large numbers and
// replaces broken surrogates.
type object map[string]json.RawMessage

// parseObject parses body, which must be one JSON object. It skips a byte-order mark (RFC
// 8259 section 8.1). Of members with the same name the last counts.
func parseObject(body []byte) (object, error) {
	text := bytes.Trim(WithoutBOM(body), " \t\r\n")
	switch {
	case len(text) == 0:
		return nil, fault.Invalid.New("empty_body", "The body is empty; a JSON object is expected.").At("body")
	case jsontext.DeeperThan(text, MaxDepth):
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

// WithoutBOM returns body without the UTF-8 byte-order mark that some senders prepend.
func WithoutBOM(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\xEF\xBB\xBF")) }

// text returns the member name, a non-empty string.
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

// optionalText returns the member name, a string, or the zero token if it is null or absent.
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

// object returns the member name, an object, as its members and as the bytes sent.
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

// identifier returns the member name if it is a string or a number, else the zero token: an
// unusable subject is no reason to refuse an event. A number becomes a string of its
// characters.
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

// time returns the member name, an RFC 3339 time.
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

// rfc3339 is the grammar of RFC 3339 section 5.6. Go's parser is more lenient: it accepts
// one-digit hours, a comma before the fraction and offsets of any size.
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
	// Truncated, not rounded, as in the payload: PostgreSQL would round, and turn the last
	// moment of 9999 into the year 10000.
	if at = at.UTC().Truncate(time.Microsecond); leap {
		at = at.Add(time.Second)
	}
	return at, at.Year() >= 1 && at.Year() <= 9999
}

// otherTimes are GitLab's format, and RFC 2822's with and without the day of the week.
var otherTimes = []string{"2006-01-02 15:04:05 UTC", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02T15:04:05-0700",
	"Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 GMT", "2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05 GMT"}

// lastSecond is the last moment of the year 9999, in seconds. A greater number counts
// milliseconds.
const lastSecond = 253_402_300_799

// parseAny reads a time in any of the formats. Without a zone it is UTC.
func parseAny(text string) (time.Time, bool) {
	if at, ok := parseTime(text); ok {
		return at, true
	}
	for _, layout := range otherTimes {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), at.UTC().Year() >= 1 && at.UTC().Year() <= 9999
		}
	}
	whole, _, _ := strings.Cut(text, ".")
	at, ok := Seconds.parse(whole)
	if ok && at.Unix() > lastSecond {
		return Milliseconds.parse(whole)
	}
	return at, ok && at.Unix() > 0
}

// members reads the members of these names from body, which must be one JSON object. Of
// members with the same name the last counts. It is for unverified bodies: it allocates
// nothing for other members.
func members(body []byte, names ...string) (object, error) {
	text := bytes.Trim(WithoutBOM(body), " \t\r\n")
	switch {
	case jsontext.DeeperThan(text, MaxDepth):
		return nil, tooDeep()
	case !json.Valid(text) || text[0] != '{':
		return nil, fault.Invalid.New("not_an_object", "The body must be a JSON object.").At("body")
	}
	found := object{}
	for i := jsontext.Space(text, 1); text[i] != '}'; {
		end := jsontext.EndOfString(text, i)
		name := text[i:end]
		i = jsontext.Space(text, jsontext.Space(text, end)+1) // behind the colon
		stop := jsontext.Skip(text, i)
		if n := slices.IndexFunc(names, func(wanted string) bool { return jsontext.IsName(name, wanted) }); n >= 0 {
			found[names[n]] = text[i:stop]
		}
		if i = jsontext.Space(text, stop); text[i] == ',' {
			i = jsontext.Space(text, i+1)
		}
	}
	return found, nil
}

// DuplicateKey returns the path of the first member of the JSON body, or of JSON in its form, whose
// object has another of that name, and whether there is one.
func DuplicateKey(req Request) (path string, found bool) {
	text := WithoutBOM(req.Body)
	if isForm(req.Header) {
		text, _ = jsonBody(req)
	}
	text = bytes.TrimLeft(text, " \t\r\n")
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return "", false
	}
	return jsontext.Repeated(text)
}

// Holds reports whether a value at the paths is such a text or number, or has it within. read is
// false for a body that is neither JSON nor a form.
func Holds(req Request, paths redaction.Paths, is func(text string) bool) (found, read bool) {
	body, err := jsonBody(req)
	if err != nil || jsontext.DeeperThan(body, MaxDepth) || !json.Valid(body) {
		return false, false
	}
	return paths.Holds(body, is), true
}

// Mentions reports whether a text, a number or a member's name in the body is one that is looked
// for. A body that is neither JSON nor a form mentions whatever is within.
func Mentions(req Request, is func(text string) bool, within func(body []byte) bool) bool {
	body, err := jsonBody(req)
	if err != nil || jsontext.DeeperThan(body, MaxDepth) || !json.Valid(body) {
		return within(req.Body)
	}
	found := false
	jsontext.Texts(body, func(one string) bool {
		found = is(one)
		return !found
	})
	return found
}
