package app

import (
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"integration-gateway/platform/id"
)

// sorted iterates over a map in key order, so that a seed repeats a run.
func sorted[V any](list map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(list)) {
			if !yield(key, list[key]) {
				return
			}
		}
	}
}

// pathVariations are other ways to write a path. None of them may bypass authorization.
func pathVariations(path string) []variation {
	last := strings.LastIndexByte(path, '/')
	encoded := func(text string) string {
		var b strings.Builder
		for i := range len(text) {
			fmt.Fprintf(&b, "%%%02x", text[i])
		}
		return b.String()
	}
	upper := strings.ToUpper(path)
	list := map[string]string{
		"plain": path, "one letter encoded": path[:last+1] + encoded(path[last+1:last+2]) + path[last+2:], "all encoded": "/" + encoded(path[1:]),
		"encoded twice": path[:last+1] + strings.ReplaceAll(encoded(path[last+1:]), "%", "%25"), "slashes encoded": "/" + strings.ReplaceAll(path[1:], "/", "%2f"),
		"upper case": upper, "mixed case": path[:5] + strings.ToUpper(path[5:]), "absolute": "http://gateway" + path, "absolute of another": "https://other:99" + path,
		"absolute, encoded": "http://gateway/" + encoded(path[1:]), "a double slash before": "/" + path, "a double slash in it": path[:last] + "/" + path[last:],
		"a slash after": path + "/", "an encoded slash after": path + "%2F", "a parameter": path + ";a=b", "an encoded parameter": path + "%3ba=b",
		"a dot": path[:last] + "/." + path[last:], "dots": "/api/v1/health/.." + path, "dots over a public route": "/livez/../" + strings.TrimPrefix(path, "/"),
		"encoded dots": "/api/v1/health/%2e%2e" + path, "dots after": path + "/..", "an encoded dot after": path + "/%2e", "backslash": path[:last+1] + `\` + path[last+1:],
		"encoded backslash": path[:last+1] + "%5c" + path[last+1:], "NUL": path + "%00", "newline": path + "%0d%0aX-A:b", "invalid UTF-8": path + "%ff", "overlong slash": path[:last+1] + "%c0%af" + path[last+1:],
		"space": path + "%20", "plus": path + "+", "fragment": path + "#a", "encoded question": path + "%3fa=b", "suffix": path + ".json", "wildcard": path + "*", "a colon": path + ":x",
		"unicode": path + "%e2%80%ae", "full width": path[:last+1] + "%ef%bd%85" + path[last+2:], "very long": path + "/" + strings.Repeat("a", 4000), "very deep": path + strings.Repeat("/a", 1000),
	}
	var all []variation
	for name, target := range sorted(list) {
		all = append(all, variation{"path: " + name, func(r *request) { r.target = target }})
	}
	for name, target := range sorted(map[string]string{
		"all backslashes": strings.ReplaceAll(path, "/", `\`), "wrong encoding": path + "%zz", "half an encoding": path + "%2", "authority": "gateway:80", "asterisk": "*", "no slash": path[1:], "raw space": path + " x",
		"raw bytes": path + "\xff\xfe", "tab": path + "\ta", "other scheme": "file://" + path, "a user": "http://user:pass@gateway" + path, "empty": "",
	}) {
		all = append(all, variation{"path: " + name, func(r *request) { r.target, r.malformed = target, true }})
	}
	return all
}

// methods are methods to send instead of the route's. Each registered one requires its own role.
func methods() []variation {
	var all []variation
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "FOO"} {
		all = append(all, variation{"method " + method, func(r *request) {
			if method != http.MethodDelete || r.credential != "admin" {
				r.method = method
			}
		}})
	}
	for _, method := range []string{"CONNECT", "G\x00T", "GET\t", ""} {
		all = append(all, variation{fmt.Sprintf("method %q", method), func(r *request) { r.method, r.malformed = method, true }})
	}
	return all
}

// headers are unusual headers. None of them is a credential or removes one.
func headers() []variation {
	var all []variation
	for _, version := range []string{"HTTP/1.0", "HTTP/1.1"} {
		all = append(all, variation{version, func(r *request) { r.version = version }})
	}
	for _, version := range []string{"HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/1.9", "http/1.1", "HTTP/1", ""} {
		all = append(all, variation{"version " + version, func(r *request) { r.version, r.malformed = version, true }})
	}
	for _, line := range []string{
		"X-Original-URL: /api/v1/health", "X-Rewrite-URL: /livez", "X-HTTP-Method-Override: GET", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: unknown, ,::1%eth0",
		"Forwarded: for=127.0.0.1;proto=https", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "X-Correlation-Id: " + strings.Repeat("c", 5000),
		"X-Correlation-Id: %00", "X-Request-Id: ../../etc", "Accept: text/html", "Accept-Encoding: gzip, br", "Range: bytes=0-1", "If-None-Match: *", "Origin: null",
		"Authorization: Bearer x", "Authorization: Basic Og==", "Cookie: x-internal-api-key=1", "Connection: x-internal-api-key", "Content-Encoding: identity",
		"Content-Encoding: br", "Content-Encoding: gzip", "Content-Encoding: gzip, gzip", "X-Empty:", "X-Long: " + strings.Repeat("a", 20_000), "Expect: 100-continue",
		"Upgrade: h2c", "X-Latin: \xe9", "Trailer: x-internal-api-key",
	} {
		all = append(all, variation{fmt.Sprintf("header %.40q", line), func(r *request) { r.lines = append(slices.Clone(r.lines), line) }})
	}
	for _, line := range []string{
		"Content-Length: 5\r\nContent-Length: 6", "Content-Length: -1", "Content-Length: +2", "Content-Length: 99999999999999999999", "Content-Length: 0x10",
		"Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked\r\nContent-Length: 3", "Transfer-Encoding: xchunked", "Transfer-Encoding : chunked",
		"Content-Length: 100000", "Host: a\r\nHost: b", "Host: a b", "Host: \x00", "Expect: 200-nothing", "No colon", "X-Correlation-Id: a\x7fb", ": no name", "X-NUL: a\x00b", "X Space: a", "X-Fold: a\r\n b",
		"X-Bare: a\nb: c", "X-Large: " + strings.Repeat("a", 80_000), strings.Repeat("X-Many: a\r\n", 3000) + "X-Last: a",
	} {
		all = append(all, variation{fmt.Sprintf("header %.40q", line), func(r *request) {
			r.lines, r.malformed = append(slices.Clone(r.lines), line), true
			r.closes = strings.HasPrefix(line, "Content-Length") || strings.HasPrefix(line, "Transfer-Encoding") // otherwise the server waits for more
		}})
	}
	for _, line := range []string{"x-internal-api-key: another", "X-Internal-API-Key:", "x-acme-signature: " + strings.Repeat("ab", 32), "Content-Type: text/plain"} {
		all = append(all, variation{"a second " + line, func(r *request) {
			r.lines = append(slices.Clone(r.lines), line)
			if name, _, _ := strings.Cut(strings.ToLower(line), ":"); r.credential != "none" {
				r.duplicated = name
			}
		}})
	}
	return all
}

// queries are unusual query strings, for lists with every parameter that any list supports.
func queries(plain request) []variation {
	var all []variation
	for _, query := range []string{
		"?", "??", "&&&", "?=&=", "?%zz=1", "?page=1&page=2", "?page=1;pageSize=2", "?x-internal-api-key=" + url.QueryEscape("a"), "?" + strings.Repeat("a=b&", 2000), "?" + strings.Repeat("a", 30_000),
		"?page[]=1", "?cursor=a&page=1", "?__proto__=1", "?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "?sortBy=status&cursor=" + strings.Repeat("A", 400),
	} {
		all = append(all, variation{fmt.Sprintf("query %.30s", query), func(r *request) { r.target += query }})
	}
	if plain.method != http.MethodGet || plain.route.Role == 0 || strings.Contains(plain.route.Path, ":") {
		return all
	}
	values := []string{
		"", "-1", "0", "1.5", "1e9", "99999999999999999999", "abc", "%00", "%ff", "%F0%9F%92%A9", "%", "%25", "_", "'--", "%22%27%5C", "null", "true", "[]", "2026-13-45T99:99:99Z",
		"9999-12-31T23:59:59.999999999%2B14:00", "0000-01-01T00:00:00Z", "yesterday", strings.Repeat("a", 5000), "eyJvIjoibmV3ZXN0IiwidiI6IjEiLCJpIjoiMSJ9", id.New(), strings.ToUpper(id.New()),
		"createdAt", "status", "failed", "acme",
	}
	for _, name := range []string{
		"page", "pageSize", "cursor", "sortBy", "sortOrder", "status", "from", "to", "receivedFrom", "receivedTo", "subject", "provider", "source", "eventType",
		"externalEventId", "correlationId", "eventId", "destinationId", "entityType", "entityId", "action", "kind", "reason", "activeOnly",
	} {
		for _, value := range values {
			all = append(all, variation{"query " + name + "=" + value[:min(len(value), 40)], func(r *request) { r.target += "?" + name + "=" + value }})
		}
	}
	return all
}
