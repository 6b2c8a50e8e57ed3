package delivery

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"integration-gateway/modules/delivery/expression"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// The bounds of what a destination may be given.
const (
	maxHeaders     = 32
	maxHeaderBytes = 4 << 10 // of one value
	maxCredential  = 8 << 10 // of one of its texts
	maxScopes      = 50
	day            = 24 * 60 * 60 * 1000
)

// mistakes collects what is wrong with a destination, by field.
type mistakes []fault.Field

func (m *mistakes) add(field, format string, args ...any) {
	*m = append(*m, fault.Field{Field: field, Message: fmt.Sprintf(format, args...)})
}

// err is a fault.Invalid with all of them, or nil.
func (m mistakes) err() error {
	if len(m) == 0 {
		return nil
	}
	return httpapi.Invalid(m)
}

// take puts into d what c says, and reports every mistake that d then has.
func (m *Module) take(d *destination, c contract.DestinationConfig) error {
	set(&d.URL, c.URL)
	set(&d.Mode, c.Mode)
	set(&d.Filter, c.Filter)
	set(&d.Transform, c.Transform)
	set(&d.IsActive, c.IsActive)
	if c.Headers != nil {
		d.headers = c.Headers
	}
	if c.Auth != nil {
		d.auth = newCredential(*c.Auth)
	}
	var wrong mistakes
	d.checkURL(&wrong)
	d.checkBody(m.directory.lang, &wrong)
	d.checkHeaders(&wrong)
	d.auth.check(&wrong)
	switch {
	case c.TLS != nil:
		d.tls = newTLSFiles(*c.TLS)
		d.tls.check(d.URL, m.now(), &wrong)
	case !d.tls.empty() && !overTLS(d.URL):
		wrong.add("url", "must start with https://, since the destination has tls")
	}
	if c.Policy != nil {
		d.takePolicy(*c.Policy, &wrong)
	}
	return wrong.err()
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

func (d *destination) checkURL(wrong *mistakes) {
	if d.URL == "" {
		wrong.add("url", "is required: where the events go, such as https://example.com/hooks")
		return
	}
	checkURL("url", d.URL, wrong)
}

// checkURL asks egress, whose sentence starts with the URL; here the field stands there.
func checkURL(field, text string, wrong *mistakes) {
	if err := egress.CheckURL(text); err != nil {
		wrong.add(field, "%s", strings.TrimSuffix(strings.TrimPrefix(fault.As(err).Message, "The URL "), "."))
	}
}

func (d *destination) checkBody(l expression.Language, wrong *mistakes) {
	if d.Mode != contract.ModeCanonical && d.Mode != contract.ModeRaw {
		wrong.add("mode", "must be canonical (the event in one shape for all providers) or raw (the provider's own body)")
	}
	if d.Filter != "" {
		if _, err := l.Filter(d.Filter); err != nil {
			wrong.add("filter", "%s", err)
		}
	}
	if d.Transform != "" {
		if _, err := l.Transform(d.Transform); err != nil {
			wrong.add("transform", "%s", err)
		}
	}
	if d.Mode == contract.ModeRaw && d.Transform != "" {
		wrong.add("transform", "changes the canonical body, and the mode raw sends the provider's as it came; take the transform away, or choose the mode canonical")
	}
}

// owned are the headers that are the gateway's to set, or the connection's.
var owned = []string{
	"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive",
	"proxy-connection", "te", "trailer", "upgrade", "expect", "idempotency-key",
	"x-event-id", "x-correlation-id", "x-integration-provider",
}

// ownedPrefixes start names that are the gateway's.
var ownedPrefixes = []string{"webhook-", "x-gateway-", "proxy-"}

func reserved(name string) bool {
	name = strings.ToLower(name)
	return slices.Contains(owned, name) || slices.ContainsFunc(ownedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

func (d *destination) checkHeaders(wrong *mistakes) {
	if len(d.headers) > maxHeaders {
		wrong.add("headers", "must be at most %d", maxHeaders)
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(d.headers)) {
		field, value := "headers."+name, d.headers[name]
		switch lower := strings.ToLower(name); {
		case !httpguts.ValidHeaderFieldName(name):
			wrong.add("headers", "holds the name %q, which no header can have; use letters, digits and -", brief(name))
		case reserved(name):
			wrong.add(field, "is set by the gateway itself; choose another name")
		case seen[lower]:
			wrong.add(field, "is there twice: names are the same in upper and lower case")
		case lower == "authorization" && d.auth.kind() != authNone:
			wrong.add(field, "is set by auth; leave out the one or the other")
		case value == "" || len(value) > maxHeaderBytes || !httpguts.ValidHeaderFieldValue(value):
			wrong.add(field, "must have a value of 1 to %d bytes without line breaks", maxHeaderBytes)
		default:
			seen[lower] = true
		}
	}
}

// check reports what is missing of a credential, and what does not belong to its type.
func (c credential) check(wrong *mistakes) {
	texts := []struct{ field, value string }{{"username", c.Username}, {"password", c.Password}, {"token", c.Token},
		{"tokenUrl", c.TokenURL}, {"clientId", c.ClientID}, {"clientSecret", c.ClientSecret}}
	needs := map[string][]string{authNone: {}, authBasic: {"username", "password"}, authBearer: {"token"},
		authOAuth: {"tokenUrl", "clientId", "clientSecret"}}
	need, known := needs[c.kind()]
	if !known {
		wrong.add("auth.type", "must be none, basic, bearer or oauth2 (client credentials)")
		return
	}
	for _, t := range texts {
		field := "auth." + t.field
		switch wanted := slices.Contains(need, t.field); {
		case wanted && t.value == "":
			wrong.add(field, "is required with the type %s", c.kind())
		case !wanted && t.value != "":
			wrong.add(field, "does not belong to the type %s; leave it out", c.kind())
		case len(t.value) > maxCredential || !httpguts.ValidHeaderFieldValue(t.value):
			wrong.add(field, "must have at most %d bytes and no line breaks", maxCredential)
		case wanted && t.field == "tokenUrl":
			checkURL(field, t.value, wrong)
		case t.field == "username" && strings.Contains(t.value, ":"):
			wrong.add(field, "must not hold a colon, which ends the name in HTTP Basic")
		}
	}
	if c.kind() != authOAuth && len(c.Scopes) > 0 {
		wrong.add("auth.scopes", "do not belong to the type %s; leave them out", c.kind())
	}
	if len(c.Scopes) > maxScopes || slices.ContainsFunc(c.Scopes, func(s string) bool { return s == "" || strings.ContainsAny(s, " \"\\\r\n\t") }) {
		wrong.add("auth.scopes", "must be at most %d names without blanks or quotes", maxScopes)
	}
}

// takePolicy overrides d's policy by p; a 0 takes the gateway's default again.
func (d *destination) takePolicy(p contract.DestinationPolicy, wrong *mistakes) {
	for _, f := range []struct {
		name      string
		value     *int
		column    **int
		low, high int
	}{
		{"timeoutMs", p.TimeoutMS, &d.TimeoutMS, 100, 10 * 60 * 1000},
		{"maxAttempts", p.MaxAttempts, &d.MaxAttempts, 1, 100},
		{"retryBaseMs", p.RetryBaseMS, &d.RetryBaseMS, 100, day},
		{"retryCapMs", p.RetryCapMS, &d.RetryCapMS, 100, day},
		{"concurrency", p.Concurrency, &d.Concurrency, 1, 1000},
		{"ratePerSecond", p.RatePerSecond, &d.Rate, 1, 10000},
	} {
		switch {
		case f.value == nil:
		case *f.value == 0:
			*f.column = nil
		case *f.value < f.low || *f.value > f.high:
			wrong.add("policy."+f.name, "must be %d to %d, or 0 for the gateway's default", f.low, f.high)
		default:
			*f.column = f.value
		}
	}
	if d.RetryBaseMS != nil && d.RetryCapMS != nil && *d.RetryCapMS < *d.RetryBaseMS {
		wrong.add("policy.retryCapMs", "must not be less than retryBaseMs, %d", *d.RetryBaseMS)
	}
}
