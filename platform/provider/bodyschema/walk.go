package bodyschema

import (
	"fmt"
	"net/url"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// walk visits every schema within a schema. To each it adds a format of ours, which the library asks
// whenever it checks a value: there the steps are counted. Formats of the operator's are annotations,
// as the draft has it by default.
type walk struct {
	meter    *meter
	compiler *jsonschema.Compiler
	known    map[string]bool // the schemas, by their JSON pointers
	refs     [][2]string     // where, and what
	patterns int
}

// The keywords that hold schemas: one, several by name, and a list.
var (
	single = []string{"items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames", "unevaluatedItems", "unevaluatedProperties", "contentSchema"}
	named  = []string{"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
	listed = []string{"allOf", "anyOf", "oneOf", "prefixItems"}
)

func (w *walk) root(document any) error {
	if top, is := document.(map[string]any); is {
		if given, there := top[schemaKeyword]; there && given != draft && given != draft+"#" {
			return mistake("/"+schemaKeyword, "Schemas are of the draft 2020-12: leave it out, or write %s.", draft)
		}
		delete(top, schemaKeyword)
		delete(top, "$id")
	}
	if err := w.schema(document, ""); err != nil {
		return err
	}
	for _, ref := range w.refs {
		if target, within := strings.CutPrefix(ref[1], "#/"); within && !w.known["/"+unescaped(target)] {
			return mistake(ref[0], "%s leads to no schema within this one.", ref[1])
		}
	}
	return nil
}

func (w *walk) schema(v any, at string) error {
	if _, is := v.(bool); is {
		w.known[at] = true
		return nil
	}
	s, is := v.(map[string]any)
	switch {
	case !is:
		return mistake(at, "A schema is an object, true or false.")
	case len(w.known) >= maxSchemas:
		return mistake(at, "It holds more than %d schemas.", maxSchemas)
	}
	w.known[at] = true
	if err := w.bounded(s, at); err != nil {
		return err
	}
	weight := 1 + nodes(s["enum"]) + nodes(s["const"]) + nodes(s["required"]) + nodes(s["dependentRequired"])
	for _, keyword := range single {
		if inner, there := s[keyword]; there {
			weight++
			if err := w.schema(inner, at+"/"+keyword); err != nil {
				return err
			}
		}
	}
	for _, keyword := range listed {
		inner, _ := s[keyword].([]any)
		weight += len(inner)
		for i, one := range inner {
			if err := w.schema(one, fmt.Sprintf("%s/%s/%d", at, keyword, i)); err != nil {
				return err
			}
		}
	}
	for _, keyword := range named {
		inner, _ := s[keyword].(map[string]any)
		if keyword != "$defs" && keyword != "definitions" {
			weight += len(inner)
		}
		for name, one := range inner {
			if err := w.schema(one, at+"/"+keyword+pointer([]string{name})); err != nil {
				return err
			}
		}
	}
	countFirst(s)
	unique, _ := s["uniqueItems"].(bool)
	s["format"] = w.count(weight, unique)
	return nil
}

// countFirst moves a schema's enum and const into one of allOf: the library compares with them before
// it asks the format, so that they would not be counted.
func countFirst(s map[string]any) {
	for _, keyword := range []string{"enum", "const"} {
		value, there := s[keyword]
		list, is := s["allOf"].([]any)
		if _, other := s["allOf"]; !there || other && !is {
			continue
		}
		s["allOf"] = append(list, map[string]any{keyword: value})
		delete(s, keyword)
	}
}

// bounded checks what a schema itself says.
func (w *walk) bounded(s map[string]any, at string) error {
	for _, keyword := range []string{"$id", schemaKeyword, "$vocabulary", "$recursiveRef"} {
		if _, there := s[keyword]; there {
			return mistake(at+"/"+keyword, "%s is not expected within a schema.", keyword)
		}
	}
	if _, there := s["dependencies"]; there { // of earlier drafts: the library obeys it, and nothing in it would be counted
		return mistake(at+"/dependencies", "dependencies is of earlier drafts: write dependentSchemas or dependentRequired.")
	}
	for _, keyword := range []string{"$ref", "$dynamicRef"} {
		target, is := s[keyword].(string)
		if !is {
			continue
		}
		if !strings.HasPrefix(target, "#") {
			return mistake(at+"/"+keyword, "%q is elsewhere: a reference begins with # and leads to a schema within this one.", target)
		}
		w.refs = append(w.refs, [2]string{at + "/" + keyword, target})
	}
	patterns, _ := s["patternProperties"].(map[string]any)
	for name := range patterns {
		if err := w.pattern(name, at+"/patternProperties"); err != nil {
			return err
		}
	}
	if text, is := s["pattern"].(string); is {
		if err := w.pattern(text, at+"/pattern"); err != nil {
			return err
		}
	}
	for _, keyword := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "enum", "const",
		"minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties", "maxProperties"} {
		if _, found := wildNumber(s[keyword], ""); found {
			return mistake(at+"/"+keyword, "A number has at most %d characters and an exponent of at most %d.", maxNumber, maxExponent)
		}
	}
	return nil
}

func (w *walk) pattern(text, at string) error {
	if w.patterns++; w.patterns > maxPatterns {
		return mistake(at, "There are more than %d patterns.", maxPatterns)
	}
	if _, err := compilePattern(text); err != nil {
		return mistake(at, "%s.", err)
	}
	return nil
}

// count returns the name of a format that counts the steps of checking a value.
func (w *walk) count(weight int, unique bool) string {
	name := fmt.Sprintf("steps-%d-%t", weight, unique)
	w.compiler.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(v any) error {
		switch one := v.(type) {
		case []any:
			w.meter.take(weight * (1 + len(one)))
			if unique {
				w.meter.take(comparisons(one))
			}
		case map[string]any:
			w.meter.take(weight * (1 + len(one)))
		default:
			w.meter.take(weight)
		}
		return nil
	}})
	return name
}

