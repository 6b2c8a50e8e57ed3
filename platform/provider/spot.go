package provider

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"integration-gateway/platform/provider/jsontext"
)

// spot is a place that verification reads. Nothing is proved yet, so reading it costs no more
// than a look at each byte.
type spot struct {
	kind     string // header, query, path, form or body
	name     string // of a header, parameter or field; a segment's number
	path     []step // to a member of the body
	optional bool   // an absent one reads as an empty text
}

const (
	inHeader = "header"
	inQuery  = "query"
	inPath   = "path"
	inForm   = "form"
	inBody   = "body"
)

// spotPath matches paths of names such as $.value[*].token.
var spotPath = regexp.MustCompile(`^\$(\.[A-Za-z_][A-Za-z0-9_]*(\[\*\])?){1,16}$`)

// segmentName reports whether a text is the number of a segment.
func segmentName(name string) bool {
	return len(name) == 1 && name[0] >= '1' && name[0] <= '0'+MaxSegments
}

// parseSpot reads header:<name>, query:<name>, path:<n>, form:<name> or a path of names such as
// $.signature.token. A name with [*] is a list, each item of which must hold the same.
func parseSpot(text string) (spot, error) {
	kind, name, _ := strings.Cut(text, ":")
	switch {
	case kind == inHeader && httpguts.ValidHeaderFieldName(name), kind == inQuery && name != "", kind == inPath && segmentName(name), kind == inForm && name != "":
		return spot{kind: kind, name: name}, nil
	case kind == inHeader:
		return spot{}, fmt.Errorf("%q is not a valid header name", name)
	case spotPath.MatchString(text):
		return spot{kind: inBody, path: stepsOf(text)}, nil
	}
	return spot{}, fmt.Errorf("%q is none of header:<name>, query:<name>, path:1, path:2, form:<name> and a path of names such as $.signature.value", text)
}

func (s spot) String() string {
	if s.kind == inBody {
		text := "$"
		for _, one := range s.path {
			if text += "." + one.name; one.each {
				text += "[*]"
			}
		}
		return text
	}
	return s.kind + ":" + s.name
}

// read returns the value; an error of fault.Unauthorized if it is absent or given twice.
func (s spot) read(req Request) (string, error) {
	if s.kind == inHeader {
		return credential(req.Header, s.name)
	}
	var text string
	var ok bool
	switch s.kind {
	case inQuery:
		text, ok = queryOf(req, s.name)
	case inPath:
		text, ok = segment(req, s.name)
	case inForm:
		text, ok = formValue(req, s.name)
	default:
		text, ok = peek(req.Body, s.path)
	}
	if ok && text == "" && s.optional {
		return "", nil
	}
	if !ok || text == "" {
		return "", refuse(MissingSignature, "there is nothing at %s, or it is given twice", s)
	}
	return text, nil
}

// peek returns a text or number of the body without building the rest of it; "" if there is
// none. ok is false if the items of a list hold different ones, so that none of them can be
// slipped in beside what is proved.
func peek(body []byte, path []step) (text string, ok bool) {
	found, err := members(body, path[0].name)
	if err != nil {
		return "", false
	}
	value := found[path[0].name]
	switch {
	case len(path) == 1 && !path[0].each:
		return found.identifier(path[0].name).text, true
	case !path[0].each:
		return inMember(value, path[1:])
	case len(value) == 0 || value[0] != '[':
		return "", true
	}
	first := true
	for item := range jsontext.Items(value) {
		var one string
		if len(path) == 1 {
			one, ok = object{"": item}.identifier("").text, true
		} else {
			one, ok = inMember(item, path[1:])
		}
		if !ok || !first && one != text {
			return "", false
		}
		text, first = one, false
	}
	return text, true
}

func inMember(value []byte, path []step) (string, bool) {
	if len(value) == 0 || value[0] != '{' {
		return "", true
	}
	return peek(value, path)
}

// formValue returns a field of a form that is given once. It decodes nothing else.
func formValue(req Request, name string) (value string, ok bool) {
	if !isForm(req.Header) {
		return "", false
	}
	n := 0
	for part := range bytes.SplitSeq(req.Body, []byte("&")) {
		key, text, _ := bytes.Cut(part, []byte("="))
		if len(key) > 3*len(name) {
			continue
		}
		if k, err := url.QueryUnescape(string(key)); err != nil || k != name {
			continue
		}
		decoded, err := url.QueryUnescape(string(text))
		if err != nil {
			return "", false
		}
		value, n = decoded, n+1
	}
	return value, n == 1
}

// write puts a value there, as the provider does. A sample's body and URL have the text
// $PROOF where it belongs.
func (s spot) write(req *Request, value string) {
	switch s.kind {
	case inHeader:
		req.Header.Set(s.name, value)
	case inQuery:
		separator := "?"
		if strings.Contains(req.URL, "?") {
			separator = "&"
		}
		req.URL += separator + url.QueryEscape(s.name) + "=" + url.QueryEscape(value)
	case inPath:
		req.URL = WithSegment(req.URL, int(s.name[0]-'0'), value)
		req.Path = PathOf(req.URL)
	case inForm:
		req.Body = bytes.ReplaceAll(req.Body, []byte("$PROOF"), []byte(url.QueryEscape(value)))
	default:
		req.Body = bytes.ReplaceAll(req.Body, []byte("$PROOF"), quoted(value).asSent())
	}
}

// headerSpots returns the headers among spots.
func headerSpots(spots []spot) (names []string) {
	for _, s := range spots {
		if s.kind == inHeader {
			names = append(names, http.CanonicalHeaderKey(s.name))
		}
	}
	return names
}

// queriesOf returns the parameters among spots.
func queriesOf(spots []spot) (names []string) {
	for _, s := range spots {
		if s.kind == inQuery {
			names = append(names, s.name)
		}
	}
	return names
}

// segmentsOf returns the segments of the path among spots.
func segmentsOf(spots []spot) (numbers []int) {
	for _, s := range spots {
		if s.kind == inPath {
			numbers = append(numbers, int(s.name[0]-'0'))
		}
	}
	return numbers
}

// readFirst reads the spots that are there. Its error is the first spot's if there are none.
func readFirst(req Request, spots []spot) (values []string, err error) {
	for _, s := range spots {
		value, missing := s.read(req)
		switch {
		case missing == nil:
			values = append(values, value)
		case err == nil || reasonOf(missing) == DuplicateHeader:
			err = missing
		}
	}
	if len(values) > 0 && reasonOf(err) != DuplicateHeader {
		err = nil
	}
	return values, err
}

// sortedForm returns the form's names and values, sorted by name, without separators.
func sortedForm(req Request) ([]byte, error) {
	fields, err := parseForm(req.Body)
	if err != nil || !isForm(req.Header) {
		return nil, refuse(MissingSignature, "the body is not a form")
	}
	slices.SortStableFunc(fields, func(a, b formField) int { return strings.Compare(a.name, b.name) })
	b := make([]byte, 0, len(req.Body))
	for _, f := range fields {
		b = append(append(b, f.name...), f.value...)
	}
	return b, nil
}
