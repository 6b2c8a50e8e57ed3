package provider

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMentions(t *testing.T) {
	mentions := func(body, text string) bool {
		return Mentions(Request{Body: []byte(body)}, func(one string) bool { return one == text }, func(one []byte) bool { return bytes.Contains(one, []byte(text)) })
	}
	for body, want := range map[string]bool{
		`{"who":"ada@example.com","who":"x"}`: true, // the earlier of two of the same name
		`{"by":{"ada@example.com":{"n":1}}}`:  true,
		`[[{"who":"\u0061da@example.com"}]]`:  true,
		`{"who":"mail to ada@example.com"}`:   false,
		`{"who":["x",null,true,1.10]}`:        false,
		`{"who":"mail to ada@example.com"`:    true, // no JSON
	} {
		require.Equal(t, want, mentions(body, "ada@example.com"), body)
	}
	require.True(t, mentions(`{"n":1.10}`, "1.10"), "as it was written")
	require.False(t, mentions(`{"n":1.10}`, "1.1"))
}

func TestARedactionHidesTheEarlierOfTwoMembersToo(t *testing.T) {
	got, ok := Redact(Request{Body: []byte(`{"a":{"b":"one","b":"two"}}`)}, pathsOf(t, "$.a"))
	require.True(t, ok)
	require.Equal(t, []string{"b", "one", "b", "two"}, got.Hidden)
}
