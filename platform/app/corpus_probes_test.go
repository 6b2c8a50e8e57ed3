package app

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

const corpusSecretsKey = "a-key-of-the-corpus-that-has-40-characters"

// credentials are who sends: "admin" also signs webhooks.
var credentials = []string{"none", "wrong", "viewer", "admin"}

// request is a probe in its parts, to be varied.
type request struct {
	name           string
	route          httpapi.Route
	credential     string
	method, target string
	version        string
	lines          []string // of the header, beside the credential's and the length
	contentType    string
	body           string
	unsigned       bool
	malformed      bool                     // net/http may answer in the API's place
	ends           bool                     // the sender closes its side afterwards
	damage         func(text string) string // what happens to it on its way; nil: nothing
}

// bodies are well-formed ones, by route, for who may send them.
var bodies = map[string]string{
	"POST /webhooks/:source":                              `{"eventId":"evt_1","eventType":"a.b","occurredAt":"2026-01-05T09:00:00Z","subject":"s","data":{"id":"1"}}`,
	"POST /events/:id/replay":                             `{"requestedBy":"corpus","reason":"because of this","destinationId":null,"onlyFailed":false}`,
	"POST /dead-letters/requeue":                          `{"dryRun":true,"source":"acme","kind":"refused","from":"2026-01-05T09:00:00Z","requestedBy":"corpus","reason":"because of this"}`,
	"POST /dead-letters/:id/requeue":                      `{"requestedBy":"corpus","reason":"because of this"}`,
	"POST /quarantine/release":                            `{"source":"acme","reason":"no_match"}`,
	"POST /integrations":                                  `{"source":"made","provider":"acme","name":"n","isActive":false,"secrets":["long-enough-secret"],"rateLimitPerMinute":1,"maxBodyBytes":1000,"options":{},"destinations":[{"url":"https://203.0.113.9/x"}]}`,
	"PATCH /integrations/:id":                             `{"name":"n","isActive":true,"rateLimitPerMinute":600,"maxBodyBytes":100000,"options":{}}`,
	"POST /integrations/:id/secrets":                      `{"value":"long-enough-secret","note":"n","expiresAt":"2100-01-01T00:00:00Z"}`,
	"PATCH /integrations/:id/secrets/:secretId":           `{"note":"n"}`,
	"POST /integrations/:id/destinations":                 `{"url":"http://127.0.0.1:9/x","mode":"canonical","filter":"true","headers":{"x-a":"b"},"auth":{"type":"bearer","token":"t"},"timeoutMs":1000,"maxAttempts":3,"concurrency":2,"ratePerSecond":5}`,
	"PATCH /integrations/:id/destinations/:destinationId": `{"filter":"true","timeoutMs":1000,"headers":{"x-a":"b"}}`,
	"POST /api-keys":                                      `{"name":"made","role":"viewer","sources":["acme"],"expiresAt":"2100-01-01T00:00:00Z"}`,
}

// request makes the plain one for a route. An administrator deletes nothing that is
// there, since the probes that follow need it; the others are to fail at that.
func (c *corpus) request(route httpapi.Route, credential string) request {
	short := strings.TrimPrefix(route.Path, httpapi.Base)
	r := request{name: route.Method + " " + route.Path, route: route, credential: credential, method: route.Method, version: "HTTP/1.1"}
	record := c.ids[strings.Split(strings.TrimPrefix(short, "/"), "/")[0]]
	if record == "" || route.Method == http.MethodDelete && credential == "admin" {
		record = id.New()
	}
	r.target = strings.NewReplacer(":source", "acme", ":provider", "acme", ":id", record,
		":secretId", c.ids["secretId"], ":destinationId", c.ids["destinationId"]).Replace(route.Path)
	if route.Method == http.MethodPost || route.Method == http.MethodPatch {
		r.contentType, r.body = "application/json", bodies[route.Method+" "+short]
		if r.body == "" {
			r.body = "{}"
		}
	}
	return r
}

