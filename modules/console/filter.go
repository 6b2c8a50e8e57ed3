package console

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// eventFilter selects events; its fields are the parameters of the list's address.
type eventFilter struct {
	Source, Provider, Type, Status string
	Subject, Exact                 string // a part of the subject, and all of it
	ID, Correlation                string // the provider's id, and the correlation id
	Since                          string // such as 2h: received that long ago or later
	From, To                       string // RFC 3339 times of receipt
}

// fields are the parameters in the order in which they are shown, with the words by which the
// search box names them and the API's names.
func (f *eventFilter) fields() []filterField {
	return []filterField{
		{"source", "source", &f.Source}, {"provider", "provider", &f.Provider}, {"type", "eventType", &f.Type}, {"status", "status", &f.Status},
		{"subject", "subject", &f.Subject}, {"exact-subject", "exactSubject", &f.Exact}, {"id", "externalEventId", &f.ID}, {"correlation", "correlationId", &f.Correlation},
		{"since", "", &f.Since}, {"from", "receivedFrom", &f.From}, {"to", "receivedTo", &f.To},
	}
}

type filterField struct {
	word, api string
	value     *string
}

// filterOf reads the filter of an address.
func filterOf(q url.Values) eventFilter {
	var f eventFilter
	for _, field := range f.fields() {
		*field.value = strings.TrimSpace(q.Get(field.word))
	}
	return f
}

// Any reports whether the filter leaves anything out.
func (f eventFilter) Any() bool { return f != eventFilter{} }

// query is the filter as parameters of the console's addresses.
func (f eventFilter) query() url.Values {
	q := url.Values{}
	for _, field := range f.fields() {
		if *field.value != "" {
			q.Set(field.word, *field.value)
		}
	}
	return q
}

// asked is the filter as parameters of the API.
func (f eventFilter) asked(now time.Time) url.Values {
	q := url.Values{}
	for _, field := range f.fields() {
		if field.api != "" && *field.value != "" {
			q.Set(field.api, *field.value)
		}
	}
	if length, ok := parseSince(f.Since); ok && f.From == "" {
		q.Set("receivedFrom", now.Add(-length).UTC().Format(time.RFC3339))
	}
	return q
}

// words is the filter as the search box shows it.
func (f eventFilter) words() string {
	var words []string
	for _, field := range f.fields() {
		if value := *field.value; value != "" {
			if strings.ContainsAny(value, " \"") {
				value = strconv.Quote(value)
			}
			words = append(words, field.word+":"+value)
		}
	}
	return strings.Join(words, " ")
}

// Parts are the words one by one, each with the address without it.
func (f eventFilter) Parts() []filterPart {
	var parts []filterPart
	for _, field := range f.fields() {
		if *field.value != "" {
			rest := f.query()
			rest.Del(field.word)
			parts = append(parts, filterPart{field.word, *field.value, withQuery(Root+"/events", rest)})
		}
	}
	return parts
}

type filterPart struct{ Word, Value, Without string }

// With is the address of the list with one more word.
func (f eventFilter) With(word, value string) string {
	q := f.query()
	q.Set(word, value)
	return withQuery(Root+"/events", q)
}

// parseSince reads a length such as 30m, 2h or 7d.
func parseSince(text string) (time.Duration, bool) {
	if days, is := strings.CutSuffix(text, "d"); is {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err == nil && n > 0 && n <= 3650
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d > 0
}

// parseWords reads what somebody typed into the search box: words such as source:acme, and at
// most one id. Mistakes are sentences about what could not be read.
func parseWords(text string) (f eventFilter, bare string, mistakes []string) {
	fields := f.fields()
	for _, word := range splitWords(text) {
		name, value, is := strings.Cut(word, ":")
		i := slices.IndexFunc(fields, func(field filterField) bool { return field.word == strings.ToLower(name) })
		switch {
		case is && i >= 0 && value != "":
			*fields[i].value = value
		case is && i >= 0:
			mistakes = append(mistakes, name+": needs a value, such as "+name+":"+examples[name])
		case bare == "":
			bare = word
		default:
			mistakes = append(mistakes, "“"+word+"” is one id too many; search for one at a time.")
		}
	}
	if _, ok := parseSince(f.Since); f.Since != "" && !ok {
		mistakes = append(mistakes, "since:"+f.Since+" is no length; write since:30m, since:2h or since:7d.")
		f.Since = ""
	}
	return f, bare, mistakes
}

var examples = map[string]string{"source": "acme", "provider": "stripe", "type": "order.created", "status": "failed", "subject": "ada", "exact-subject": "ada@example.com",
	"id": "evt_1001", "correlation": "req-7", "since": "2h", "from": "2026-01-31T00:00:00Z", "to": "2026-02-01T00:00:00Z"}

// splitWords splits at space, except within quotes.
func splitWords(text string) []string {
	var words []string
	var word strings.Builder
	quoted := false
	for _, r := range text + " " {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ' ' && !quoted:
			if word.Len() > 0 {
				words = append(words, word.String())
				word.Reset()
			}
		default:
			word.WriteRune(r)
		}
	}
	if rest := strings.TrimSpace(word.String()); rest != "" { // a quote that was not closed
		words = append(words, rest)
	}
	return words
}

// withQuery is a path with parameters, without a question mark if there are none.
func withQuery(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}
