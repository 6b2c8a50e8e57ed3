package provider

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
)

func TestEventsAreCheckedAgainstTheSchemaOfTheirType(t *testing.T) {
	text := func(s string) json.RawMessage { return json.RawMessage(s) }
	s, err := Builtin().Configure("generic", Options{
		Generic: &Definition{Proof: Proof{Scheme: "token", Signature: SignatureDefinition{Header: "X"}}, Event: EventDefinition{Type: At("$.t"), Items: Items{Each: true}}},
		Schemas: []EventSchema{
			{EventType: "a", Schema: text(`{"required":["n"]}`)},
			{EventType: "b", Schema: text(`{"properties":{"n":{"maximum":3}}}`), OnMismatch: "quarantine"},
		},
	})
	require.NoError(t, err)
	for body, want := range map[string]*Mismatch{
		`{"t":"a","n":1}`:                           nil,
		`{"t":"c"}`:                                 nil, // no schema is for it
		`{"t":"a"}`:                                 {1, "$.data", "required", false},
		`[{"t":"a","n":1},{"t":"b","n":4}]`:         {2, "$.data.n", "maximum", true},
		`[{"t":"a"},{"t":"a"},{"t":"b","n":4}]`:     {3, "$.data.n", "maximum", true}, // what goes to quarantine counts first
		`[{"t":"c"},{"t":"a"},{"t":"b"},{"t":"a"}]`: {2, "$.data", "required", false},
	} {
		events, err := s.Normalize(Request{Header: http.Header{}, Body: []byte(body)})
		require.NoError(t, err)
		require.Equal(t, want, s.Mismatches(events), body)
	}
	none, err := Builtin().Configure("acme", Options{})
	require.NoError(t, err)
	require.Nil(t, none.Mismatches([]Event{{Type: "a", Payload: []byte(`{}`)}}))
}

func TestTheMistakesOfSchemasNameTheOption(t *testing.T) {
	valid := json.RawMessage(`true`)
	many := make([]EventSchema, maxEventSchemas+1)
	for i := range many {
		many[i] = EventSchema{EventType: strings.Repeat("a", i+1), Schema: valid}
	}
	for _, c := range []struct {
		schemas []EventSchema
		field   string
		says    string
	}{
		{[]EventSchema{{Schema: valid}, {EventType: "a"}}, "options.schemas[1].schema", "required"},
		{[]EventSchema{{Schema: json.RawMessage(`{"properties":{"a":{"type":"no"}}}`)}}, "options.schemas[0].schema", "At /properties/a/type"},
		{[]EventSchema{{Schema: json.RawMessage(`{"$ref":"https://example.com/s"}`)}}, "options.schemas[0].schema", "is elsewhere"},
		{[]EventSchema{{Schema: valid, OnMismatch: "refuse"}}, "options.schemas[0].onMismatch", "mark or quarantine"},
		{[]EventSchema{{Schema: valid, OnMismatch: "ignore"}}, "options.schemas[0].onMismatch", "mark or quarantine"},
		{[]EventSchema{{Schema: valid}, {Schema: valid}}, "options.schemas[1].eventType", "Another schema"},
		{many, "options.schemas", "at most 32"},
	} {
		_, err := Builtin().Configure("acme", Options{Schemas: c.schemas})
		require.Error(t, err, c.field)
		require.Equal(t, c.field, fault.As(err).Fields[0].Field)
		require.ErrorContains(t, err, c.says)
	}
}

// Options that say the same are the same text, whatever the order of a schema's members.
func TestASchemaIsWrittenInOrder(t *testing.T) {
	var one, other EventSchema
	require.NoError(t, json.Unmarshal([]byte(`{"schema": {"type":"object","maximum":12345678901234567890, "$defs":{"b":1,"a":2}}}`), &one))
	require.NoError(t, json.Unmarshal([]byte(`{"schema":{"$defs":{"a":2,"b":1},"maximum":12345678901234567890,"type":"object"}}`), &other))
	first, err := json.Marshal(one)
	require.NoError(t, err)
	second, err := json.Marshal(other)
	require.NoError(t, err)
	require.Equal(t, string(second), string(first))
	require.Contains(t, string(first), "12345678901234567890")
}
