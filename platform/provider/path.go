package provider

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/theory/jsonpath"
	"github.com/theory/jsonpath/spec"

	"integration-gateway/platform/provider/jsontext"
)

// The bounds of a JSON path, and of the work for all paths of one request. The work of an
// accepted path is linear in the body; the bound guards against oversights.
const (
	maxSegments   = 64
	maxFilters    = 3
	maxVisits     = 50_000_000 // values
	maxExpression = 1 << 26    // bytes matched against a regular expression, times its size
)

// work is the remaining budget for the paths of one request.
type work struct{ visits, expressions int }

func newWork() *work { return &work{visits: maxVisits, expressions: maxExpression} }

// Texts in a path's canonical form, which hold no operators.
var quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`)

// costly reports whether the work for a path may grow faster than the body: each .. and each
// list of selectors multiplies the visited values, a filter may do so for every item, and a
// regular expression from the body has any size.
func costly(path *jsonpath.Path) bool {
	text := quotedText.ReplaceAllString(path.String(), "''")
	deep, filters := strings.Count(text, ".."), strings.Count(text, "?")
	return len(path.Query().Segments()) > maxSegments || filters > maxFilters ||
		deep > 1 || deep == 1 && filters > 0 || strings.Count(text, "$") > 1 ||
		listsSelectors(text) || bringsExpressions(text)
}

// listsSelectors reports whether some brackets hold more than one selector. Commas within
// parentheses separate a function's arguments.
func listsSelectors(text string) bool {
	var open []byte
	for i := range len(text) {
		switch c := text[i]; {
		case c == '[' || c == '(':
			open = append(open, c)
		case (c == ']' || c == ')') && len(open) > 0:
			open = open[:len(open)-1]
		case c == ',' && len(open) > 0 && open[len(open)-1] == '[':
			return true
		}
	}
	return false
}

// bringsExpressions reports whether a regular expression is not a literal in the path.
func bringsExpressions(text string) bool {
	for _, function := range []string{"match(", "search("} {
		for rest := text; ; {
			_, after, found := strings.Cut(rest, function)
			if !found {
				break
			}
			if !strings.HasSuffix(strings.TrimSpace(arguments(after)), ", ''") {
				return true
			}
			rest = after
		}
	}
	return false
}

// arguments returns the text up to the closing parenthesis.
func arguments(text string) string {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth < 0 {
				return text[:i]
			}
		}
	}
	return text
}

// located finds the first string or number at a JSON path, as sent.
func located(path *jsonpath.Path) finder {
	text, weight := path.String(), 0
	if strings.Contains(text, "match(") || strings.Contains(text, "search(") {
		weight = len(text)
		if strings.Contains(text, "{") { // a{1000} expands to its full length
			weight = max(weight, 1000)
		}
	}
	return finder{where: text, find: func(in input) token {
		s := search{Tape: in.tape(), work: in.work, weight: weight}
		t, _ := s.find(0, path.Query().Segments())
		return t
	}}
}

// search is the search for one path.
type search struct {
	*jsontext.Tape
	work   *work
	weight int // of the path's regular expressions; 0 if it has none
}

// find returns the first text or number at the rest of a path from the value at i. It stops
// at the first match and allocates nothing for the values it passes.
func (s search) find(i int32, rest []*spec.Segment) (token, bool) {
	if s.work.visits--; s.work.visits < 0 {
		return token{}, true
	}
	if len(rest) == 0 {
		return s.token(i)
	}
	if t, ok := s.selected(i, rest[0].Selectors()[0], rest[1:]); ok {
		return t, true
	}
	if rest[0].IsDescendant() {
		for child := range s.Children(i) {
			if t, ok := s.find(child, rest); ok {
				return t, true
			}
		}
	}
	return token{}, false
}

// selected continues from the children of i that the selector selects.
func (s search) selected(i int32, selector spec.Selector, rest []*spec.Segment) (token, bool) {
	switch one := selector.(type) {
	case spec.Name:
		if child, ok := s.Member(i, string(one)); ok {
			return s.find(child, rest)
		}
	case spec.Index:
		if child, ok := s.Item(i, int(one)); ok {
			return s.find(child, rest)
		}
	case spec.SliceSelector:
		for _, child := range s.Slice(i, one) {
			if t, ok := s.find(child, rest); ok {
				return t, true
			}
		}
	case spec.WildcardSelector:
		for child := range s.Children(i) {
			if t, ok := s.find(child, rest); ok {
				return t, true
			}
		}
	case *spec.FilterSelector:
		for child := range s.Children(i) {
			if !s.passes(one, child) {
				continue
			}
			if t, ok := s.find(child, rest); ok {
				return t, true
			}
		}
	}
	return token{}, false
}

// passes reports whether a filter selects the value at i. It rejects values that the library
// cannot evaluate: a value must not abort the request.
func (s search) passes(filter *spec.FilterSelector, i int32) (ok bool) {
	raw := s.Bytes(i)
	if s.weight > 0 {
		if s.work.expressions -= (len(raw) + 64) * s.weight; s.work.expressions < 0 {
			return false
		}
	}
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return false
	}
	return filter.Eval(value, nil) // no accepted filter refers to the root
}

// token returns the value at i if it is a number or a non-empty text.
func (s search) token(i int32) (token, bool) {
	found := object{"": s.Bytes(i)}.identifier("")
	return found, found.text != ""
}

// expression is an RE2 expression with a bound on its work.
type expression struct {
	*regexp.Regexp
	weight int
}

func (r *reading) expression(field, text string) *expression {
	if len(text) > maxPattern {
		r.wrong(field, "It may have %d characters.", maxPattern)
		return nil
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		reason := err.Error()
		r.wrong(field, "It is not an RE2 expression: %s.", strings.TrimPrefix(reason, "error parsing regexp: "))
		return nil
	}
	e := &expression{compiled, len(text)}
	if strings.Contains(text, "{") { // a{1000} expands to its full length
		e.weight = max(e.weight, 1000)
	}
	return e
}

// first returns the first group of a match, or all of it.
func (e *expression) first(w *work, text string) (string, bool) {
	if len(text) > maxMatched {
		return "", false
	}
	if w.expressions -= (len(text) + 64) * e.weight; w.expressions < 0 {
		return "", false
	}
	groups := e.FindStringSubmatch(text)
	switch {
	case groups == nil:
		return "", false
	case len(groups) > 1:
		return groups[1], true
	}
	return groups[0], true
}
