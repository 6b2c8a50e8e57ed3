package app

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// contents are bodies and content types that a route does not expect.
func contents(plain request) []variation {
	body := plain.body
	if body == "" {
		body = `{"a":1}`
	}
	inner := strings.TrimSuffix(body, "}")
	var all []variation
	for name, text := range sorted(map[string]string{
		"empty": "", "a space": " ", "null": "null", "a number": "1", "a string": `"a"`, "an array": "[" + body + "]", "an empty array": "[]", "an empty object": "{}",
		"garbage": "\x89PNG\r\n\x1a\n\x00\x00", "HTML": "<html>", "a form": "a=b&payload=%7B%7D", "truncated": body[:len(body)/2], "twice": body + body, "followed by garbage": body + " x",
		"byte-order mark": "\xef\xbb\xbf" + body, "UTF-16": "\xff\xfe{\x00}\x00", "NUL before": "\x00" + body, "NUL in it": inner + `,"n` + "\x00" + `":1}`, "escaped NUL": inner + `,"n":"\u0000"}`,
		"invalid UTF-8": inner + `,"n":"` + "\xc3\x28" + `"}`, "half a surrogate": inner + `,"n":"\ud800"}`, "a duplicate key": inner + `,"eventId":"b","name":"x","reason":"another one"}`,
		"__proto__": inner + `,"__proto__":{"a":1},"constructor":1}`, "a large number": inner + `,"n":1e400}`, "an exact number": inner + `,"n":123456789012345678901234567890.10}`,
		"a key in upper case": strings.ToUpper(body), "an unknown key": inner + `,"unknown":[{}]}`, "an empty key": inner + `,"":1}`, "a comment": "/* a */" + body, "single quotes": strings.ReplaceAll(body, `"`, "'"),
		"trailing comma": inner + ",}", "NaN": inner + `,"n":NaN}`, "deep arrays": strings.Repeat("[", 100_000), "deep objects": inner + `,"n":` + strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_001),
		"within the depth": inner + `,"n":` + strings.Repeat("[", 900) + strings.Repeat("]", 900) + "}", "many keys": inner + manyKeys() + "}", "a long string": inner + `,"n":"` + strings.Repeat("a", 300_000) + `"}`,
	}) {
		all = append(all, variation{"body: " + name, func(r *request) { r.body = text }})
	}
	if strings.HasSuffix(plain.route.Path, "/webhooks/:source") {
		for name, text := range sorted(map[string]string{"too long": inner + strings.Repeat(" ", 5<<20) + "}", "a bomb": bomb()}) {
			all = append(all, variation{"body: " + name, func(r *request) { r.body = text }})
		}
		all = append(all, variation{"body: a compressed bomb", func(r *request) { r.body, r.lines = bomb(), []string{"Content-Encoding: gzip"} }})
	}
	for _, kind := range []string{
		"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=utf-8", "application/json; charset=utf-16", "application/json;charset",
		"application/JSON", "application/json, text/html", "application/vnd.api+json", "*/*", "application/", ";", "a/b; c=\"", strings.Repeat("a", 10_000) + "/json",
	} {
		all = append(all, variation{fmt.Sprintf("content-type %.40q", kind), func(r *request) { r.contentType = kind }})
	}
	return append(all, variation{"body in chunks", func(r *request) {
		r.lines = append(slices.Clone(r.lines), "Transfer-Encoding: chunked")
		r.body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(r.body), r.body)
		r.unsigned = true
	}})
}

// manyKeys contains enough members of an object to slow down a naive hash table.
var manyKeys = sync.OnceValue(func() string {
	var b strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, `,"k%d":%d`, i, i)
	}
	return b.String()
})

// bomb is 64 MiB in 64 KiB.
var bomb = sync.OnceValue(func() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = w.Write(zeros)
	}
	_ = w.Close()
	return b.String()
})

// fields puts unusual values into every field of a valid body, at every depth.
func fields(body string) []variation {
	var whole any
	if json.Unmarshal([]byte(body), &whole) != nil {
		return nil
	}
	unusual := []string{
		"null", "true", "0", "-1", "1.5", "1e400", "12345678901234567890", `""`, `" "`, `"\u0000"`, `"\ud800"`, `"a\u202eb"`, `"` + strings.Repeat("a", 5000) + `"`, `[]`, `[null]`, `{}`, `{"":{}}`,
		`[["a"]]`, `"9999999-01-01T00:00:00Z"`, `"http://[::1%25a]:99999/"`, `"javascript:a"`, `"((((("`, `"admin"`, `"%00"`, `"` + strings.Repeat("é", 2000) + `"`,
	}
	var all []variation
	var walk func(at []any, value any)
	walk = func(at []any, value any) {
		if len(at) > 0 {
			for _, text := range unusual {
				changed, _ := json.Marshal(replaced(whole, at, json.RawMessage(text)))
				all = append(all, variation{fmt.Sprintf("field %v = %.30s", at, text), func(r *request) { r.body = string(changed) }})
			}
		}
		switch inner := value.(type) {
		case map[string]any:
			for key := range sorted(inner) {
				walk(append(slices.Clone(at), key), inner[key])
			}
		case []any:
			for i := range inner {
				walk(append(slices.Clone(at), i), inner[i])
			}
		}
	}
	walk(nil, whole)
	return all
}

// replaced returns a copy of value with other at the path of keys and indexes.
func replaced(value any, path []any, other any) any {
	if len(path) == 0 {
		return other
	}
	switch inner := value.(type) {
	case map[string]any:
		changed := map[string]any{}
		for key := range inner {
			changed[key] = inner[key]
		}
		changed[path[0].(string)] = replaced(inner[path[0].(string)], path[1:], other)
		return changed
	case []any:
		changed := slices.Clone(inner)
		changed[path[0].(int)] = replaced(inner[path[0].(int)], path[1:], other)
		return changed
	}
	return value
}
