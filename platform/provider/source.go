package provider

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider/redaction"
	"integration-gateway/platform/secret"
)

// Source is an integration as ingestion sees it: how to verify, read and store its
// webhooks. It is shared and immutable.
type Source struct {
	IntegrationID string
	Name          string
	Disabled      bool // it accepts nothing; what verifies is kept in quarantine
	Spec          Spec // with the integration's options
	Redaction     redaction.Paths
	Secrets       []Secret // active ones, including expired ones; see SecretsAt
	SafeHeaders   []string // the headers that the provider is known to send, without credentials
	RateLimit     *int     // nil for the configured default
	MaxBodyBytes  *int64   // nil for the configured default
}

// NoSource refuses a request to a source that does not exist, or that is disabled and did not
// verify the request: strangers cannot tell the two apart.
func NoSource() error {
	return fault.NotFound.New("unknown_source", "There is no active source of this name.")
}

// SecretsAt returns the secrets that are valid at that time, so that a secret stops working
// when it expires, even while the source is cached.
func (s *Source) SecretsAt(at time.Time) []Secret {
	over := func(one Secret) bool { return !one.ExpiresAt.IsZero() && !at.Before(one.ExpiresAt) }
	if !slices.ContainsFunc(s.Secrets, over) {
		return s.Secrets
	}
	return slices.DeleteFunc(slices.Clone(s.Secrets), over)
}

// Newest reports whether a secret is the one that was added last. Ids are in the order in
// which secrets were added.
func (s *Source) Newest(secretID string) bool {
	return !slices.ContainsFunc(s.Secrets, func(one Secret) bool { return one.ID > secretID })
}

// MaxSourceName is the greatest length of a source's name.
const MaxSourceName = 64

// ValidSourceName reports whether name is valid for a source: a letter or digit, then
// letters, digits, - and _, all in lower case, at most MaxSourceName in all.
func ValidSourceName(name string) bool {
	if name == "" || len(name) > MaxSourceName {
		return false
	}
	for i, b := range []byte(name) {
		letter := b >= 'a' && b <= 'z' || b >= '0' && b <= '9'
		if !letter && (i == 0 || b != '-' && b != '_') {
			return false
		}
	}
	return true
}

// Purpose is what a secret is for. A secret of one purpose never serves another: whoever sees
// a token that is sent verbatim must not be able to sign with it.
type Purpose string

// The purposes of secrets.
const (
	Signing   Purpose = "signing"   // signatures
	Token     Purpose = "token"     // sent verbatim with each webhook
	Challenge Purpose = "challenge" // shown in the request that checks the address
)

// of returns the secrets of a purpose.
func of(purpose Purpose, secrets []Secret) []Secret {
	other := func(s Secret) bool { return s.Purpose != purpose && (s.Purpose != "" || purpose == Challenge) }
	if !slices.ContainsFunc(secrets, other) {
		return secrets
	}
	return slices.DeleteFunc(slices.Clone(secrets), other)
}

// proving returns the secrets that a verifier may try. One that tries several others leaves
// the choice to them.
func proving(v Verifier, secrets []Secret) []Secret {
	switch v := v.(type) {
	case Certificates:
		if v != nil {
			return nil
		}
	case AnyOf, AllOf:
		return secrets
	case SharedToken, BasicAuth:
		return of(Token, secrets)
	case Addresses:
		return nil
	}
	return of(Signing, secrets)
}

// signsWithSecret reports whether the integration's secret is the key with which requests are signed.
func signsWithSecret(v Verifier) bool {
	switch v.(type) {
	case HMAC, sharedJWT:
		return true
	}
	return false
}

// PurposeOf returns what a secret of the provider is for if nothing else is said: what its
// webhooks are proved with. Where that may be a signature or a token, it is a signature, unless
// secrets of signatures say what they are, as those of Standard Webhooks do.
func (s Spec) PurposeOf(v secret.Value) Purpose {
	several, _ := s.Verify.(AnyOf)
	says := slices.ContainsFunc(several, func(v Verifier) bool { _, standard := v.(Standard); return standard })
	if !s.Uses(Signing) || says && s.Uses(Token) && !strings.HasPrefix(v.Reveal(), sharedKey) {
		return Token
	}
	return Signing
}

// Several reports whether any of several proofs is enough.
func (s Spec) Several() bool {
	several, is := s.Verify.(AnyOf)
	return is && len(several) > 1
}

// Uses reports whether anything of the provider uses secrets of a purpose.
func (s Spec) Uses(purpose Purpose) bool {
	if purpose == Challenge {
		return s.Challenge != nil || s.Preflight != nil
	}
	verifiers := []Verifier{s.Verify}
	switch several := s.Verify.(type) {
	case AnyOf:
		verifiers = several
	case AllOf:
		verifiers = several
	}
	return slices.ContainsFunc(verifiers, func(v Verifier) bool { return len(proving(v, []Secret{{Purpose: purpose}})) > 0 })
}

