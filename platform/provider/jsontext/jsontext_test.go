package jsontext

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheTapeOfABody(t *testing.T) {
	tape := NewTape([]byte(` {"a" : [1, {"b":"\"]}"}, []], "a":true,"\u0063":null} `))
	text := func(i int32, ok bool) string {
		if !ok {
			return ""
		}
		return string(tape.Bytes(i))
	}
	require.Equal(t, "true", text(tape.Member(0, "a")), "the last of two")
	require.Equal(t, "null", text(tape.Member(0, "c")), "a name with an escape")
	require.Empty(t, text(tape.Member(0, "b")), "only its own members")
	var children []string
	for child := range tape.Children(0) {
		children = append(children, string(tape.Bytes(child)))
	}
	require.Equal(t, []string{`[1, {"b":"\"]}"}, []]`, "true", "null"}, children)
	list := NewTape([]byte(`[1, {"b":"\"]}"}, []]`))
	require.Len(t, list.Items(0), 3)
	last, ok := list.Item(0, -1)
	require.True(t, ok)
	require.Equal(t, "[]", string(list.Bytes(last)))
	_, ok = list.Item(0, 3)
	require.False(t, ok)
	_, ok = list.Member(0, "b")
	require.False(t, ok, "a list has no members")
}

func TestHowDeepBracketsNest(t *testing.T) {
	for text, want := range map[string]bool{
		"[[]]": false, "[[[]]]": true, `["[[["]`: false, `["\"[[["]`: false, "[[],[],[]]": false, `{"a":{"b":{}}}`: true, "[[[": true,
	} {
		require.Equal(t, want, DeeperThan([]byte(text), 2), text)
	}
}

// FuzzSkip holds that what is skipped is one value, as a decoder sees it.
func FuzzSkip(f *testing.F) {
	for _, text := range []string{`{"a":[1,"]"]}`, `"\\"`, ` 1.5e3 `, `[[],{}]`, "true"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return
		}
		body := []byte(text + " ,1")
		start := Space(body, 0)
		end := Skip(body, start)
		require.Equal(t, strings.Trim(text, " \t\r\n"), string(body[start:end]))
		Texts([]byte(text), func(string) bool { return true })
	})
}
