// Package schema describes the format of definitions as a JSON Schema, for editors and checks
// outside of the gateway. It is made from the types that the gateway reads.
package schema

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"integration-gateway/platform/provider"
	"integration-gateway/platform/provider/webtoken"
)

type object = map[string]any

// choices are the values of fields that take one of a few, by type and field.
var choices = map[string][]any{
	"Proof.scheme":                 anys(provider.Schemes),
	"TokenDefinition.algorithms":   anys(append(slices.Clone(webtoken.Public), webtoken.Shared...)),
	"SignatureDefinition.hash":     {"sha256", "sha1", "sha384", "sha512"},
	"SignatureDefinition.encoding": {"hex", "base64", "base64url"},
	"SignatureDefinition.key":      {"text", "hex", "base64", "sha1"},
	"TimestampDefinition.unit":     {"seconds", "milliseconds", "rfc3339"},
	"EventDefinition.timeUnit":     {"rfc3339", "seconds", "milliseconds", "any"},
	"Deduplication.by":             {"id", "places", "body", "none"},
	"HandshakeDefinition.method":   {"POST", "GET", "OPTIONS"},
	"StoreDefinition.purpose":      {"signing", "token", "challenge"},
	"Place.decode":                 {"base64", "base64url"},
	"Definition.methods":           {"POST", "PUT"},
	"Definition.bodies":            {"json", "form", "multipart", "xml", "text"},
}

func anys(names []string) (all []any) {
	for _, name := range names {
		all = append(all, name)
	}
	return all
}

// required are the fields that cannot be left out, by type.
var required = map[string][]string{
	"Named": {"name", "event"}, "EventDefinition": {"type"}, "HandshakeDefinition": {"name", "when", "answer"}, "ConditionDefinition": {"place"}, "ClaimDefinition": {"claim", "is"}, "StoreDefinition": {"secret"}, "Sample": {"type", "body"},
}

// JSON returns the schema (draft 2020-12), indented.
func JSON() []byte {
	w := writer{defs: object{}}
	root := w.structure(reflect.TypeFor[provider.Named]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "A webhook provider as data"
	root["$defs"] = w.defs
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps of texts always marshal
	}
	return append(text, '\n')
}

type writer struct{ defs object }

// of returns the schema of a type.
func (w writer) of(t reflect.Type) any {
	switch t.Kind() {
	case reflect.Pointer:
		return w.of(t.Elem())
	case reflect.Slice:
		return object{"type": "array", "items": w.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": w.of(t.Elem())}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Struct:
	default:
		panic("schema: no schema for " + t.String())
	}
	if _, made := w.defs[t.Name()]; !made {
		w.defs[t.Name()] = nil // a place holds places
		w.defs[t.Name()] = w.named(t)
	}
	return object{"$ref": "#/$defs/" + t.Name()}
}

// named returns the schema of a named type, with the short ways to write some.
func (w writer) named(t reflect.Type) any {
	switch t {
	case reflect.TypeFor[provider.Items]():
		return object{"anyOf": []any{object{"type": "boolean"}, object{"type": "string"}}}
	case reflect.TypeFor[provider.Place]():
		self := object{"$ref": "#/$defs/Place"}
		return object{"anyOf": []any{object{"type": "string"}, object{"type": "array", "items": self, "minItems": 1}, w.structure(t)}}
	}
	return w.structure(t)
}

func (w writer) structure(t reflect.Type) object {
	properties := object{}
	w.fields(t, properties)
	s := object{"type": "object", "properties": properties, "additionalProperties": false}
	if names := required[t.Name()]; names != nil {
		s["required"] = names
	}
	return s
}

func (w writer) fields(t reflect.Type, properties object) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			w.fields(f.Type, properties)
			continue
		case name == "" || name == "-":
			continue
		}
		value := w.of(f.Type)
		if some := choices[t.Name()+"."+name]; some != nil {
			value = object{"enum": some}
			if f.Type.Kind() == reflect.Slice {
				value = object{"type": "array", "items": value}
			}
		}
		properties[name] = value
	}
}
