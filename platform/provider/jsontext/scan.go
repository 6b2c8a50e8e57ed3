// Package jsontext scans the bytes of valid JSON in place. Decoding would change numbers and
// lose all but the last of members with the same name.
package jsontext

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"
)

// Space returns the position after the white space at i.
func Space(text []byte, i int) int {
	for i < len(text) && strings.IndexByte(" \t\r\n", text[i]) >= 0 {
		i++
	}
	return i
}

// EndOfString returns the position after the string at i.
func EndOfString(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// Skip returns the position after the value at i.
func Skip(text []byte, i int) int {
	for depth := 0; ; {
		switch text[i] {
		case '"':
			i = EndOfString(text, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ' ', '\t', '\r', '\n', ',', ':':
			i++
			continue
		default:
			for i < len(text) && strings.IndexByte(" \t\r\n,:]}", text[i]) < 0 {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
}

// Items iterates over the items of an array of valid JSON.
func Items(array []byte) iter.Seq[[]byte] {
	return func(yield func(item []byte) bool) {
		for i := Space(array, 1); array[i] != ']'; {
			end := Skip(array, i)
			if !yield(array[i:end]) {
				return
			}
			if i = Space(array, end); array[i] == ',' {
				i = Space(array, i+1)
			}
		}
	}
}

// Texts yields the texts, numbers and member names of valid JSON in order, until yield
// returns false. Numbers are as written. Of members with the same name all are yielded.
func Texts(raw []byte, yield func(text string) (more bool)) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	for more := true; more; {
		token, err := decoder.Token()
		if err != nil { // the end
			return
		}
		switch one := token.(type) {
		case string:
			more = yield(one)
		case json.Number:
			more = yield(one.String())
		}
	}
}

// DeeperThan reports whether brackets nest deeper than limit. The text need not be valid JSON.
func DeeperThan(text []byte, limit int) bool {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// IsName reports whether raw, a string within valid JSON, is name.
func IsName(raw []byte, name string) bool {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1:len(raw)-1]) == name
	}
	var decoded string
	_ = json.Unmarshal(raw, &decoded) // cannot fail: see above
	return decoded == name
}
