package strictjson

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// either is a text, a list of these, or an object with one.
type either struct {
	Text   string
	List   []either
	Object *plainEither
}

type plainEither struct {
	FirstOf []either `json:"firstOf"`
}

func (e *either) Variable(text []byte) (any, error) {
	switch text[0] {
	case '"':
		return &e.Text, nil
	case '[':
		return &e.List, nil
	case '{':
		return &e.Object, nil
	}
	return nil, errors.New("must be text or a list")
}

func TestValuesOfSeveralKinds(t *testing.T) {
	read := func(text string, read func([]byte, any) []string) (either, []string) {
		var dest struct {
			Value either `json:"theValue"`
		}
		wrong := read([]byte(text), &dest)
		return dest.Value, wrong
	}
	strict := func(text []byte, dest any) (all []string) {
		for _, m := range Read(text, dest) {
			all = append(all, m.Field+" "+m.Message)
		}
		return all
	}
	anyCase := func(text []byte, dest any) (all []string) {
		for _, m := range ReadAnyCase(text, dest) {
			all = append(all, m.Field+" "+m.Message)
		}
		return all
	}
	for _, c := range []struct {
		text  string
		want  either
		wrong []string
	}{
		{`{"theValue":"a"}`, either{Text: "a"}, nil},
		{`{"theValue":["a",["b"]]}`, either{List: []either{{Text: "a"}, {List: []either{{Text: "b"}}}}}, nil},
		{`{"theValue":{"firstOf":["a"]}}`, either{Object: &plainEither{[]either{{Text: "a"}}}}, nil},
		{`{"theValue":null}`, either{}, nil},
	} {
		got, wrong := read(c.text, strict)
		require.Equal(t, c.want, got, c.text)
		require.Empty(t, wrong, c.text)
	}
	for text, want := range map[string][]string{
		`{"theValue":1}`:                   {"theValue must be text or a list"},
		`{"theValue":["a",1]}`:             {"theValue[1] must be text or a list"},
		`{"theValue":{"firstof":[]}}`:      {"theValue.firstof is not a field of this request; did you mean firstOf?"},
		`{"theValue":{"firstOf":["a",1]}}`: {"theValue.firstOf[1] must be text or a list"},
	} {
		_, wrong := read(text, strict)
		require.Equal(t, want, wrong, text)
	}
	got, wrong := read(`{"thevalue":{"firstof":["a"]}}`, anyCase)
	require.Empty(t, wrong)
	require.Equal(t, "a", got.Object.FirstOf[0].Text, "capitals do not matter, at any depth")
	_, wrong = read(`{"thevalue":{"firtsof":["a"]}}`, anyCase)
	require.Equal(t, []string{"thevalue.firtsof is not a field of this request; did you mean firstOf?"}, wrong)
}
