// Package provider knows the companies that send webhooks: how each signs its
// requests, and how its bodies map to the canonical event. A provider is one file
// with one Spec; signature schemes that several share stand in files of their own.
//
// Everything here is pure: no clock, no storage, no network. What a scheme needs from
// outside, such as a certificate, comes with the Request.
package provider

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// Request is a webhook as it came over the wire.
type Request struct {
	Method     string
	URL        string // as the provider sees it; some providers sign it
	Header     http.Header
	Body       []byte // the exact bytes, without a content-encoding; signatures are over these
	ReceivedAt time.Time
	// Certificate gives the certificate at an address that a Verifier found to be the
	// provider's own. Its errors are fault.Unavailable, or NoCertificate. Nil where nothing
	// can be fetched.
	Certificate func(url string) (*x509.Certificate, error)
}

// Secret is one active secret of an integration. While a secret is being rotated
// there are several, and a request may match any of them.
type Secret struct {
	ID    string
	Value secret.Value
}

// Spec is everything the gateway knows about a provider.
type Spec struct {
	Name  string // lower case; an integration's provider
	Title string // as people write it
	Help  string // how it proves its requests, in a sentence or two
	Guide Guide

	// Verify checks a request's credentials; use Authenticate, which knows the options too.
	Verify Verifier
	// Tolerance is how far the signed time of a request may be off, either way; 0 for any.
	Tolerance time.Duration
	// SignsURL says that the signature is over the webhook's public URL as well.
	SignsURL bool
	// Unsigned says, in a sentence, which part of a request the signature does not cover.
	Unsigned string
	// ContentTypes are those of its bodies besides JSON.
	ContentTypes []string

	// Events says where a request holds what its events are made of.
	Events Mapping
	// Normalize maps a verified request to its events, at least one, where Events does not
	// say how. Its errors are fault.Invalid and name the field.
	Normalize func(Request) ([]Event, error)
	// Handshake answers a verified request that is no event, such as a test of the
	// address; nil when the request is to be stored. It may be nil itself.
	Handshake func(Request) *Reply
	// Confirms says that a handshake names a page that somebody has to open.
	Confirms bool
	// Challenge answers a GET by which the provider tries the address; its errors are
	// fault.Unauthorized. Nil where there is none.
	Challenge func(Request, []Secret) (*Reply, error)
	// Probes says that the provider tries the address by a HEAD, which has no proof.
	Probes bool
	// Acknowledge is the answer to a stored webhook, where the provider wants one of its
	// own; nil, or a nil Reply, for the gateway's.
	Acknowledge func(Request) *Reply

	// Public says that its secrets are none: keys that only verify, or names.
	Public bool
	// Sensitive are the headers that carry a credential; they are never stored.
	Sensitive []string
	// CheckSecret finds a secret that can never match; nil where any text is one.
	CheckSecret func(secret.Value) error
	// Samples are webhooks as the provider sends them, one of each named type.
	Samples []Sample

	options Options
}

// Guide tells an operator how to set the provider up.
type Guide struct {
	Docs  string   // the provider's own page about its signatures
	Steps []string // where to click and what to paste, in order
	Paste string   // which of its texts is the integration's secret
}

// Verifier checks a request against every active secret, in constant time.
type Verifier interface {
	// Verify says which secret matched. Its errors are fault.Unauthorized with one of
	// the Reasons; their message is the same for all, so that nobody learns which part
	// of a forgery was right, and their Detail tells the operator. It is fault.Unavailable
	// when something that the scheme needs cannot be had now.
	Verify(req Request, secrets []Secret) (Match, error)
}

// Match says which secret a request was verified with, and when it was signed.
type Match struct {
	SecretID string
	SignedAt time.Time // zero where the scheme has no time
	// Once is what a request holds that no other of the provider's does, for schemes that
	// do not sign the body: who has seen one must not send another with it.
	Once string
}

// Reply is an answer as a provider wants it.
type Reply struct {
	Status      int
	ContentType string
	Body        []byte
	What        string // names what was answered, for the audit: "url_verification"
	Open        string // a page that completes the handshake when it is opened; "" for none
	Visit       bool   // the gateway is to open it
}

// Authenticate checks a request's credentials as the integration's options want it.
func (s Spec) Authenticate(req Request, secrets []Secret) (Match, error) {
	match, err := s.Verify.Verify(s.seen(req), secrets)
	if err != nil || s.Tolerance == 0 || match.SignedAt.IsZero() {
		return match, err
	}
	off := req.ReceivedAt.Sub(match.SignedAt)
	if late := off.Abs() - s.Tolerance; late > 0 {
		tense := "ago"
		if off < 0 {
			tense = "in the future"
		}
		return Match{}, refuse(OutsideTolerance, "signed %d s %s, %d s outside tolerance", seconds(off.Abs()), tense, seconds(late))
	}
	return match, nil
}

// seconds rounds up, so that nobody reads of 0 s outside tolerance.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// seen is the request under the URL that the provider has for it. What the provider
// puts behind the URL that it was given, such as a hash, is in the request alone.
func (s Spec) seen(req Request) Request {
	if s.options.PublicURL == "" {
		return req
	}
	_, query, some := strings.Cut(req.URL, "?")
	req.URL = s.options.PublicURL
	if some {
		req.URL, _, _ = strings.Cut(req.URL, "?")
		req.URL += "?" + query
	}
	return req
}

// Shakes is the answer to a request that is no event; nil for events.
func (s Spec) Shakes(req Request) *Reply {
	if s.Handshake == nil {
		return nil
	}
	return s.Handshake(req)
}

// Acknowledges is the answer that the provider wants to a stored webhook; nil for the
// gateway's own.
func (s Spec) Acknowledges(req Request) *Reply {
	if s.Acknowledge == nil {
		return nil
	}
	return s.Acknowledge(req)
}

// Accepts reports whether the provider sends bodies of this media type.
func (s Spec) Accepts(mediaType string) bool {
	return mediaType == jsonType || strings.HasSuffix(mediaType, "+json") || slices.Contains(s.ContentTypes, mediaType)
}

// SecretMistake finds a secret that can never match, so that it is not stored.
func (s Spec) SecretMistake(v secret.Value) error {
	switch {
	case v.Empty():
		return fault.Invalid.New("empty_secret", "A secret must not be empty.").At("secrets")
	case s.CheckSecret == nil:
		return nil
	}
	if err := s.CheckSecret(v); err != nil {
		return fault.Invalid.New("bad_secret", "This is no secret of %s: %s.", s.Title, err).At("secrets")
	}
	return nil
}

// complete is the spec with what follows from the rest of it.
func (s Spec) complete() Spec {
	if s.Normalize == nil && s.Events.Type.find != nil {
		s.Normalize = s.Events.normalizer(s.Name)
	}
	return s
}

// check refuses, with a sentence, what cannot work.
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

// tokenHeaders are the headers in which v expects a secret as it is.
func tokenHeaders(v Verifier) []string {
	switch v := v.(type) {
	case SharedToken:
		return []string{v.Header}
	case AnyOf:
		var headers []string
		for _, one := range v {
			headers = append(headers, tokenHeaders(one)...)
		}
		return headers
	}
	return nil
}

// validURL reports whether text is an absolute web address.
func validURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.Fragment == ""
}

// Headers are those that prove a request, as people write them.
func (s Spec) Headers() []string {
	if v, ok := s.Verify.(interface{ headers() []string }); ok {
		return v.headers()
	}
	return nil
}
