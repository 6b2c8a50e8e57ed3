// Package provider describes the companies that send webhooks: how each signs its requests,
// and how its bodies map to canonical events. A provider is one file with one Spec. Shared
// signature schemes have files of their own.
//
// Everything here is pure: no clock, no storage, no network. The Request brings along what a
// scheme needs from outside, such as a certificate.
package provider

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// Request is a webhook as it was received.
type Request struct {
	Method     string
	URL        string // as the provider sees it; some providers sign it
	Header     http.Header
	Body       []byte // the exact bytes, without a content-encoding; signatures are over these
	ReceivedAt time.Time
	Path       []string // the segments of the URL's path after the source
	// ClientCertificate returns the client's, as whoever ended TLS has verified it; nil for none.
	ClientCertificate func() (*x509.Certificate, error)
	Client            netip.Addr // that it came from, as far as proxies are trusted; zero if unknown
	SignedID          string     // the Match's, set after verification; Normalize uses it as the id
	// Keys are the integration's active secrets, set after verification: a handshake may have
	// to be answered with a signature.
	Keys []Secret
	// Certificate returns the certificate at a URL that a Verifier has recognised as the
	// provider's. Its errors are fault.Unavailable and NoCertificate. It is nil if nothing can
	// be downloaded.
	Certificate func(url string) (*x509.Certificate, error)
	// KeySet returns the keys of an issuer's set, with the one of that id if there is one. Its
	// errors are fault.Unavailable. It is nil if nothing can be downloaded, or the Spec does
	// not say that it FetchesKeys.
	KeySet func(url, keyID string) ([]jose.JSONWebKey, error)

	tolerance time.Duration // the Spec's, for a Verifier with expensive steps; 0 for any
}

// Secret is one active secret of an integration. While a secret is being rotated
// there are several, and a request may match any of them.
type Secret struct {
	ID        string
	Purpose   Purpose // "" for whatever proves a webhook
	Value     secret.Value
	ExpiresAt time.Time // zero for never
}

// Spec is everything the gateway knows about a provider.
type Spec struct {
	Name  string // lower case; an integration's provider
	Title string // the display name
	Help  string // how it authenticates its requests, in a sentence or two
	Guide Guide

	// Verify checks a request's credentials; use Authenticate, which knows the options too.
	Verify Verifier
	// Tolerance is how far the signed time of a request may be off, either way; 0 for any.
	Tolerance time.Duration
	// SignsURL says that the signature also covers the webhook's public URL.
	SignsURL bool
	// Unsigned says, in a sentence, which part of a request the signature does not cover.
	Unsigned string
	// Caveat is what else an operator should know about the signature, in a sentence or two.
	Caveat  string
	Methods []string // that its webhooks come with, if not POST alone
	// ContentTypes lists the content types of its bodies besides JSON.
	ContentTypes []string

	// MaxBodyBytes is what its bodies may have, if that is more than is configured for all.
	MaxBodyBytes int64
	// Deduplication is the provider's own policy, which an integration may change.
	Deduplication Deduplication
	// Events maps a request to its events.
	Events Mapping
	// Normalize does, if Events does not. An empty batch has none. Its errors are fault.Invalid.
	Normalize func(Request) ([]Event, error)
	// Handshake answers a verified request that is not an event, such as a URL check. It
	// returns nil for events, and may be nil itself.
	Handshake func(Request) *Reply
	// Greet answers a POST that checks the URL and that the provider does not sign, before
	// verification. It returns nil for other requests, and may be nil itself.
	Greet                   func(Request, []Secret) *Reply
	Confirms, StoresSecrets bool // a handshake names a page that must be opened; brings a secret
	// Challenge answers the GET with which the provider checks the URL. Its errors are
	// fault.Unauthorized. It may be nil.
	Challenge func(Request, []Secret) (*Reply, error)
	// Preflight answers the OPTIONS that asks for permission to send, as Challenge does.
	Preflight func(Request, []Secret) (*Reply, error)
	// Probes says that the provider checks the URL with an unauthenticated HEAD.
	Probes bool
	// Acknowledge answers a stored webhook if the provider requires its own reply. If it, or
	// its Reply, is nil, the gateway sends its receipt.
	Acknowledge func(Request) *Reply
	// AcknowledgeDuplicate answers one that was stored before, where that differs, and Refusal
	// one that is refused; both may be nil.
	AcknowledgeDuplicate func(Request) *Reply
	Refusal              *Reply

	// FetchesKeys says that verification needs Request.KeySet.
	FetchesKeys bool
	// Public says that its secrets need not be kept secret: public keys, or names.
	Public bool
	// Sensitive lists the headers that carry a credential, QueryTokens the parameters of the
	// URL that do. They are never stored. Query lists the other parameters that are read.
	Sensitive, QueryTokens, Query []string
	Segments                      Segments
	// CheckSecret rejects a secret that can never match. It is nil if any text may be one.
	CheckSecret    func(secret.Value) error
	MinSecretBytes int // of tokens; 0 for MinSecret
	// Checked says what a definition was checked against; "" for code.
	Checked string
	// Samples holds sample webhooks, one of each named type.
	Samples []Sample

	nonce, mapsMethod bool // a definition's; see StoredMethod
	schemas           map[string]eventSchema
	options           Options
}

// Verifier checks a request against every active secret, in constant time.
type Verifier interface {
	// Verify returns the secret that matched. Its errors are fault.Unauthorized with one of
	// the Reasons. Their message is always the same, so that a forger learns nothing; their
	// Detail is for the operator. Verify returns fault.Unavailable if something that the
	// scheme needs, such as a certificate, is unavailable.
	Verify(req Request, secrets []Secret) (Match, error)
}

