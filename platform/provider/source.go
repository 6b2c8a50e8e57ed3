package provider

import (
	"net/http"
	"net/url"
	"slices"
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
	switch v.(type) {
	case AnyOf, AllOf:
		return secrets
	case SharedToken, BasicAuth:
		return of(Token, secrets)
	case Addresses:
		return nil
	}
	return of(Signing, secrets)
}

// signsWithSecret reports whether a verifier takes the integration's secrets for keys that both sides have.
func signsWithSecret(v Verifier) bool {
	switch v.(type) {
	case HMAC, sharedJWT, Standard:
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

// StoredURL returns a URL as it may be stored: of its query, which may hold a credential, the
// parameters that are read, unless they are tokens. All else of it stays if it is signed.
func (s Spec) StoredURL(address string) string {
	start, query, found := strings.Cut(address, "?")
	if !found {
		return address
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
