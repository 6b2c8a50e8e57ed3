// Package strictjson reads JSON that a person wrote. It finds all mistakes at once and
// names each by its path, such as destinations[0].url. An unknown field is a mistake, since
// a mistyped name would be ignored.
package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/fault"
)

// Nullable is a field of a change: absent, null, or with a value.
type Nullable[T any] struct {
	Given bool
	Value *T // nil for null
}

// open records that the field was given and returns where its value belongs.
func (n *Nullable[T]) open() any {
	n.Given, n.Value = true, nil
	return &n.Value
}

type opener interface{ open() any }

// Several is a type that is read from values of several kinds.
type Several interface {
	// Variable returns a pointer to what this value is read into, which is a part of the
	// receiver. Its error is a message such as "must be text".
	Variable(text []byte) (any, error)
}

// Read fills the struct that dest points to from text, which must be well-formed JSON, and
// returns the mistakes: unknown fields and values of the wrong type. Field names are
// case-sensitive. A null keeps the value.
func Read(text []byte, dest any) []fault.Field {
	var r reader
	r.value(text, reflect.ValueOf(dest).Elem(), "")
	return r.mistakes
}

// ReadAnyCase is Read for text whose field names may have lost their capitals.
func ReadAnyCase(text []byte, dest any) []fault.Field {
	r := reader{anyCase: true}
	r.value(text, reflect.ValueOf(dest).Elem(), "")
	return r.mistakes
}

type reader struct {
	anyCase  bool
	mistakes []fault.Field
}

func (r *reader) wrong(path, message string) {
	if path == "" {
		path = "body"
	}
	r.mistakes = append(r.mistakes, fault.Field{Field: path, Message: message})
}

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	timeType        = reflect.TypeFor[time.Time]()
)

func (r *reader) value(text json.RawMessage, v reflect.Value, path string) {
	target := v.Addr()
	if n, ok := target.Interface().(opener); ok {
		r.value(text, reflect.ValueOf(n.open()).Elem(), path)
		return
	}
	if s, ok := target.Interface().(Several); ok && !isNull(text) {
		variable, err := s.Variable(text)
		if err != nil {
			r.wrong(path, err.Error())
			return
		}
		r.value(text, reflect.ValueOf(variable).Elem(), path)
		return
	}
	switch {
	case v.Kind() == reflect.Pointer:
		if !isNull(text) {
			v.Set(reflect.New(v.Type().Elem()))
			r.value(text, v.Elem(), path)
		}
	case v.Type() == timeType:
		if json.Unmarshal(text, target.Interface()) != nil {
			r.wrong(path, "must be an RFC 3339 time such as 2026-01-31T00:00:00Z")
		}
	case target.Type().Implements(unmarshaler):
		r.custom(text, target, path)
	case isNull(text):
	case target.Type().Implements(textUnmarshaler):
		r.scalar(text, target, path, "must be text")
	case v.Kind() == reflect.Struct:
		r.object(text, v, path)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		r.list(text, v, path)
	case v.Kind() == reflect.Map:
		r.mapping(text, v, path)
	default:
		r.scalar(text, target, path, expected(v.Kind()))
	}
}

func isNull(text json.RawMessage) bool { return string(bytes.TrimSpace(text)) == "null" }

func (r *reader) scalar(text json.RawMessage, target reflect.Value, path, message string) {
	if json.Unmarshal(text, target.Interface()) != nil {
		r.wrong(path, message)
	}
}

// custom lets a type read itself. Its own mistakes, if it names any, are reported below
// path.
func (r *reader) custom(text json.RawMessage, target reflect.Value, path string) {
	err := target.Interface().(json.Unmarshaler).UnmarshalJSON(text)
	if err == nil {
		return
	}
	var kind *json.UnmarshalTypeError
	switch f := fault.As(err); {
	case f != nil && len(f.Fields) > 0:
		for _, field := range f.Fields {
			r.wrong(Join(path, field.Field), field.Message)
		}
	case f != nil:
		r.wrong(path, f.Message)
	case errors.As(err, &kind):
		r.wrong(path, expected(kind.Type.Kind()))
	default:
		r.wrong(path, "is not a valid value")
	}
}

func (r *reader) object(text json.RawMessage, v reflect.Value, path string) {
	var given map[string]json.RawMessage
	if json.Unmarshal(text, &given) != nil {
		r.wrong(path, "must be an object")
		return
	}
	fields := map[string]reflect.Value{}
	fieldsOf(v, fields)
	for _, name := range slices.Sorted(maps.Keys(given)) {
		field, known := fields[name]
		if r.anyCase && !known {
			for one, v := range fields {
				if strings.EqualFold(one, name) {
					field, known = v, true
				}
			}
		}
		if !known {
			r.wrong(Join(path, shown(name)), DidYouMean(unknownField, name, slices.Sorted(maps.Keys(fields))))
			continue
		}
		r.value(given[name], field, Join(path, name))
	}
}

const unknownField = "is not a field of this request"

// shown is a name that can be read: the empty one in quotes.
func shown(name string) string {
	if name == "" {
		return `""`
	}
	return name
}

// fieldsOf collects the fields of a struct by their JSON names, including those of embedded
// structs.
func fieldsOf(v reflect.Value, into map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			fieldsOf(v.Field(i), into)
		case f.IsExported() && name != "-" && name != "":
			into[name] = v.Field(i)
		}
	}
}

func (r *reader) list(text json.RawMessage, v reflect.Value, path string) {
	var items []json.RawMessage
	if json.Unmarshal(text, &items) != nil {
		r.wrong(path, "must be a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		r.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

func (r *reader) mapping(text json.RawMessage, v reflect.Value, path string) {
	var items map[string]json.RawMessage
	if json.Unmarshal(text, &items) != nil {
		r.wrong(path, "must be an object")
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(items)))
	for _, name := range slices.Sorted(maps.Keys(items)) {
		item := reflect.New(v.Type().Elem()).Elem()
		r.value(items[name], item, Join(path, name))
		v.SetMapIndex(reflect.ValueOf(name), item)
	}
}

// Join returns the path of a field below another.
func Join(path, field string) string {
	if path == "" || field == "" || strings.HasPrefix(field, "[") {
		return path + field
	}
	return path + "." + field
}

func expected(kind reflect.Kind) string {
	switch kind {
	case reflect.String:
		return "must be text"
	case reflect.Bool:
		return "must be true or false"
	case reflect.Float32, reflect.Float64:
		return "must be a number"
	case reflect.Slice:
		return "must be a list"
	case reflect.Struct, reflect.Map:
		return "must be an object"
	}
	return "must be a whole number"
}
