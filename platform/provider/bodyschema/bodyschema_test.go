package bodyschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func compile(t *testing.T, text string) *Schema {
	t.Helper()
	s, err := Compile([]byte(text))
	require.NoError(t, err, text)
	return s
}

func TestWhatDoesNotFitIsFoundWithItsPlace(t *testing.T) {
	for _, c := range []struct{ schema, value, at, keyword string }{
		{`{"type":"object","required":["id"]}`, `{"id":1}`, "", ""},
		{`{"type":"object","required":["id"]}`, `{}`, "$", "required"},
		{`{"properties":{"total":{"minimum":0}}}`, `{"total":-1}`, "$.total", "minimum"},
		{`{"properties":{"total":{"minimum":0.1}}}`, `{"total":0.1}`, "", ""},
		{`{"properties":{"n":{"const":12345678901234567890}}}`, `{"n":12345678901234567891}`, "$.n", "const"},
		{`{"properties":{"lines":{"items":{"required":["sku"]}}}}`, `{"lines":[{"sku":1},{}]}`, "$.lines[1]", "required"},
		{`{"$defs":{"sku":{"type":"string"}},"properties":{"a b":{"$ref":"#/$defs/sku"}}}`, `{"a b":1}`, `$["a b"]`, "type"},
		{`{"definitions":{"x/y":{"type":"string"}},"items":{"$ref":"#/definitions/x~1y"}}`, `[1]`, `$[0]`, "type"},
		{`{"$defs":{"n":{"$anchor":"node","properties":{"next":{"$ref":"#node"},"v":{"type":"integer"}}}},"$ref":"#node"}`, `{"next":{"next":{"v":"a"}}}`, "$.next.next.v", "type"},
		{`{"oneOf":[{"type":"string"},{"type":"integer"}]}`, `"a"`, "", ""},
		{`{"additionalProperties":false,"properties":{"a":true}}`, `{"a":1,"b":2}`, "$", "additionalProperties"},
		{`{"properties":{"mail":{"pattern":"^[^@]+@[^@]+$"}}}`, `{"mail":"ann"}`, "$.mail", "pattern"},
		{`{"properties":{"at":{"format":"date-time"}}}`, `{"at":"yesterday"}`, "", ""}, // an annotation, as the draft has it
		{`{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"https://example.com/order","type":"object"}`, `[]`, "$", "type"},
		{`false`, `1`, "$", "false"},
		{`true`, `1`, "", ""},
		{`{"uniqueItems":true}`, `[1,2,1.0]`, "$", "uniqueItems"},
		{`{}`, `{"n":1e9999}`, "$.n", outOfRange},
		{`{}`, `[[1e-401]]`, "$[0][0]", outOfRange},
		{`{}`, `[` + strings.Repeat("9", 41) + `]`, "$[0]", outOfRange},
		{`{}`, `{"a":`, "$", notJSON},
		{`{}`, strings.Repeat("[", 65) + strings.Repeat("]", 65), "$", tooDeep},
	} {
		found := compile(t, c.schema).Check([]byte(c.value), NewSteps())
		if c.keyword == "" {
			require.Nil(t, found, "%s %s", c.schema, c.value)
			continue
		}
		require.NotNil(t, found, "%s %s", c.schema, c.value)
		require.Equal(t, Mismatch{c.at, c.keyword}, *found, "%s %s", c.schema, c.value)
	}
}

