package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/theory/jsonpath"
	"golang.org/x/net/http/httpguts"

	"integration-gateway/platform/provider/bodies"
	"integration-gateway/platform/provider/jsontext"
	"integration-gateway/platform/strictjson"
)

// Place says where a value is. As text it is At alone.
type Place struct {
	// At is header:<name>, query:<name>, form:<name>, a JSON path (RFC 9535) such as $.data.id,
	// body:<JSON path> for a path from the whole body where events are its parts, method, url,
	// or text:<constant>. A form, a multipart body and an XML document are addressed as the
	// JSON that they become.
	At      string  `json:"at,omitempty"`
	FirstOf []Place `json:"firstOf,omitempty"` // the first of these that finds anything
	Join    []Place `json:"join,omitempty"`    // these, joined; nothing if the first finds nothing
	With    string  `json:"with,omitempty"`    // between what is joined
	If      *Place  `json:"if,omitempty"`      // only where this finds anything
	Decode  string  `json:"decode,omitempty"`  // base64 or base64url: decodes what is found
	JSON    string  `json:"json,omitempty"`    // a JSON path within what is found, which is JSON or XML
	// Match is an RE2 expression: what is found counts only if it matches, and is then the
	// expression's first group, or all of it.
	Match string `json:"match,omitempty"`
}

// At is the place that a text names.
func At(text string) Place { return Place{At: text} }

// plainPlace is a Place without its methods.
type plainPlace Place

// JSONTypes are what Variable reads.
func (Place) JSONTypes() []string { return []string{"string", "array", "object"} }

// Variable says what a text, a list, which is the first of several, and an object are read into.
func (p *Place) Variable(text []byte) (any, error) {
	switch trimmed := bytes.TrimSpace(text); {
	case jsontext.DeeperThan(trimmed, 2*maxPlaceDepth+1): // each reads the rest once more
		return nil, fmt.Errorf("must not nest deeper than %d places", maxPlaceDepth)
	case len(trimmed) > 0 && trimmed[0] == '"':
		return &p.At, nil
	case len(trimmed) > 0 && trimmed[0] == '[':
		return &p.FirstOf, nil
	case len(trimmed) > 0 && trimmed[0] == '{':
		return (*plainPlace)(p), nil
	}
	return nil, errors.New("must be text, a list of places or an object")
}

// UnmarshalJSON reads a text, a list or an object.
func (p *Place) UnmarshalJSON(text []byte) error {
	mistakes := strictjson.Read(text, p)
	if len(mistakes) == 0 {
		return nil
	}
	return fmt.Errorf("a place is wrong: %s %s", mistakes[0].Field, mistakes[0].Message)
}

// MarshalJSON writes a text if that says it all.
func (p Place) MarshalJSON() ([]byte, error) {
	if p.plain() {
		return json.Marshal(p.At)
	}
	return json.Marshal(plainPlace(p))
}

func (p Place) plain() bool {
	return p.FirstOf == nil && p.Join == nil && p.With == "" && p.If == nil && p.Decode == "" && p.JSON == "" && p.Match == ""
}

// IsZero reports whether the place is left out.
func (p Place) IsZero() bool { return p.At == "" && p.plain() }

// The bounds of a place.
const (
	maxPlaceDepth  = 4
	maxPlaceChoice = 32
	maxPattern     = 200     // characters of an expression
	maxMatched     = 8 << 10 // bytes that an expression is tried on
)

const placeHelp = "header:<name>, query:<name>, path:1, path:2, form:<name>, text:<constant>, method, url, or a JSON path such as $.type"

// finder compiles a place.
func (r *reading) finder(field string, p Place, needed bool) finder {
	if p.IsZero() {
		if needed {
			r.wrong(field, "It is required: %s.", placeHelp)
		}
		return finder{}
	}
	return r.place(field, p, maxPlaceDepth)
}

func (r *reading) place(field string, p Place, depth int) finder {
	kinds := 0
	for _, given := range []bool{p.At != "", p.FirstOf != nil, p.Join != nil} {
		if given {
			kinds++
		}
	}
	switch {
	case depth == 0:
		r.wrong(field, "It nests deeper than %d places.", maxPlaceDepth)
		return finder{}
	case kinds != 1:
		r.wrong(field, "Set one of at, firstOf and join.")
		return finder{}
	case p.With != "" && p.Join == nil:
		r.wrong(field+".with", "Only join takes it.")
		return finder{}
	}
	var f finder
	switch {
	case p.At != "":
		f = r.simplePlace(field, p.At)
	case p.FirstOf != nil:
		f = firstOf(r.placeList(field+".firstOf", p.FirstOf, depth)...)
	default:
		f = joined(p.With, r.placeList(field+".join", p.Join, depth)...)
	}
	f = r.refined(field, p, f)
	if p.If != nil {
		f = when(r.place(field+".if", *p.If, depth-1), f)
	}
	return f
}

func (r *reading) placeList(field string, several []Place, depth int) []finder {
	if len(several) == 0 || len(several) > maxPlaceChoice {
		r.wrong(field, "It must list 1 to %d places.", maxPlaceChoice)
		return []finder{{}}
	}
	all := make([]finder, len(several))
	for i, one := range several {
		all[i] = r.place(fmt.Sprintf("%s[%d]", field, i), one, depth-1)
	}
	return all
}

