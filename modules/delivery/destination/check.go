package destination

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"integration-gateway/modules/delivery/destination/expression"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// The bounds of a destination's configuration.
const (
	maxHeaders     = 32
	maxHeaderBytes = 4 << 10 // of one value
	maxCredential  = 8 << 10 // of one of its texts
	maxScopes      = 50
	day            = 24 * 60 * 60 * 1000
)

// violations collects the errors in a destination, by field.
type violations []fault.Field

func (m *violations) add(field, format string, args ...any) {
	*m = append(*m, fault.Field{Field: field, Message: fmt.Sprintf(format, args...)})
}

// err is a fault.Invalid with all of them, or nil.
func (m violations) err() error {
	if len(m) == 0 {
		return nil
	}
	return httpapi.Invalid(m)
}

// take applies c to d and returns every violation.
func (s *Store) take(d *Destination, c contract.DestinationConfig) error {
	before := *d
	set(&d.URL, c.URL)
	set(&d.Mode, c.Mode)
	set(&d.Filter, c.Filter)
	set(&d.Transform, c.Transform)
	set(&d.IsActive, c.IsActive)
	set(&d.TracePropagation, c.TracePropagation)
	if c.Headers != nil {
		d.headers = c.Headers
	}
	if c.Auth != nil {
		d.auth = newCredential(*c.Auth)
	}
	var wrong violations
	d.checkURL(&wrong)
	if d.URL != before.URL { // a URL that was allowed before does not block other changes
		s.checkReach("url", d.URL, &wrong)
	}
	d.checkBody(s.lang, &wrong)
	d.checkHeaders(&wrong)
	checkMoved(&before, d, c, &wrong)
	d.auth.check(&wrong)
	if d.auth.TokenURL != before.auth.TokenURL {
		s.checkReach("auth.tokenUrl", d.auth.TokenURL, &wrong)
	}
	switch {
	case c.TLS != nil:
		d.tls = newTLSFiles(*c.TLS)
		d.tls.check(d.URL, s.now(), &wrong)
	case !d.tls.empty() && !overTLS(d.URL):
		wrong.add("url", "must start with https://, because the destination has tls")
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

func (d *Destination) checkURL(wrong *violations) {
	if d.URL == "" {
		wrong.add("url", "is required: the URL that receives the events, such as https://example.com/hooks")
		return
	}
	checkURL("url", d.URL, wrong)
}

// checkURL validates a URL with egress, and replaces the URL in its message by the field.
func checkURL(field, text string, wrong *violations) {
	if err := egress.CheckURL(text); err != nil {
		wrong.add(field, "%s", strings.TrimSuffix(strings.TrimPrefix(fault.As(err).Message, "The URL "), "."))
	}
}

// CheckURL returns what is wrong with a URL to send events to, under the field's name.
func (s *Store) CheckURL(field, text string) []fault.Field {
	var wrong violations
	checkURL(field, text, &wrong)
	s.checkReach(field, text, &wrong)
	return wrong
}

// checkReach rejects a URL that egress never connects to. Other errors in the URL were
// reported before.
func (s *Store) checkReach(field, text string, wrong *violations) {
	if egress.CheckURL(text) != nil {
		return
	}
	switch refusal := s.sender.Refuses(text); refusal {
	case 0:
	case egress.Unknown:
		wrong.add(field, "must have a host name or a full address, such as 203.0.113.7")
	case egress.Denied:
		wrong.add(field, "is denied by EGRESS_DENY; choose another host")
	default:
		wrong.add(field, "leads to a %s, which is refused; choose another host, or have the operator allow it in EGRESS_ALLOW", refusal.String())
	}
}

func (d *Destination) checkBody(l expression.Language, wrong *violations) {
	if d.Mode != contract.ModeCanonical && d.Mode != contract.ModeRaw {
		wrong.add("mode", "must be canonical (the same event format for all providers) or raw (the provider's own body)")
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
		wrong.add("transform", "is not possible in raw mode, which sends the provider's own body; remove the transform, or use the mode canonical")
	}
}

// owned lists the headers that only the gateway or the connection may set.
var owned = []string{
	"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive",
	"proxy-connection", "te", "trailer", "upgrade", "expect", "idempotency-key",
	"x-event-id", "x-correlation-id", "x-idempotency-key", "x-integration-provider",
}

// ownedPrefixes lists prefixes of headers that only the gateway sets.
var ownedPrefixes = []string{"webhook-", "x-gateway-", "proxy-"}

func reserved(name string) bool {
	name = strings.ToLower(name)
	return slices.Contains(owned, name) || slices.ContainsFunc(ownedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

func (d *Destination) checkHeaders(wrong *violations) {
	if len(d.headers) > maxHeaders {
		wrong.add("headers", "must be at most %d", maxHeaders)
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(d.headers)) {
		field, value := "headers."+name, d.headers[name]
		switch lower := strings.ToLower(name); {
		case !httpguts.ValidHeaderFieldName(name):
			wrong.add("headers", "holds %q, which is not a valid header name; use letters, digits and -", Brief(name))
		case reserved(name):
			wrong.add(field, "is set by the gateway; choose another name")
		case seen[lower]:
			wrong.add(field, "is given twice: header names are case-insensitive")
		case lower == "authorization" && d.auth.kind() != authNone:
			wrong.add(field, "is set by auth; omit one of the two")
		case value == "" || len(value) > maxHeaderBytes || !httpguts.ValidHeaderFieldValue(value):
			wrong.add(field, "must have a value of 1 to %d bytes without line breaks", maxHeaderBytes)
		default:
			seen[lower] = true
		}
	}
}

// check rejects missing fields of a credential, and fields of another type.
func (c credential) check(wrong *violations) {
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
			wrong.add(field, "does not belong to the type %s; omit it", c.kind())
		case len(t.value) > maxCredential || !httpguts.ValidHeaderFieldValue(t.value):
			wrong.add(field, "must have at most %d bytes and no line breaks", maxCredential)
		case wanted && t.field == "tokenUrl":
			checkURL(field, t.value, wrong)
		case t.field == "username" && strings.Contains(t.value, ":"):
			wrong.add(field, "must not contain a colon, which ends the name in HTTP Basic")
		}
	}
	if c.kind() != authOAuth && len(c.Scopes) > 0 {
		wrong.add("auth.scopes", "do not belong to the type %s; omit them", c.kind())
	}
	if len(c.Scopes) > maxScopes || slices.ContainsFunc(c.Scopes, func(s string) bool { return s == "" || strings.ContainsAny(s, " \"\\\r\n\t") }) {
		wrong.add("auth.scopes", "must be at most %d names without spaces or quotes", maxScopes)
	}
}

// takePolicy overrides d's policy with p; 0 restores the gateway's default.
func (d *Destination) takePolicy(p contract.DestinationPolicy, wrong *violations) {
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
