package provider

import (
	"crypto/sha1" //nolint:gosec // some providers sign with HMAC-SHA1, which is not broken
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// Definition is a user-defined provider: how its requests are authenticated, and where to
// find its events' id, type, subject and time.
type Definition struct {
	Scheme    string              `json:"scheme"` // hmac, token, basic or standard-webhooks
	Signature SignatureDefinition `json:"signature,omitzero"`
	Timestamp TimestampDefinition `json:"timestamp,omitzero"`
	Event     EventDefinition     `json:"event"`
	Challenge ChallengeDefinition `json:"challenge,omitzero"`
	// Deduplication is the policy of integrations that do not choose one.
	Deduplication Deduplication `json:"deduplication,omitzero"`
	Forms         bool          `json:"forms,omitempty"` // the body may be a form
}

// SignatureDefinition configures the schemes hmac and token.
type SignatureDefinition struct {
	Header    string `json:"header,omitempty"`
	Prefix    string `json:"prefix,omitempty"`    // before each signature, or before the token: "sha256=", "Bearer "
	Separator string `json:"separator,omitempty"` // between several signatures in the header
	Hash      string `json:"hash,omitempty"`      // sha256 (the default), sha1, sha384 or sha512
	Encoding  string `json:"encoding,omitempty"`  // hex (the default) or base64
	Key       string `json:"key,omitempty"`       // how the secret's text becomes the key: text (the default), hex or base64
	Over      string `json:"over,omitempty"`      // what is signed: "{body}" (the default), "{timestamp}.{body}" …
	ID        string `json:"idHeader,omitempty"`  // the header that {id} stands for
}

// TimestampDefinition says where the signed time is.
type TimestampDefinition struct {
	Header    string `json:"header,omitempty"` // a header of its own, or
	Item      string `json:"item,omitempty"`   // the prefix of an item in the signature's header: "t="
	Unit      string `json:"unit,omitempty"`   // seconds (the default), milliseconds or rfc3339
	Tolerance *int   `json:"toleranceSeconds,omitempty"`
}

// EventDefinition says where an event's fields are: "header:X-Event-Id", a JSON path
// (RFC 9535) such as "$.data.id", or "text:…" for a constant.
type EventDefinition struct {
	ID      string `json:"id,omitempty" api:"plain"` // without one the body's hash identifies the event
	Type    string `json:"type"`
	Subject string `json:"subject,omitempty"`
	Time    string `json:"time,omitempty"`
	Unit    string `json:"timeUnit,omitempty"` // rfc3339 (the default), seconds, milliseconds or any
	Items   bool   `json:"items,omitempty"`    // the body is an array, with an event in each item
}

// ChallengeDefinition configures the answer to the GET with which a provider checks the URL:
// the value of one parameter is returned if another holds a secret of the purpose challenge.
type ChallengeDefinition struct {
	Parameter string `json:"parameter,omitempty"` // "hub.challenge"
	Token     string `json:"token,omitempty"`     // "hub.verify_token"
}

// defaultTolerance is the tolerance of a user-defined provider.
const defaultTolerance = 5 * time.Minute

// reading turns a Definition into a Spec and remembers the first error.
type reading struct {
	at  string // the path of the definition: "options.generic"
	err error
}

func (r *reading) wrong(field, format string, args ...any) {
	if r.err == nil {
		r.err = fault.Invalid.New("wrong_definition", format, args...).At(r.at + "." + field)
	}
}

// choose returns the value of a name; the first choice is the default.
func choose[T any](r *reading, field, name string, choices ...choice[T]) T {
	var names []string
	for i, c := range choices {
		if name == c.name || name == "" && i == 0 {
			return c.value
		}
		names = append(names, c.name)
	}
	r.wrong(field, "%q is unknown; write one of %s.", name, strings.Join(names, ", "))
	return choices[0].value
}

type choice[T any] struct {
	name  string
	value T
}

// spec builds the definition's Spec. Its errors are fault.Invalid and name the field below
// at.
func (d Definition) spec(name, at string) (Spec, error) {
	r := &reading{at: at}
	s := Spec{Name: name}
	switch d.Scheme {
	case "hmac":
		s.Verify = d.hmac(r)
	case "token":
		s.Verify = SharedToken{Header: r.header("signature.header", d.Signature.Header, true), Prefix: d.Signature.Prefix}
		s.Sensitive = []string{d.Signature.Header}
	case "basic":
		s.Verify, s.CheckSecret = BasicAuth{}, checkBasic
		s.Sensitive = []string{"Authorization"}
	case "standard-webhooks":
		scheme := Standard{Prefixes: []string{"webhook-", "svix-"}}
		s.Verify, s.CheckSecret = scheme, scheme.CheckSecret
	default:
		r.wrong("scheme", "%q is unknown; write one of hmac, token, basic, standard-webhooks.", d.Scheme)
	}
	if d.Scheme == "token" || d.Scheme == "basic" {
		s.Unsigned = "The token authenticates the sender and not the body."
	}
	if h, ok := s.Verify.(HMAC); ok {
		s.SignsURL = h.Over.names(partURL)
		s.CheckSecret = h.checkSecret(d.Signature.Key)
	}
	s.Tolerance = d.tolerance(r, s)
	if d.Forms {
		s.ContentTypes = []string{formType}
	}
	s.Events = d.Event.mapping(r, s.Verify)
	s.Challenge = d.Challenge.challenge(r)
	if r.err != nil {
		return Spec{}, r.err
	}
	s = s.complete()
	s, err := s.deduplicate(d.Deduplication, at+".deduplication")
	if err != nil {
		return Spec{}, err
	}
	return s, s.check()
}

func (d Definition) hmac(r *reading) HMAC {
	sig := d.Signature
	h := HMAC{
		Hash: choose(r, "signature.hash", sig.Hash, choice[func() hash.Hash]{"sha256", sha256.New}, choice[func() hash.Hash]{"sha1", sha1.New},
			choice[func() hash.Hash]{"sha384", sha512.New384}, choice[func() hash.Hash]{"sha512", sha512.New}),
		Signed: Signed{
			Header: r.header("signature.header", sig.Header, true), Prefix: sig.Prefix, Separator: sig.Separator,
			Encoding: choose(r, "signature.encoding", sig.Encoding, choice[Encoding]{"hex", Hex}, choice[Encoding]{"base64", Base64}),
			ID:       r.header("signature.idHeader", sig.ID, false),
			Time: Timestamp{
				Header: r.header("timestamp.header", d.Timestamp.Header, false), Item: d.Timestamp.Item,
				Unit: choose(r, "timestamp.unit", d.Timestamp.Unit, choice[Unit]{"seconds", Seconds}, choice[Unit]{"milliseconds", Milliseconds}, choice[Unit]{"rfc3339", RFC3339}),
			},
		},
		Key: choose(r, "signature.key", sig.Key, choice[func(secret.Value) ([]byte, error)]{"text", nil},
			choice[func(secret.Value) ([]byte, error)]{"hex", hexKey}, choice[func(secret.Value) ([]byte, error)]{"base64", base64Key}),
	}
	if sig.Over != "" {
		var err error
		if h.Over, err = parseTemplate(sig.Over); err != nil {
			r.wrong("signature.over", "%s.", err)
		}
	}
	timed := h.Time.Header != "" || h.Time.Item != ""
	switch {
	case h.Time.Header != "" && h.Time.Item != "":
		r.wrong("timestamp.item", "The time is in one place: set either timestamp.header or timestamp.item.")
	case h.Time.Item != "" && sig.Separator == "":
		r.wrong("signature.separator", "It is required, because the signature's header also holds the time.")
	case sig.Over != "" && !h.Over.names(partBody):
		r.wrong("signature.over", "It must include {body}, or anybody could send another body with a captured signature.")
	case h.Over.runsTogether():
		r.wrong("signature.over", "Put a text such as a full stop between {id}, {timestamp} and {url}, or part of one could be moved into the other.")
	case h.Over.names(partID) && sig.ID == "":
		r.wrong("signature.idHeader", "signature.over includes {id}: name its header.")
	case h.Over.names(partTimestamp) && !timed:
		r.wrong("timestamp.header", "signature.over includes {timestamp}: name its header.")
	case timed && !h.Over.names(partTimestamp):
		r.wrong("signature.over", "It must include {timestamp}, or the time could be changed.")
	case !timed:
		h.Time = Timestamp{}
	}
	return h
}

// checkSecret rejects a secret that is not a key of the definition's kind.
func (h HMAC) checkSecret(kind string) func(secret.Value) error {
	if h.Key == nil {
		return nil
	}
	return func(v secret.Value) error {
		key, err := h.Key(v)
		if err != nil {
			return fmt.Errorf("it must be %s", kind)
		}
		return weakKey(key, minKeyBytes)
	}
}

func checkBasic(v secret.Value) error {
	if !strings.Contains(v.Reveal(), ":") {
		return errors.New("it must be user:password")
	}
	return nil
}

func hexKey(v secret.Value) ([]byte, error)    { return hex.DecodeString(v.Reveal()) }
func base64Key(v secret.Value) ([]byte, error) { return base64.StdEncoding.DecodeString(v.Reveal()) }

func (d Definition) tolerance(r *reading, s Spec) time.Duration {
	t := d.Timestamp.Tolerance
	timed := s.timed()
	switch {
	case t == nil && timed:
		return defaultTolerance
	case t == nil:
		return 0
	case !timed:
		r.wrong("timestamp.toleranceSeconds", "The requests have no signed time.")
	case *t < 0 || time.Duration(*t) > maxTolerance/time.Second:
		r.wrong("timestamp.toleranceSeconds", "It must be from 0, which is for any, to %d.", maxTolerance/time.Second)
	}
	return time.Duration(*t) * time.Second
}

// header checks a header's name.
func (r *reading) header(field, name string, needed bool) string {
	switch {
	case name == "" && needed:
		r.wrong(field, "It is required: the name of the header that authenticates a request.")
	case name != "" && !httpguts.ValidHeaderFieldName(name):
		r.wrong(field, "%q is not a valid header name.", name)
	}
	return name
}
