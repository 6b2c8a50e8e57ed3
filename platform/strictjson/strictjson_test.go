package strictjson

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

type common struct {
	Name *string `json:"name"`
}

// shout is text in capitals; it reads itself.
type shout string

func (s *shout) UnmarshalJSON(text []byte) error {
	var plain string
	if err := json.Unmarshal(text, &plain); err != nil {
		return err
	}
	if *s = shout(plain); plain == "quiet" {
		return fault.Invalid.New("quiet", "must be loud")
	}
	return nil
}

type sample struct {
	common
	Count  int                 `json:"count"`
	On     bool                `json:"on"`
	Secret secret.Value        `json:"secret"`
	At     *time.Time          `json:"at"`
	Limit  Nullable[int]       `json:"limit"`
	Until  Nullable[time.Time] `json:"until"`
	Shout  shout               `json:"shout"`
	Items  []struct{ common }  `json:"items"`
	Values map[string]string   `json:"values"`
	Ratio  float64             `json:"ratio"`
	Hidden string              `json:"-"`
}

func TestReadNamesEveryMistakeByItsPath(t *testing.T) {
	cases := []struct {
		name, text string
		want       []fault.Field
	}{
		{"all fields may be left out", `{}`, nil},
		{"a null leaves a value as it is", `{"name":null,"count":null,"items":null,"values":null,"at":null,"secret":null}`, nil},
		{"every kind of value is read", `{"name":"a","count":1,"on":true,"secret":"s","at":"2026-01-31T00:00:00Z","limit":2,"shout":"HEY","items":[{"name":"b"}],"values":{"k":"v"},"ratio":1.5}`, nil},
		{"an unknown field", `{"nmae":"a"}`, []fault.Field{{Field: "nmae", Message: "is not a field of this request; did you mean name?"}}},
		{"names are case-sensitive", `{"Name":"a"}`, []fault.Field{{Field: "Name", Message: "is not a field of this request; did you mean name?"}}},
		{"a field that JSON does not have", `{"Hidden":"a","-":"b"}`, []fault.Field{
			{Field: "-", Message: "is not a field of this request"}, {Field: "Hidden", Message: "is not a field of this request"}}},
		{"a list in place of the object", `[]`, []fault.Field{{Field: "body", Message: "must be an object"}}},
		{"all mistakes at once", `{"name":1,"count":"x","on":"yes","secret":7,"at":"noon","limit":"x","until":"noon","shout":"quiet","values":{"a":1},"ratio":"x"}`, []fault.Field{
			{Field: "at", Message: "must be an RFC 3339 time such as 2026-01-31T00:00:00Z"},
			{Field: "count", Message: "must be a whole number"},
			{Field: "limit", Message: "must be a whole number"},
			{Field: "name", Message: "must be text"},
			{Field: "on", Message: "must be true or false"},
			{Field: "ratio", Message: "must be a number"},
			{Field: "secret", Message: "must be text"},
			{Field: "shout", Message: "must be loud"},
			{Field: "until", Message: "must be an RFC 3339 time such as 2026-01-31T00:00:00Z"},
			{Field: "values.a", Message: "must be text"},
		}},
		{"deep within a list", `{"items":[{"name":"a"},{"name":2},{"x":1},3]}`, []fault.Field{
			{Field: "items[1].name", Message: "must be text"},
			{Field: "items[2].x", Message: "is not a field of this request"},
			{Field: "items[3]", Message: "must be an object"},
		}},
		{"an object in place of a list", `{"items":{},"values":[]}`, []fault.Field{
			{Field: "items", Message: "must be a list"}, {Field: "values", Message: "must be an object"}}},
		{"a fraction is no whole number", `{"count":1.5}`, []fault.Field{{Field: "count", Message: "must be a whole number"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var s sample
			require.Equal(t, c.want, Read([]byte(c.text), &s))
		})
	}
}

func TestReadFillsTheValue(t *testing.T) {
	var s sample
	require.Empty(t, Read([]byte(`{"name":"a","count":3,"on":true,"secret":"hush","at":"2026-01-31T00:00:00Z","items":[{"name":"b"},{}],"values":{"k":"v"},"shout":"HEY"}`), &s))
	require.Equal(t, "a", *s.Name)
	require.Equal(t, 3, s.Count)
	require.True(t, s.On)
	require.Equal(t, "hush", s.Secret.Reveal())
	require.Equal(t, time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), s.At.UTC())
	require.Equal(t, "b", *s.Items[0].Name)
	require.Nil(t, s.Items[1].Name)
	require.Equal(t, map[string]string{"k": "v"}, s.Values)
	require.Equal(t, shout("HEY"), s.Shout)
}

func TestNullableDistinguishesNullFromAbsent(t *testing.T) {
	seven := 7
	for text, want := range map[string]Nullable[int]{
		`{}`: {}, `{"limit":null}`: {Given: true}, `{"limit":7}`: {Given: true, Value: &seven},
	} {
		var s sample
		require.Empty(t, Read([]byte(text), &s))
		require.Equal(t, want, s.Limit, text)
	}
}
