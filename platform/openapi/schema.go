package openapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/strictjson"
)

// schema is a JSON Schema (draft 2020-12), as OpenAPI 3.1 uses it.
type schema = map[string]any

// schemas makes the schemas of Go types as encoding/json writes them and strictjson reads
// them. The tag api adds what a type does not say: required, nullable, object, plain (no UUID, despite its name), enum=a|b,
// format=, chars=low-high, and the bounds minLength=, maxLength=, minimum= and maximum=.
type schemas struct {
	names      map[reflect.Type]string // as routes name their types
	components schema
	types      map[string]reflect.Type // of the components
}

var fixed = map[reflect.Type]schema{
	reflect.TypeFor[time.Time]():       {"type": "string", "format": "date-time"},
	reflect.TypeFor[clock.Time]():      {"type": "string", "format": "date-time"},
	reflect.TypeFor[secret.Value]():    {"type": "string", "writeOnly": true},
	reflect.TypeFor[json.RawMessage](): {}, // anything
	reflect.TypeFor[[]byte]():          {"type": "string", "contentEncoding": "base64"},
}

// of returns the schema of t. In input, fields are optional unless their tag says otherwise,
// and null is the same as absent.
func (s *schemas) of(t reflect.Type, input bool) schema {
	if known, is := fixed[t]; is {
		return clone(known)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return nullable(s.of(t.Elem(), input))
	case reflect.Struct:
		return s.structure(t, input)
	case reflect.Slice, reflect.Array:
		return schema{"type": "array", "items": s.of(t.Elem(), input)}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": s.of(t.Elem(), input)}
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return schema{"type": "number"}
	case reflect.Int, reflect.Int64:
		return schema{"type": "integer", "format": "int64"}
	case reflect.Int32:
		return schema{"type": "integer", "format": "int32"}
	case reflect.Interface:
		return clone(fixed[reflect.TypeFor[json.RawMessage]()])
	}
	panic("openapi: no schema for " + t.String())
}

func (s *schemas) structure(t reflect.Type, input bool) schema {
	if t.PkgPath() == reflect.TypeFor[strictjson.Nullable[int]]().PkgPath() && strings.HasPrefix(t.Name(), "Nullable[") {
		field, _ := t.FieldByName("Value")
		return s.of(field.Type, input)
	}
	if t.Name() == "" {
		return s.object(t, input)
	}
	if v, is := reflect.Zero(t).Interface().(shaped); is && input {
		return s.shapes(t, v.JSONTypes())
	}
	ref := s.component(t, input)
	if input && reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return schema{"anyOf": []any{schema{"type": "string"}, ref}} // it reads its main value alone, too
	}
	return ref
}

// shaped is a type that reads itself from values of these JSON types.
type shaped interface{ JSONTypes() []string }

func (s *schemas) shapes(t reflect.Type, types []string) schema {
	choices := []any{}
	for _, name := range types {
		switch name {
		case "object":
			choices = append(choices, s.component(t, true))
		case "array":
			choices = append(choices, schema{"type": name, "items": schema{}})
		default:
			choices = append(choices, schema{"type": name})
		}
	}
	return schema{"anyOf": choices}
}

// component returns a reference to the named schema of t, which it makes once.
func (s *schemas) component(t reflect.Type, input bool) schema {
	name, named := s.names[t]
	if !named {
		name = t.Name()
		if first, _ := utf8.DecodeRuneInString(name); !unicode.IsUpper(first) {
			name = title(t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]) + title(name)
		}
		if input {
			name += "Input"
		}
	}
	if other, made := s.types[name]; made && other != t {
		panic(fmt.Sprintf("openapi: %s and %s would both be %s; name one in its route's Spec", other, t, name))
	} else if !made {
		s.types[name] = t
		s.components[name] = s.object(t, input)
	}
	return schema{"$ref": "#/components/schemas/" + name}
}

func title(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

func (s *schemas) object(t reflect.Type, input bool) schema {
	properties, required := schema{}, []string{}
	s.fields(t, input, properties, &required)
	o := schema{"type": "object", "properties": properties}
	if len(required) > 0 {
		slices.Sort(required)
		o["required"] = required
	}
	if input {
		o["additionalProperties"] = false
	}
	return o
}

func (s *schemas) fields(t reflect.Type, input bool, properties schema, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.fields(f.Type, input, properties, required)
			continue
		case !f.IsExported() || name == "-" || name == "":
			continue
		}
		rules := strings.Split(f.Tag.Get("api"), ",")
		must := !input && !strings.Contains(rest, "omit") || input && slices.Contains(rules, "required")
		if must {
			*required = append(*required, name)
		}
		properties[name] = ruled(s.of(f.Type, input), name, rules)
		if input && !must || slices.Contains(rules, "nullable") {
			properties[name] = nullable(properties[name].(schema))
		}
	}
}

// identifiers are names that end in Id without being one of ours.
var identifiers = []string{"correlationId", "externalEventId", "clientId"}

// ruled adds to a field's schema what its name and its tag say.
func ruled(of schema, name string, rules []string) schema {
	if isText(of) && of["format"] == nil && !slices.Contains(rules, "plain") && !slices.Contains(identifiers, name) && (name == "id" || strings.HasSuffix(name, "Id")) {
		of["format"] = "uuid"
	}
	for _, rule := range rules {
		key, value, _ := strings.Cut(rule, "=")
		switch key {
		case "object":
			of["type"] = "object"
		case "format":
			of["format"] = value
		case "enum":
			allowed := []any{}
			for text := range strings.SplitSeq(value, "|") {
				allowed = append(allowed, text)
			}
			if !onlyOne(of) {
				allowed = append(allowed, nil)
			}
			of["enum"] = allowed
		case "minLength", "maxLength", "minimum", "maximum":
			n, err := strconv.Atoi(value)
			if err != nil {
				panic("openapi: the tag of " + name + ": " + rule)
			}
			of[key] = n
		case "chars":
			low, high, _ := strings.Cut(value, "-")
			of["minLength"], _ = strconv.Atoi(low)
			of["description"] = low + " to " + high + " characters, without blanks around"
		case "", "required", "nullable", "plain":
		default:
			panic("openapi: the tag of " + name + ": " + rule)
		}
	}
	return of
}

func isText(of schema) bool {
	types, _ := of["type"].([]string)
	return of["type"] == "string" || slices.Contains(types, "string")
}

// onlyOne reports whether a schema has one type.
func onlyOne(of schema) bool { _, one := of["type"].(string); return one }

// nullable adds null to what a schema allows.
func nullable(of schema) schema {
	switch kind := of["type"].(type) {
	case string:
		of["type"] = []string{kind, "null"}
		if allowed, is := of["enum"].([]any); is {
			of["enum"] = append(allowed, nil)
		}
		return of
	case []string:
		return of
	}
	if choices, is := of["anyOf"].([]any); is {
		if !slices.ContainsFunc(choices, func(one any) bool { return one.(schema)["type"] == "null" }) {
			of["anyOf"] = append(choices, schema{"type": "null"})
		}
		return of
	}
	if of["$ref"] == nil { // anything
		return of
	}
	return schema{"anyOf": []any{of, schema{"type": "null"}}}
}

func clone(of schema) schema {
	c := schema{}
	for k, v := range of {
		c[k] = v
	}
	return c
}
