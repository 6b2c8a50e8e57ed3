package app

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

const corpusSecretsKey = "a-key-of-the-corpus-that-has-40-characters"

// credentials are the kinds of senders: "admin" also signs webhooks.
var credentials = []string{"none", "wrong", "viewer", "admin"}

// request contains the parts of a probe, so that they can be varied.
type request struct {
	name           string
	route          httpapi.Route
	credential     string
	method, target string
	version        string
	lines          []string // header lines, except for the credential and the length
	contentType    string
	body           string
	unsigned       bool
	malformed      bool                     // net/http may respond instead of the API
	closes         bool                     // the sender closes its side afterwards
	duplicated     string                   // the credential header that is sent twice, in lower case
	corrupt        func(text string) string // changes the text in transit; nil: no change
}

// bodies are valid bodies, by route.
var bodies = map[string]string{
	"POST /webhooks/:source":                              `{"eventId":"evt_1","eventType":"a.b","occurredAt":"2026-01-05T09:00:00Z","subject":"s","data":{"id":"1"}}`,
	"POST /events/:id/replay":                             `{"requestedBy":"corpus","reason":"because of this","destinationId":null,"onlyFailed":false}`,
	"POST /dead-letters/requeue":                          `{"dryRun":true,"source":"acme","kind":"refused","from":"2026-01-05T09:00:00Z","requestedBy":"corpus","reason":"because of this"}`,
	"POST /dead-letters/:id/requeue":                      `{"requestedBy":"corpus","reason":"because of this"}`,
	"POST /quarantine/release":                            `{"source":"acme","reason":"no_match"}`,
	"POST /integrations":                                  `{"source":"made","provider":"acme","name":"n","isActive":false,"secrets":["long-enough-secret"],"rateLimitPerMinute":1,"maxBodyBytes":1000,"options":{},"destinations":[{"url":"https://203.0.113.9/x"}]}`,
	"PATCH /integrations/:id":                             `{"name":"n","isActive":true,"rateLimitPerMinute":600,"maxBodyBytes":100000,"options":{}}`,
	"POST /integrations/apply":                            `{"integrations":[{"source":"acme","name":"n","destinations":[{"url":"https://203.0.113.9/x"}]}],"dryRun":true,"expected":["x"]}`,
	"POST /integrations/:id/secrets":                      `{"value":"long-enough-secret","note":"n","expiresAt":"2100-01-01T00:00:00Z"}`,
	"POST /integrations/:id/rotate-secret":                `{"value":"long-enough-secret","note":"n","expireOldSeconds":60}`,
	"PATCH /integrations/:id/secrets/:secretId":           `{"note":"n"}`,
	"POST /integrations/:id/destinations":                 `{"url":"http://127.0.0.1:9/x","mode":"canonical","filter":"true","headers":{"x-a":"b"},"auth":{"type":"bearer","token":"t"},"timeoutMs":1000,"maxAttempts":3,"concurrency":2,"ratePerSecond":5}`,
	"PATCH /integrations/:id/destinations/:destinationId": `{"filter":"true","timeoutMs":1000,"headers":{"x-a":"b"}}`,
	"POST /api-keys":                                      `{"name":"made","role":"viewer","sources":["acme"],"expiresAt":"2100-01-01T00:00:00Z"}`,
}

// request returns the unmodified request for a route. An administrator deletes only unknown ids,
// because later probes need the records. The others must fail to delete existing ones.
func (c *corpus) request(route httpapi.Route, credential string) request {
	short := strings.TrimPrefix(route.Path, httpapi.Base)
	r := request{name: route.Method + " " + route.Path, route: route, credential: credential, method: route.Method, version: "HTTP/1.1"}
	record := c.ids[strings.Split(strings.TrimPrefix(short, "/"), "/")[0]]
	if record == "" || route.Method == http.MethodDelete && credential == "admin" {
		record = id.New()
	}
	r.target = strings.NewReplacer(":source", "acme", ":provider", "acme", ":id", record,
		":secretId", c.ids["secretId"], ":destinationId", c.ids["destinationId"]).Replace(route.Path)
	if route.Method == http.MethodPost || route.Method == http.MethodPut || route.Method == http.MethodPatch {
		r.contentType, r.body = "application/json", bodies[route.Method+" "+short]
		if r.body == "" {
			r.body = "{}"
		}
	}
	return r
}

// text is the request as it is sent over the wire.
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
	if r.corrupt != nil {
		text = r.corrupt(text)
	}
	return text
}

// authorized reports whether the request may succeed: its route exists, and the sender has
// the role or has signed the request.
func (c *corpus) authorized(r request) bool {
	role, exists := c.roles[r.method+" "+r.route.Path]
	held := map[string]httpapi.Role{"viewer": httpapi.Viewer, "admin": httpapi.Admin}[r.credential]
	credential := "x-internal-api-key"
	if r.method == http.MethodPost && strings.HasSuffix(r.route.Path, "/webhooks/:source") {
		role, credential = httpapi.Admin, "x-acme-signature" // whoever signs may send
	}
	if r.duplicated == credential {
		held = 0
	}
	return exists && held >= role
}

// variation changes a request.
type variation struct {
	name string
	vary func(r *request)
}

// with returns a copy of the request with the variations applied.
func (r request) with(vs ...variation) request {
	for _, v := range vs {
		v.vary(&r)
		r.name += ", " + v.name
	}
	return r
}

// listed returns every variation of every route's request.
func (c *corpus) listed() []request {
	var list []request
	for _, route := range c.routes {
		for _, credential := range credentials {
			plain := c.request(route, credential)
			for _, v := range slices.Concat(pathVariations(plain.target), methods(), headers()) {
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

// combined returns n requests that each combine random variations, some with a changed byte.
func (c *corpus) combined(random *rand.Rand, n int) []request {
	var list []request
	for range n {
		plain := c.request(c.routes[random.IntN(len(c.routes))], credentials[random.IntN(len(credentials))])
		var vs []variation
		for _, kind := range [][]variation{pathVariations(plain.target), methods(), headers(), queries(plain), contents(plain), fields(plain.body)} {
			if len(kind) > 0 && random.IntN(2) == 0 {
				vs = append(vs, kind[random.IntN(len(kind))])
			}
		}
		if random.IntN(4) == 0 {
			vs = append(vs, corrupted(random.IntN(1000), byte(random.IntN(256))))
		}
		p := plain.with(vs...)
		if slices.Contains(p.lines, "Transfer-Encoding: chunked") && !strings.HasSuffix(p.body, "0\r\n\r\n") {
			p.closes = true // otherwise the server waits for the last chunk
		}
		list = append(list, p)
	}
	return list
}

// corrupted changes a byte of the header and closes the connection afterwards, because the length
// may be lost.
func corrupted(at int, to byte) variation {
	return variation{fmt.Sprintf("byte %d is %#x", at, to), func(r *request) {
		r.malformed, r.closes = true, true
		r.corrupt = func(text string) string {
			changed := []byte(text)
			changed[at%strings.Index(text, "\r\n\r\n")] = to
			return string(changed)
		}
	}}
}
