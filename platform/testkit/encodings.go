package testkit

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
)

// Encodings are the ways in which a response may encode a text that it echoes.
var Encodings = map[string]func(text string) string{
	"unchanged":                          func(s string) string { return s },
	"in a URL":                           url.QueryEscape,
	"in a path":                          url.PathEscape,
	"in a URL, every byte":               func(s string) string { return percent(s, "%%%02X") },
	"in a URL, every byte in lower case": func(s string) string { return percent(s, "%%%02x") },
	"in JSON":                            func(s string) string { text, _ := json.Marshal(s); return string(text[1 : len(text)-1]) },
	"in JSON, every byte":                func(s string) string { return percent(s, `\u%04x`) },
	"in PHP's JSON": func(s string) string {
		text, _ := json.Marshal(s)
		return strings.ReplaceAll(string(text[1:len(text)-1]), "/", `\/`)
	},
	"in HTML":                   html.EscapeString,
	"in HTML, by number":        func(s string) string { return percent(s, "&#%d;") },
	"in hexadecimal":            func(s string) string { return hex.EncodeToString([]byte(s)) },
	"in upper-case hexadecimal": func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"in base64":                 func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"in base64, offset 1":       func(s string) string { return base64.StdEncoding.EncodeToString([]byte("x" + s + "yz")) },
	"in base64, offset 2":       func(s string) string { return base64.StdEncoding.EncodeToString([]byte("xy" + s + "z")) },
	"in URL-safe base64":        func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("x" + s)) },
	"in base64 in a URL":        func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s))) },
	"in base64 in PHP's JSON": func(s string) string {
		return strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte(s)), "/", `\/`)
	},
}

func percent(s, format string) string {
	var out strings.Builder
	for _, c := range []byte(s) {
		_, _ = fmt.Fprintf(&out, format, c)
	}
	return out.String()
}