// plainPath matches JSON paths of names alone.
var plainPath = regexp.MustCompile(`^\$(\.[A-Za-z_][A-Za-z0-9_]*){1,16}$`)

// simplePlace compiles a place's text.
func (r *reading) simplePlace(at, place string) finder {
	kind, name, named := strings.Cut(place, ":")
	switch {
	case named && kind == "header" && httpguts.ValidHeaderFieldName(name):
		return header(name)
	case named && kind == "header":
		r.wrong(at, "%q is not a valid header name.", name)
	case named && (kind == "text" || kind == "query" || kind == "form") && name == "":
		r.wrong(at, "It lacks a name after %s:.", kind)
	case named && kind == "text":
		return constant(name)
	case named && kind == "query":
		r.queries = append(r.queries, name)
		return finder{where: "the parameter " + name, unsigned: true, find: func(in input) token { return tokenOf(queryOf(in.req, name)) }}
	case named && kind == "path":
		return r.segment(at, name)
	case named && kind == "form":
		return finder{where: "the form's " + name, find: func(in input) token { return tokenOf(formOf(in.req, name)) }}
	case place == "method":
		r.method = true
		return finder{where: "the method", find: func(in input) token { return tokenOf(in.req.Method, true) }}
	case place == "url":
		return finder{where: "the URL", unsigned: true, find: func(in input) token { return tokenOf(in.req.URL, true) }}
	case named && kind == "body":
		if path := r.path(at, name); path != nil {
			inner := located(path)
			return finder{where: inner.where + " of the body", find: func(in input) token { return inner.find(in.around()) }}
		}
	case plainPath.MatchString(place):
		return field(place[len("$."):])
	default:
		if path := r.path(at, place); path != nil {
			return located(path)
		}
	}
	return finder{}
}

// path parses a JSON path; nil if it is wrong.
func (r *reading) path(field, text string) *jsonpath.Path {
	path, err := jsonpath.Parse(text)
	switch {
	case err != nil:
		r.wrong(field, "It is neither header:<name> nor text:<text> nor a JSON path: %s.", strings.TrimPrefix(err.Error(), "jsonpath: "))
		return nil
	case costly(path):
		r.wrong(field, "The JSON path may be too expensive: it may have %d steps with one selector each, and either one .. or %d filters without .. and $. match() and search() need a literal expression.", maxSegments, maxFilters)
		return nil
	}
	return path
}

// refined decodes, enters and matches what f finds.
func (r *reading) refined(field string, p Place, f finder) finder {
	if p.Decode != "" {
		decode := choose(r, field+".decode", p.Decode, choice[Encoding]{"base64", Base64}, choice[Encoding]{"base64url", Base64URL})
		f = f.then("decoded", func(_ input, text string) (string, bool) {
			bytes, err := decode.decode(text)
			return string(bytes), err == nil
		})
	}
	if p.JSON != "" {
		if path := r.path(field+".json", p.JSON); path != nil {
			inner := located(path)
			f = f.then(p.JSON+" in it", func(in input, text string) (string, bool) {
				raw, ok := jsonWithin(text)
				if !ok {
					return "", false
				}
				found := inner.find(input{req: in.req, raw: raw, doc: &document{}, work: in.work}).text
				return found, found != ""
			})
		}
	}
	if p.Match != "" {
		if expression := r.expression(field+".match", p.Match); expression != nil {
			f = f.then("matching "+p.Match, func(in input, text string) (string, bool) { return expression.first(in.work, text) })
		}
	}
	return f
}

// jsonWithin returns a text that is JSON, or the JSON of one that is XML.
func jsonWithin(text string) (raw []byte, ok bool) {
	raw = []byte(text)
	if trimmed := bytes.TrimSpace(raw); bytes.HasPrefix(trimmed, []byte("<")) {
		raw, err := bodies.XML(trimmed)
		return raw, err == nil
	}
	return raw, !jsontext.DeeperThan(raw, MaxDepth) && json.Valid(raw)
}

// then changes what f finds; nothing if change says so.
func (f finder) then(how string, change func(in input, text string) (string, bool)) finder {
	find := f.in
	f.where += " (" + how + ")"
	f.find = func(in input) token {
		found := find(in).text
		if found == "" {
			return token{}
		}
		return tokenOf(change(in, found))
	}
	return f
}

func tokenOf(text string, ok bool) token {
	if !ok || text == "" {
		return token{}
	}
	return quoted(text)
}

// queryOf returns a parameter of the URL that is given once.
func queryOf(req Request, name string) (string, bool) {
	_, query, found := strings.Cut(req.URL, "?")
	if !found || len(query) > maxMatched {
		return "", false
	}
	values, err := url.ParseQuery(query)
	if err != nil || len(values[name]) != 1 {
		return "", false
	}
	return values[name][0], true
}

// formOf returns a field of the form that is given once.
func formOf(req Request, name string) (string, bool) {
	if !isForm(req.Header) {
		return "", false
	}
	fields, err := parseForm(req.Body)
	if err != nil {
		return "", false
	}
	value, n := "", 0
	for _, f := range fields {
		if f.name == name {
			value, n = f.value, n+1
		}
	}
	return value, n == 1
}