// Takes reports whether webhooks come with a method.
func (s Spec) Takes(method string) bool {
	return slices.Contains(s.Methods, method) || s.Methods == nil && method == http.MethodPost
}

// Allowed lists the methods that anything is sent with, those of webhooks first.
func (s Spec) Allowed() (webhooks, all []string) {
	if webhooks = s.Methods; webhooks == nil {
		webhooks = []string{http.MethodPost}
	}
	all = slices.Clone(webhooks)
	for _, other := range []struct {
		is     bool
		method string
	}{{s.Challenge != nil, http.MethodGet}, {s.Probes, http.MethodHead}, {s.Preflight != nil, http.MethodOptions}} {
		if other.is {
			all = append(all, other.method)
		}
	}
	return webhooks, all
}

// StoredMethod returns the method of a webhook that is stored, which is not stored with it; known is
// false if it may be one of several and the mapping reads it.
func (s Spec) StoredMethod() (method string, known bool) {
	webhooks, _ := s.Allowed()
	return webhooks[0], !s.mapsMethod
}

// StoredURL returns a URL as it may be stored: of its query and of the path after the source,
// which may hold a credential, what is read, unless it is a token. All else of it stays if it is
// signed.
func (s Spec) StoredURL(address string) string {
	start, query, found := strings.Cut(address, "?")
	start = s.storedPath(start)
	if !found {
		return start
	}
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(part string) bool {
		text, _, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(text)
		if s.SignsURL {
			return err == nil && slices.Contains(s.QueryTokens, name)
		}
		return err != nil || !slices.Contains(s.Query, name)
	})
	if len(kept) == 0 {
		return start
	}
	return start + "?" + strings.Join(kept, "&")
}

// QueryToken returns a token of the URL, if it is given once.
func QueryToken(address, name string) (string, bool) { return queryOf(Request{URL: address}, name) }

// WithQuery returns the URL with one more parameter.
func WithQuery(address, name, value string) string {
	req := Request{URL: address}
	spot{kind: inQuery, name: name}.write(&req, value)
	return req.URL
}

// Segments are those of the URL's path after the source, from 1, that a definition reads. Tokens
// are the ones of them that are never stored.
type Segments struct{ Read, Tokens []int }

// MaxSegments is how many segments a webhook's address may have after its source.
const MaxSegments = 2

// Most returns how many segments an address may have; 0 if the definition reads none.
func (s Segments) Most() int { return slices.Max(append([]int{0}, s.Read...)) }

// webhooksPath is what is before the source in the path of a webhook's address.
const webhooksPath = "/api/v1/webhooks/"

// splitPath returns a webhook's address up to the slash after its source, and the segments behind,
// as they are spelled; nil if there are none.
func splitPath(address string) (base string, segments []string) {
	address, _, _ = strings.Cut(address, "?")
	at := strings.Index(address, webhooksPath)
	if at < 0 {
		return address, nil
	}
	_, tail, found := strings.Cut(address[at+len(webhooksPath):], "/")
	if !found || tail == "" {
		return strings.TrimSuffix(address, "/") + "/", nil
	}
	return address[:len(address)-len(tail)], strings.Split(tail, "/")
}

// PathOf returns the segments of a webhook's address after its source.
func PathOf(address string) []string {
	_, segments := splitPath(address)
	for i, one := range segments {
		segments[i], _ = url.PathUnescape(one) // a wrong one is empty, and so absent
	}
	return segments
}

// WithSegment returns the address with another nth segment.
func WithSegment(address string, n int, value string) string {
	base, segments := splitPath(address)
	for len(segments) < n {
		segments = append(segments, "-")
	}
	segments[n-1] = url.PathEscape(value)
	_, query, found := strings.Cut(address, "?")
	if address = base + strings.Join(segments, "/"); found {
		address += "?" + query
	}
	return address
}

// storedPath redacts segments.
func (s Spec) storedPath(address string) string {
	base, segments := splitPath(address)
	if segments == nil {
		return address
	}
	for i := range segments {
		if slices.Contains(s.Segments.Tokens, i+1) || !s.SignsURL && !slices.Contains(s.Segments.Read, i+1) {
			segments[i] = secret.Redacted
		}
	}
	return base + strings.Join(segments, "/")
}

// segment finds a segment of the path after the source.
func (r *reading) segment(at, name string) finder {
	if !segmentName(name) {
		r.wrong(at, "It is path:1 or path:2, a segment of the URL's path after the source.")
		return finder{}
	}
	r.segments = append(r.segments, int(name[0]-'0'))
	return finder{where: "the path's segment " + name, unsigned: true, find: func(in input) token { return tokenOf(segment(in.req, name)) }}
}

// segment returns the nth segment of the path after the source.
func segment(req Request, name string) (string, bool) {
	n, err := strconv.Atoi(name)
	if err != nil || n < 1 || n > len(req.Path) {
		return "", false
	}
	return req.Path[n-1], true
}