// text is the request as it goes over the wire.
func (c *corpus) text(r request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\n", r.method, r.target, r.version)
	if !slices.ContainsFunc(r.lines, func(line string) bool { return strings.HasPrefix(strings.ToLower(line), "host") }) {
		b.WriteString("Host: gateway\r\n")
	}
	switch r.credential {
	case "wrong":
		b.WriteString("x-internal-api-key: igk_" + strings.Repeat("wrong", 9) + "\r\nx-acme-signature: " + strings.Repeat("0a", 32) + "\r\n")
	case "viewer", "admin":
		b.WriteString("x-internal-api-key: " + c.keys[r.credential] + "\r\n")
	}
	if r.credential == "admin" && !r.unsigned {
		mac := hmac.New(sha256.New, []byte("a-long-secret"))
		mac.Write([]byte(r.body))
		b.WriteString("x-acme-signature: " + hex.EncodeToString(mac.Sum(nil)) + "\r\n")
	}
	if r.contentType != "" {
		b.WriteString("Content-Type: " + r.contentType + "\r\n")
	}
	if !slices.ContainsFunc(r.lines, func(line string) bool {
		return strings.HasPrefix(strings.ToLower(line), "content-length") || strings.HasPrefix(strings.ToLower(line), "transfer-encoding")
	}) && (r.body != "" || r.contentType != "") {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	for _, line := range r.lines {
		b.WriteString(line + "\r\n")
	}
	text := b.String() + "\r\n" + r.body
	if r.damage != nil {
		text = r.damage(text)
	}
	return text
}

// entitled says whether the request may succeed: its route is there, and who sends it has
// the role, or has signed.
func (c *corpus) entitled(r request) bool {
	role, there := c.roles[r.method+" "+r.route.Path]
	held := map[string]httpapi.Role{"viewer": httpapi.Viewer, "admin": httpapi.Admin}[r.credential]
	if r.method == http.MethodPost && strings.HasSuffix(r.route.Path, "/webhooks/:source") {
		role = httpapi.Admin // who signs
	}
	return there && held >= role
}

// variation makes another request of the plain one.
type variation struct {
	name string
	vary func(r *request)
}

// with gives the request, varied.
func (r request) with(vs ...variation) request {
	for _, v := range vs {
		v.vary(&r)
		r.name += ", " + v.name
	}
	return r
}

// listed is every variation of every route's request.
func (c *corpus) listed() []request {
	var list []request
	for _, route := range c.routes {
		for _, credential := range credentials {
			plain := c.request(route, credential)
			for _, v := range slices.Concat(spellings(plain.target), methods(), headers()) {
				list = append(list, plain.with(v))
			}
		}
		plain := c.request(route, "admin")
		for _, v := range slices.Concat(queries(plain), contents(plain), fields(plain.body)) {
			list = append(list, plain.with(v))
		}
	}
	return list
}

// combined puts variations of each kind together, and sometimes changes a byte.
func (c *corpus) combined(chance *rand.Rand, n int) []request {
	var list []request
	for range n {
		plain := c.request(c.routes[chance.IntN(len(c.routes))], credentials[chance.IntN(len(credentials))])
		var vs []variation
		for _, kind := range [][]variation{spellings(plain.target), methods(), headers(), queries(plain), contents(plain), fields(plain.body)} {
			if len(kind) > 0 && chance.IntN(2) == 0 {
				vs = append(vs, kind[chance.IntN(len(kind))])
			}
		}
		if chance.IntN(4) == 0 {
			vs = append(vs, damaged(chance.IntN(1000), byte(chance.IntN(256))))
		}
		list = append(list, plain.with(vs...))
	}
	return list
}

// damaged changes a byte of the header, and closes after it: what was a length may be none.
func damaged(at int, to byte) variation {
	return variation{fmt.Sprintf("byte %d is %#x", at, to), func(r *request) {
		r.malformed, r.ends = true, true
		r.damage = func(text string) string {
			changed := []byte(text)
			changed[at%strings.Index(text, "\r\n\r\n")] = to
			return string(changed)
		}
	}}
}

// inOrder goes through a map in the order of its keys, so that a seed repeats a run.
func inOrder[V any](list map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(list)) {
			if !yield(key, list[key]) {
				return
			}
		}
	}
}

// spellings are other ways to write a path, of which none may be a way in.
func spellings(path string) []variation {
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
		"encoded backslash": path[:last+1] + "%5c" + path[last+1:], "NUL": path + "%00", "newline": path + "%0d%0aX-A:b", "no UTF-8": path + "%ff", "overlong slash": path[:last+1] + "%c0%af" + path[last+1:],
		"space": path + "%20", "plus": path + "+", "fragment": path + "#a", "encoded question": path + "%3fa=b", "suffix": path + ".json", "wildcard": path + "*", "a colon": path + ":x",
		"unicode": path + "%e2%80%ae", "full width": path[:last+1] + "%ef%bd%85" + path[last+2:], "very long": path + "/" + strings.Repeat("a", 4000), "very deep": path + strings.Repeat("/a", 1000),
	}
	var all []variation
	for name, target := range inOrder(list) {
		all = append(all, variation{"path: " + name, func(r *request) { r.target = target }})
	}
	for name, target := range inOrder(map[string]string{
		"all backslashes": strings.ReplaceAll(path, "/", `\`), "wrong encoding": path + "%zz", "half an encoding": path + "%2", "authority": "gateway:80", "asterisk": "*", "no slash": path[1:], "raw space": path + " x",
		"raw bytes": path + "\xff\xfe", "tab": path + "\ta", "other scheme": "file://" + path, "a user": "http://user:pass@gateway" + path, "empty": "",
	}) {
		all = append(all, variation{"path: " + name, func(r *request) { r.target, r.malformed = target, true }})
	}
	return all
}

// methods are others than the route's; a registered one asks for its own role.
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

// headers are odd ones: none of them is a credential or takes one away.
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
			r.ends = strings.HasPrefix(line, "Content-Length") || strings.HasPrefix(line, "Transfer-Encoding") // more is waited for than comes
		}})
	}
	for _, twice := range []string{"x-internal-api-key: another", "X-Internal-API-Key:", "x-acme-signature: " + strings.Repeat("ab", 32), "Content-Type: text/plain"} {
		all = append(all, variation{"a second " + twice, func(r *request) { r.lines = append(slices.Clone(r.lines), twice) }})
	}
	return all
}

// queries are odd ones, for lists of every parameter that one of them knows.
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
