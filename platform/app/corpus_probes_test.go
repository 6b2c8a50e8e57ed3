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
	twice          string                   // the credential's header that comes twice, in lower case
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
	credential := "x-internal-api-key"
	if r.method == http.MethodPost && strings.HasSuffix(r.route.Path, "/webhooks/:source") {
		role, credential = httpapi.Admin, "x-acme-signature" // who signs
	}
	if r.twice == credential {
		held = 0
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
		p := plain.with(vs...)
		if slices.Contains(p.lines, "Transfer-Encoding: chunked") && !strings.HasSuffix(p.body, "0\r\n\r\n") {
			p.ends = true // the last chunk would be waited for
		}
		list = append(list, p)
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
