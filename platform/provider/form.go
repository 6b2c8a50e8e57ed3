package provider

import (
	"bytes"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider/bodies"
)

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"

	multipartType = "multipart/form-data"
	textType      = "text/plain"
)

// isForm reports whether the body is a form.
func isForm(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind == formType
}

// isXML reports whether a media type is XML's.
func isXML(kind string) bool {
	return kind == "text/xml" || kind == "application/xml" || strings.HasSuffix(kind, "+xml")
}

func converted(text []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, fault.Invalid.New("malformed_body", "The body cannot be read: %s.", err).At("body")
	}
	return text, nil
}

// jsonBody returns the request's body as JSON. A form becomes an object of its fields. If a
// field named payload holds an object, it becomes that object: GitHub and Slack send JSON in
// forms this way.
func jsonBody(req Request) ([]byte, error) {
	kind, parameters, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
	switch text := bytes.TrimLeft(WithoutBOM(req.Body), " \t\r\n"); {
	case kind == multipartType:
		return converted(bodies.Multipart(req.Body, parameters["boundary"]))
	case isXML(kind):
		return converted(bodies.XML(text))
	case kind == textType && !bytes.HasPrefix(text, []byte("{")) && !bytes.HasPrefix(text, []byte("[")):
		return bodies.Text(req.Body), nil
	case kind != formType:
		return text, nil
	}
	fields, err := parseForm(req.Body)
	if err != nil {
		return nil, err
	}
	if payload := fields.get("payload"); strings.HasPrefix(strings.TrimSpace(payload), "{") {
		return []byte(payload), nil
	}
	return fields.json(), nil
}

// form holds the fields of a form in the order in which they were sent.
type form []formField

type formField struct{ name, value string }

// maxFields bounds the fields of a form. Providers' forms have a few dozen. Some providers
// sign the fields and not the body, so a small gzip body that expands to megabytes of
// separators must be refused cheaply.
const maxFields = 1000

func parseForm(body []byte) (form, error) {
	if n := bytes.Count(body, []byte("&")) + 1; n > maxFields {
		return nil, fault.Invalid.New("too_many_fields", "The body has %d fields; a form may have %d.", n, maxFields).At("body")
	}
	var f form
	for part := range strings.SplitSeq(string(body), "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		n, nameErr := url.QueryUnescape(name)
		v, valueErr := url.QueryUnescape(value)
		if nameErr != nil || valueErr != nil {
			return nil, fault.Invalid.New("malformed_form", "The body is not a well-formed form.").At("body")
		}
		f = append(f, formField{n, v})
	}
	if len(f) == 0 {
		return nil, fault.Invalid.New("empty_body", "The body is empty; a form is expected.").At("body")
	}
	return f, nil
}

func (f form) get(name string) string {
	for _, field := range f {
		if field.name == name {
			return field.value
		}
	}
	return ""
}

// json returns an object of the fields; a repeated field becomes an array.
func (f form) json() []byte {
	values := map[string][]string{}
	var names []string
	for _, field := range f {
		if _, ok := values[field.name]; !ok {
			names = append(names, field.name)
		}
		values[field.name] = append(values[field.name], field.value)
	}
	b := []byte{'{'}
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, quoted(name).raw...), ':')
		if all := values[name]; len(all) > 1 {
			b = append(b, list(all)...)
		} else {
			b = append(b, quoted(all[0]).raw...)
		}
	}
	return append(b, '}')
}

// list returns a JSON array of texts.
func list(texts []string) []byte {
	quotes := make([][]byte, len(texts))
	for i, text := range texts {
		quotes[i] = quoted(text).raw
	}
	return append(append([]byte{'['}, bytes.Join(quotes, []byte(","))...), ']')
}