// Match is the result of a successful verification.
type Match struct {
	SecretID string
	SignedAt time.Time // zero if the scheme has no timestamp
	// SingleUse is a value that the provider uses in one request only, for schemes that do not
	// sign the body. It must not be accepted with another body.
	SingleUse string
	// Nonce says that the provider promises that, so that a request is not accepted either
	// while nobody remembers the values.
	Nonce bool
	// SignedID is the event's id if the signature covers one.
	SignedID string
	// Message is the signed message; nil for schemes that do not sign the request.
	Message []byte
}

// Authenticate checks a request's credentials under the integration's options.
func (s Spec) Authenticate(req Request, secrets []Secret) (Match, error) {
	req.tolerance = s.Tolerance
	match, err := s.Verify.Verify(s.withPublicURL(req), proving(s.Verify, secrets))
	if err != nil || match.SignedAt.IsZero() {
		return match, err
	}
	if err := within(s.Tolerance, req.ReceivedAt, match.SignedAt); err != nil {
		return Match{}, err
	}
	return match, nil
}

// withPublicURL replaces the request's URL by the one that the provider was given. It keeps
// the query, to which the provider may add, for instance, a hash.
func (s Spec) withPublicURL(req Request) Request {
	if s.options.PublicURL == "" {
		return req
	}
	_, query, hasQuery := strings.Cut(req.URL, "?")
	req.URL = s.options.PublicURL
	if hasQuery {
		req.URL, _, _ = strings.Cut(req.URL, "?")
		req.URL += "?" + query
	}
	return req
}

// IDUnsigned reports whether an event's id may come from an unsigned part of the request.
func (s Spec) IDUnsigned() bool {
	return len(s.Events.ID.headers)+len(s.Events.Identity.headers) > 0 || s.Events.ID.unsigned || s.Events.Identity.unsigned
}

// Caveats tells operators what the signature does not cover; "" if it covers everything that
// matters.
func (s Spec) Caveats() string {
	var all []string
	for _, text := range []string{s.Unsigned, s.Caveat} {
		if text != "" {
			all = append(all, text)
		}
	}
	if s.IDUnsigned() && len(s.Headers()) > 0 {
		all = append(all, "The headers that describe the event, such as its id or type, are not signed. The same signed message under another id counts as a possible replay.")
	}
	if s.Deduplication.By == ByNone && s.Uses(Signing) {
		all = append(all, "A captured request that is sent again is a new event: nothing in it tells it from the next one.")
	}
	return strings.Join(all, " ")
}

// Accepts reports whether the provider sends bodies of this media type.
func (s Spec) Accepts(mediaType string) bool {
	return mediaType == jsonType || strings.HasSuffix(mediaType, "+json") || slices.Contains(s.ContentTypes, mediaType)
}

// ValidateSecret rejects a secret that can never match.
func (s Spec) ValidateSecret(v secret.Value) error {
	switch {
	case v.Empty():
		return fault.Invalid.New("empty_secret", "A secret must not be empty.").At("secrets")
	case s.Public && s.CheckSecret == nil:
		return nil
	}
	err := weakText(v)
	if err == nil && s.CheckSecret != nil {
		err = s.CheckSecret(v)
	}
	if err != nil {
		return fault.Invalid.New("bad_secret", "This is not a secret of %s: %s.", s.Title, err).At("secrets")
	}
	return nil
}

// complete fills in the fields that follow from others.
func (s Spec) complete() Spec {
	if s.Normalize == nil && s.Events.Type.find != nil {
		s.Normalize = s.Events.normalizer(s.Name)
	}
	return s
}

// check rejects an invalid spec.
func (s Spec) check() error {
	switch {
	case s.Name == "" || s.Name != strings.ToLower(s.Name):
		return fmt.Errorf("the provider name %q must be lower case and not empty", s.Name)
	case s.Verify == nil:
		return fmt.Errorf("the provider %q has no verifier; unverified webhooks are not accepted", s.Name)
	case s.Normalize == nil:
		return fmt.Errorf("the provider %q has no normalizer", s.Name)
	case s.Tolerance < 0:
		return fmt.Errorf("the provider %q has a negative tolerance", s.Name)
	}
	for _, header := range tokenHeaders(s.Verify) {
		if !s.sensitive(header) {
			return fmt.Errorf("the provider %q sends its token in %s and must list it as sensitive", s.Name, header)
		}
	}
	return nil
}

func (s Spec) sensitive(header string) bool {
	return slices.ContainsFunc(s.Sensitive, func(h string) bool { return strings.EqualFold(h, header) })
}

// tokenHeaders returns the headers in which v expects the secret itself.
func tokenHeaders(v Verifier) []string {
	switch v := v.(type) {
	case SharedToken:
		return v.headers()
	case AllOf:
		return tokenHeaders(AnyOf(v))
	case AnyOf:
		var headers []string
		for _, one := range v {
			headers = append(headers, tokenHeaders(one)...)
		}
		return headers
	}
	return nil
}

// SafeHeaders returns the headers that verification and mapping read, without those that
// carry a credential.
func (s Spec) SafeHeaders() []string {
	return slices.DeleteFunc(s.ReadHeaders(), s.sensitive)
}

// ReadHeaders returns the headers that verification and mapping read. Requests that differ in
// one of them are different requests.
func (s Spec) ReadHeaders() []string {
	all := append(slices.Clone(s.Headers()), headersOf([]finder{s.Events.ID, s.Events.Type, s.Events.Subject, s.Events.Identity})...)
	return slices.DeleteFunc(all, func(name string) bool { return name == "" })
}

// Headers returns the headers that authenticate a request, in their usual spelling.
func (s Spec) Headers() []string {
	if v, ok := s.Verify.(interface{ headers() []string }); ok {
		return v.headers()
	}
	return nil
}