// comparisons is how many may be needed to find equal items. Items with parts can be made to have
// equal hashes.
func comparisons(items []any) int {
	total := 0
	for _, item := range items {
		switch item.(type) {
		case []any, map[string]any:
			total += nodes(item) + len(items)
		default:
			total++
		}
	}
	return total
}

// nodes counts the values within a value.
func nodes(v any) int {
	total := 0
	switch one := v.(type) {
	case nil:
		return 0
	case []any:
		for _, item := range one {
			total += nodes(item)
		}
	case map[string]any:
		for _, item := range one {
			total += nodes(item)
		}
	}
	return total + 1
}

// unescaped is the JSON pointer of a reference as known has it.
func unescaped(target string) string {
	text, err := url.PathUnescape(target)
	if err != nil {
		return target
	}
	return text
}

// metered is a pattern that counts its steps.
type metered struct {
	*regexp.Regexp
	meter *meter
	cost  int // of eight characters
}

func (m metered) MatchString(text string) bool {
	m.meter.take(1 + len(text)*m.cost/8)
	return m.Regexp.MatchString(text)
}

func (m *meter) pattern(text string) (jsonschema.Regexp, error) {
	compiled, err := compilePattern(text)
	if err != nil {
		return nil, err
	}
	compiled.meter = m
	return compiled, nil
}

func compilePattern(text string) (metered, error) {
	if len(text) > maxPattern {
		return metered{}, fmt.Errorf("the pattern has more than %d characters", maxPattern)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return metered{}, fmt.Errorf("the pattern %q is not RE2: %w", text, err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) > maxProgram {
		return metered{}, fmt.Errorf("the pattern %q is too large", text)
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return metered{}, fmt.Errorf("the pattern %q is not RE2: %w", text, err)
	}
	return metered{Regexp: compiled, cost: len(program.Inst)}, nil
}
