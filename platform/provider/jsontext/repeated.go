package jsontext

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// manyMembers is how many members of an object are compared one by one; from there on they are
// looked up, so that the time is linear whatever the object holds.
const manyMembers = 16

// level is an object or an array that a position is within.
type level struct {
	object bool
	first  int                 // of its names
	name   []byte              // of the current member
	item   int                 // number of the current item
	met    map[string]struct{} // the names, if they are many
}

// Repeated returns the path of the first member whose object has one of the same name before it, and
// whether there is one. Parsers read either the first or the last of them. It is one pass that
// allocates nothing for ordinary bodies; what is not valid JSON has no repeated members.
func Repeated(text []byte) (path string, found bool) {
	var (
		nameRoom  [48][]byte
		levelRoom [12]level
		names     = nameRoom[:0]
		levels    = levelRoom[:0]
	)
	isName := false // the next string is a member's name
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			end := closing(text, i)
			if end < 0 {
				return "", false
			}
			if isName {
				l, name := &levels[len(levels)-1], plainName(text[i+1:end])
				l.name = name
				if l.repeats(names[l.first:], name) {
					return pathOf(levels), true
				}
				names, isName = append(names, name), false
			}
			i = end
		case '{', '[':
			object := text[i] == '{'
			levels, isName = append(levels, level{object: object, first: len(names)}), object
		case '}', ']':
			if len(levels) == 0 {
				return "", false
			}
			names, levels, isName = names[:levels[len(levels)-1].first], levels[:len(levels)-1], false
		case ',':
			if len(levels) > 0 {
				l := &levels[len(levels)-1]
				isName = l.object
				l.item++
			}
		}
	}
	return "", false
}

// repeats reports whether a name is among those of its object.
func (l *level) repeats(names [][]byte, name []byte) bool {
	if l.met != nil {
		_, met := l.met[string(name)]
		l.met[string(name)] = struct{}{}
		return met
	}
	for _, one := range names {
		if string(one) == string(name) {
			return true
		}
	}
	if len(names) == manyMembers {
		l.met = map[string]struct{}{string(name): {}}
		for _, one := range names {
			l.met[string(one)] = struct{}{}
		}
	}
	return false
}

// closing returns the position of the quote that ends the string at i; -1 if there is none.
func closing(text []byte, i int) int {
	for from := i + 1; ; {
		n := bytes.IndexByte(text[from:], '"')
		if n < 0 {
			return -1
		}
		end, slashes := from+n, 0
		for text[end-1-slashes] == '\\' { // the opening quote ends it
			slashes++
		}
		if slashes%2 == 0 {
			return end
		}
		from = end + 1
	}
}

// plainName returns a name as parsers see it.
func plainName(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return raw
	}
	var decoded string
	if json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &decoded) != nil {
		return raw
	}
	return []byte(decoded)
}

// maxShownPath bounds a path that is shown, in bytes.
const maxShownPath = 200

// pathOf is the path of the current position.
func pathOf(levels []level) string {
	path := []byte("$")
	for _, l := range levels {
		if path = l.appendTo(path); len(path) > maxShownPath {
			return string(bytes.ToValidUTF8(path[:maxShownPath], nil)) + "…"
		}
	}
	return string(path)
}

func (l level) appendTo(path []byte) []byte {
	if !l.object {
		path = append(path, '[')
		return append(strconv.AppendInt(path, int64(l.item), 10), ']')
	}
	return AppendName(path, l.name)
}

// AppendName appends the step to a member of an object to a JSON path.
func AppendName(path, name []byte) []byte {
	for i, c := range name {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return append(strconv.AppendQuote(append(path, '['), string(name)), ']')
		}
	}
	if len(name) == 0 {
		return append(path, `[""]`...)
	}
	return append(append(path, '.'), name...)
}
