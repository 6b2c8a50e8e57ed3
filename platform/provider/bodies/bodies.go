// Package bodies turns bodies that are not JSON into it: XML documents, multipart forms and
// plain text. Everything is bounded, and nothing outside of the body is read.
package bodies

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"strings"
	"unicode/utf8"
)

// The bounds of a document. A provider's have a few dozen elements or parts.
const (
	MaxDepth    = 64
	MaxElements = 20_000 // and attributes
	MaxParts    = 100
)

// object keeps the order of its members. Members of one name become an array.
type object struct {
	names  []string
	values map[string][]json.RawMessage
}

func (o *object) add(name string, value json.RawMessage) {
	if o.values == nil {
		o.values = map[string][]json.RawMessage{}
	}
	if _, known := o.values[name]; !known {
		o.names = append(o.names, name)
	}
	o.values[name] = append(o.values[name], value)
}

func (o *object) json() json.RawMessage {
	b := []byte{'{'}
	for i, name := range o.names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, text(name)...), ':')
		if all := o.values[name]; len(all) > 1 {
			b = append(append(append(b, '['), bytes.Join(anyBytes(all), []byte(","))...), ']')
		} else {
			b = append(b, all[0]...)
		}
	}
	return append(b, '}')
}

func anyBytes(all []json.RawMessage) [][]byte {
	list := make([][]byte, len(all))
	for i, one := range all {
		list[i] = one
	}
	return list
}

// text is a JSON string.
func text(value string) json.RawMessage {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // strings always encode
	return bytes.TrimRight(b.Bytes(), "\n")
}

// XML returns a document as an object with one member, the root. An element without
// attributes and elements is a text; else an object, whose attributes have names with @, and
// whose text is the member #text. Names have no namespaces. Elements of one name become an
// array. A document type is refused, and with it every entity of one's own.
func XML(document []byte) ([]byte, error) {
	r := xmlReader{decoder: xml.NewDecoder(bytes.NewReader(document))}
	for {
		token, err := r.decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it has no element")
		}
		if err != nil {
			return nil, fmt.Errorf("it is not well-formed: %w", err)
		}
		switch token := token.(type) {
		case xml.Directive:
			return nil, errors.New("it has a document type, which is not allowed")
		case xml.StartElement:
			value, err := r.element(token, MaxDepth)
			if err != nil {
				return nil, err
			}
			var root object
			root.add(token.Name.Local, value)
			return root.json(), r.end()
		}
	}
}

type xmlReader struct {
	decoder  *xml.Decoder
	elements int
}

// end reads what may follow the root.
func (r *xmlReader) end() error {
	for {
		token, err := r.decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is not well-formed: %w", err)
		}
		switch token.(type) {
		case xml.StartElement, xml.Directive:
			return errors.New("something follows its root")
		}
	}
}

func (r *xmlReader) element(start xml.StartElement, depth int) (json.RawMessage, error) {
	if r.elements += 1 + len(start.Attr); r.elements > MaxElements || depth == 0 {
		return nil, fmt.Errorf("it has more than %d elements or nests deeper than %d", MaxElements, MaxDepth)
	}
	var o object
	for _, a := range start.Attr {
		if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
			o.add("@"+a.Name.Local, text(a.Value))
		}
	}
	var content strings.Builder
	for {
		token, err := r.decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("it is not well-formed: %w", err)
		}
		switch token := token.(type) {
		case xml.Directive:
			return nil, errors.New("it has a document type, which is not allowed")
		case xml.CharData:
			content.Write(token)
		case xml.StartElement:
			value, err := r.element(token, depth-1)
			if err != nil {
				return nil, err
			}
			o.add(token.Name.Local, value)
		case xml.EndElement:
			return o.with(content.String()), nil
		}
	}
}

// with returns the element as JSON.
func (o *object) with(content string) json.RawMessage {
	switch {
	case o.names == nil:
		return text(content)
	case strings.TrimSpace(content) != "":
		o.add("#text", text(content))
	}
	return o.json()
}

// Multipart returns a multipart form as an object of its fields. A file is an object of
// filename, contentType and content, in base64.
func Multipart(body []byte, boundary string) ([]byte, error) {
	reader := multipart.NewReader(bytes.NewReader(body), boundary)
	var o object
	for n := 0; ; n++ {
		part, err := reader.NextRawPart()
		switch {
		case errors.Is(err, io.EOF):
			return o.json(), nil
		case err != nil:
			return nil, fmt.Errorf("it is not well-formed: %w", err)
		case n == MaxParts:
			return nil, fmt.Errorf("it has more than %d parts", MaxParts)
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return nil, fmt.Errorf("it is not well-formed: %w", err)
		}
		if part.FileName() == "" && utf8.Valid(content) {
			o.add(part.FormName(), text(string(content)))
			continue
		}
		var file object
		file.add("filename", text(part.FileName()))
		file.add("contentType", text(part.Header.Get("Content-Type")))
		file.add("content", text(base64.StdEncoding.EncodeToString(content)))
		o.add(part.FormName(), file.json())
	}
}

// Text returns plain text as an object with the member text.
func Text(body []byte) []byte {
	var o object
	o.add("text", text(string(body)))
	return o.json()
}