func TestTheMistakesOfSchemas(t *testing.T) {
	many := func(n int, each func(i int) string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = each(i)
		}
		return strings.Join(parts, ",")
	}
	for _, c := range []struct{ schema, at, says string }{
		{`{"type":"nothing"}`, "/type", "as JSON Schema has it"},
		{`{"properties":{"a":{"minimum":"1"}}}`, "/properties/a/minimum", "as JSON Schema has it"},
		{`{"properties":{"a":1}}`, "/properties/a", "object, true or false"},
		{`[]`, "", "object, true or false"},
		{`{"type":`, "", "not JSON"},
		{`{"type":"object","type":"array"}`, "", "a member twice"},
		{`{"$ref":"https://example.com/order.json"}`, "/$ref", "is elsewhere"},
		{`{"$ref":"http://127.0.0.1/latest/meta-data"}`, "/$ref", "is elsewhere"},
		{`{"$ref":"file:///etc/passwd"}`, "/$ref", "is elsewhere"},
		{`{"$ref":"other.json"}`, "/$ref", "is elsewhere"},
		{`{"$dynamicRef":"https://example.com/#a"}`, "/$dynamicRef", "is elsewhere"},
		{`{"$ref":"https://json-schema.org/draft/2020-12/schema"}`, "/$ref", "is elsewhere"},
		{`{"x":{"type":"string"},"$ref":"#/x"}`, "/$ref", "leads to no schema"}, // where nothing would be counted
		{`{"$ref":"#/$defs/missing"}`, "/$ref", "leads to no schema"},
		{`{"$ref":"#nowhere"}`, "", "nowhere"},
		{`{"properties":{"a":{"$id":"https://example.com/a"}}}`, "/properties/a/$id", "not expected"},
		{`{"dependencies":{"a":{"$ref":"#/dependencies/b"},"b":false}}`, "/dependencies", "dependentSchemas"},
		{`{"$schema":"http://json-schema.org/draft-07/schema#"}`, "/$schema", "2020-12"},
		{`{"$schema":"https://example.com/meta"}`, "/$schema", "2020-12"},
		{`{"$vocabulary":{"https://example.com/v":true}}`, "/$vocabulary", "not expected"},
		{`{"pattern":"(?=a)"}`, "/pattern", "not RE2"},
		{`{"pattern":"` + strings.Repeat("a", 201) + `"}`, "/pattern", "more than 200"},
		{`{"pattern":"(a{30}){30}b{999}c{999}"}`, "/pattern", "too large"},
		{`{"patternProperties":{"[":true}}`, "/patternProperties", "not RE2"},
		{`{"anyOf":[` + many(33, func(i int) string { return fmt.Sprintf(`{"pattern":"a%d"}`, i) }) + `]}`, "/anyOf/32/pattern", "more than 32 patterns"},
		{`{"minimum":1e999999999}`, "/minimum", "exponent"},
		{`{"enum":[[{"a":1e-999999}]]}`, "/enum", "exponent"},
		{strings.Repeat(`{"not":`, 65) + `{}` + strings.Repeat(`}`, 65), "", "deeper than"},
		{`{"allOf":[` + many(2001, func(int) string { return `{}` }) + `]}`, "", "more than 2000 schemas"},
		{`{"description":"` + strings.Repeat("a", MaxBytes) + `"}`, "", "may have 65536"},
	} {
		_, err := Compile([]byte(c.schema))
		var wrong *Mistake
		require.True(t, errors.As(err, &wrong), "%.100s: %v", c.schema, err)
		require.Contains(t, wrong.Message, c.says, "%.100s", c.schema)
		if c.says != "more than 2000 schemas" {
			require.Equal(t, c.at, wrong.At, "%.100s: %s", c.schema, wrong.Message)
		}
	}
}

// doubling is a schema whose n definitions each lead twice to the next.
func doubling(keyword, last string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"d%d":{"%s":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, keyword, i+1, i+1)
	}
	return fmt.Sprintf(`{"$ref":"#/$defs/d0","$defs":{%s"d%d":%s}}`, b.String(), n, last)
}

