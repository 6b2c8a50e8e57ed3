package destination

import (
	"html"
	"strconv"
	"strings"
	"unicode/utf8"
)

// writing is a way to encode special characters.
type writing int

const (
	inPath  writing = iota // %2F
	inQuery                // the same, and + for a space
	inJSON                 // \/, \u002f, \n
	inHTML                 // &amp;, &#47;
	writings
)

// marks are the characters that start an encoded character, and maxWritten its longest form.
const (
	marks      = `%+\&`
	maxWritten = 10
)

// read decodes the encoded character at the start of a text; size is 0 if there is none.
func (w writing) read(text string) (char string, size int) {
	switch {
	case w == inQuery && text[0] == '+':
		return " ", 1
	case w <= inQuery && text[0] == '%' && len(text) >= 3:
		if n, err := strconv.ParseUint(text[1:3], 16, 8); err == nil {
			return string([]byte{byte(n)}), 3
		}
	case w == inJSON && text[0] == '\\' && len(text) >= 2:
		return fromJSON(text)
	case w == inHTML && text[0] == '&':
		if end := strings.IndexByte(text[:min(len(text), maxWritten)], ';'); end > 0 {
			if plain := html.UnescapeString(text[:end+1]); plain != text[:end+1] && utf8.RuneCountInString(plain) == 1 {
				return plain, end + 1
			}
		}
	}
	return "", 0
}

func fromJSON(text string) (char string, size int) {
	if text[1] == 'u' && len(text) >= 6 {
		if n, err := strconv.ParseUint(text[2:6], 16, 16); err == nil {
			return string(rune(n)), 6
		}
		return "", 0
	}
	if plain, ok := map[byte]string{'n': "\n", 't': "\t", 'r': "\r", 'b': "\b", 'f': "\f"}[text[1]]; ok {
		return plain, 2
	}
	return text[1:2], 2
}

// broken reports whether a text ends within an encoded character.
func (w writing) broken(text string) bool {
	return len(text) < maxWritten && text[0] == `%%\&`[w] && strings.IndexByte(text, ';') < 0
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'F' {
		return c + 'a' - 'A'
	}
	return c
}