// Schemas and bodies that would take for ever are given up on.
func TestACheckIsBounded(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"c":`, n) + `{}` + strings.Repeat(`}`, n) }
	collisions := make([]string, 0, 4096) // items whose hashes are equal, as the library makes them
	for i := range 4096 {
		text := `["a`
		for bit := range 12 {
			if i>>bit&1 == 0 {
				text += `\u0004a`
			} else {
				text += `","a`
			}
		}
		collisions = append(collisions, text+`"]`)
	}
	for name, c := range map[string]struct{ schema, value string }{
		"all of twice":        {doubling("allOf", `true`, 40), `1`},
		"any of twice, false": {doubling("anyOf", `{"type":"object"}`, 40), `1`},
		"within not":          {`{"not":` + strings.Replace(doubling("anyOf", `{"type":"object"}`, 40), `{"$ref":"#/$defs/d0",`, `{"anyOf":[{"$ref":"#/not/$defs/d0"}],`, 1) + `}`, `1`},
		"along the body":      {`{"$defs":{"n":{"properties":{"c":{"anyOf":[{"$ref":"#/$defs/n"},{"$ref":"#/$defs/n"}]}},"required":["z"]}},"$ref":"#/$defs/n"}`, deep(60)},
		"an enumeration":      {`{"items":{"enum":[` + strings.TrimSuffix(strings.Repeat(`"a",`, 10_000), ",") + `]}}`, `[` + strings.TrimSuffix(strings.Repeat(`"b",`, 50_000), ",") + `]`},
		"an expression":       {`{"items":{"pattern":"(a?){30}(b?){30}(c|d|e|f){20,30}$"}}`, `["` + strings.Repeat("abcd", 100_000) + `"]`},
		"many names":          {`{"patternProperties":{"` + strings.Repeat("a?", 90) + `z":true}}`, `{"` + strings.Repeat("a", 200_000) + `":1}`},
		"equal hashes":        {`{"uniqueItems":true}`, `[` + strings.Join(collisions, ",") + `]`},
		"very many items":     {`{"items":{"type":"string"}}`, `[` + strings.TrimSuffix(strings.Repeat(`1,`, 300_000), ",") + `]`},
	} {
		if name == "within not" {
			c.schema = strings.ReplaceAll(c.schema, `"#/$defs/`, `"#/not/$defs/`)
			c.schema = strings.ReplaceAll(c.schema, `#/not/not/`, `#/not/`)
		}
		s, err := Compile([]byte(c.schema))
		require.NoError(t, err, name)
		steps := NewSteps()
		found := s.Check([]byte(c.value), steps)
		require.NotNil(t, found, name)
		require.Equal(t, Mismatch{"$", TooExpensive}, *found, name)
		require.Equal(t, TooExpensive, s.Check([]byte(`1`), steps).Keyword, "the other events of the webhook have none left")
		require.NotPanics(t, func() { s.Check([]byte(`1`), NewSteps()) }, "the schema is usable for the next webhook: %s", name)
	}
}

func TestAReferenceToItselfEnds(t *testing.T) {
	found := compile(t, `{"$ref":"#"}`).Check([]byte(`1`), NewSteps())
	require.NotNil(t, found)
	require.Equal(t, "$", found.At)
}

func TestAnOrdinaryWebhookIsWithinTheSteps(t *testing.T) {
	s := compile(t, `{"type":"object","required":["id","lines"],"properties":{"id":{"type":"string","pattern":"^ord_[a-z0-9]+$"},
		"lines":{"type":"array","uniqueItems":true,"items":{"type":"object","required":["sku","n"],"additionalProperties":false,
		"properties":{"sku":{"type":"string","maxLength":40},"n":{"type":"integer","minimum":1},"kind":{"enum":["a","b","c"]}}}}}}`)
	lines := make([]string, 200)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"sku":"sku-%d","n":%d,"kind":"b"}`, i, i+1)
	}
	steps := NewSteps()
	require.Nil(t, s.Check([]byte(`{"id":"ord_1","lines":[`+strings.Join(lines, ",")+`]}`), steps))
	require.Greater(t, steps.left, maxSteps/2)
}

// One schema serves many requests.
func TestChecksOfOneSchemaDoNotDisturbEachOther(t *testing.T) {
	s := compile(t, `{"items":{"type":"integer"}}`)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 200 {
				value, want := `[1,2]`, false
				if i%2 == 0 {
					value, want = `[1,"a"]`, true
				}
				if found := s.Check([]byte(value), NewSteps()); (found != nil) != want {
					t.Errorf("%s: %v", value, found)
				}
			}
		})
	}
	all.Wait()
}

func FuzzCheck(f *testing.F) {
	for _, pair := range [][2]string{{`{"properties":{"a":{"$ref":"#"}}}`, `{"a":{"a":1}}`}, {`{"unevaluatedProperties":false,"anyOf":[{"properties":{"a":true}}]}`, `{"a":1,"b":2}`},
		{`{"$dynamicAnchor":"n","items":{"$dynamicRef":"#n"}}`, `[[[1e3]]]`}, {`{"if":{"const":1},"then":false,"else":{"contains":{"multipleOf":0.3}}}`, `[0.9]`}} {
		f.Add([]byte(pair[0]), []byte(pair[1]))
	}
	f.Fuzz(func(t *testing.T, schema, value []byte) {
		s, err := Compile(schema)
		if err != nil {
			var wrong *Mistake
			require.True(t, errors.As(err, &wrong))
			require.NotEmpty(t, wrong.Message)
			return
		}
		if found := s.Check(value, NewSteps()); found == nil {
			require.True(t, json.Valid(value) || json.NewDecoder(strings.NewReader(string(value))).Decode(new(any)) == nil)
		} else {
			require.NotEmpty(t, found.Keyword)
		}
	})
}
