package provider

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"integration-gateway/platform/fault"
)

// Definition is a provider as data: how its requests are authenticated, what is answered, and
// where to find its events' id, type, subject and time.
type Definition struct {
	Proof
	// AnyOf and AllOf list several proofs, in place of one: any of them is enough, or all are
	// needed.
	AnyOf []Proof `json:"anyOf,omitempty"`
	AllOf []Proof `json:"allOf,omitempty"`
	// Unsigned says what the signature leaves out, where that is part of the body.
	Unsigned string `json:"unsigned,omitempty"`

	Event EventDefinition `json:"event"`
	// Challenge is short for a handshake: a GET with a token and a text to send back.
	Challenge  ChallengeDefinition   `json:"challenge,omitzero"`
	Handshakes []HandshakeDefinition `json:"handshakes,omitempty"`
	Answer     AnswersDefinition     `json:"answer,omitzero"` // to webhooks, in place of the gateway's
	Probes     bool                  `json:"probes,omitempty"`
	Methods    []string              `json:"methods,omitempty"` // that webhooks come with: POST (the default), PUT
	// Deduplication is the policy of integrations that do not choose one.
	Deduplication Deduplication `json:"deduplication,omitempty"`
	Forms         bool          `json:"forms,omitempty"`  // short for form among bodies
	Bodies        []string      `json:"bodies,omitempty"` // besides JSON: form, multipart, xml, text
	MaxBodyBytes  int64         `json:"maxBodyBytes,omitempty"`
	// MinSecretBytes is how short the provider's tokens may be, if that is less than others must have.
	MinSecretBytes int `json:"minSecretBytes,omitempty"`
}

// Proof is one way to prove a request.
type Proof struct {
	// Scheme is one of Schemes.
	Scheme    string              `json:"scheme,omitempty"`
	Signature SignatureDefinition `json:"signature,omitzero"`
	Timestamp TimestampDefinition `json:"timestamp,omitzero"`
	Token     TokenDefinition     `json:"jwt,omitzero"`
	Addresses []string            `json:"addresses,omitempty"` // for the scheme addresses
	// Certificates lists the client's certificates for the scheme certificate beside another.
	Certificates []string `json:"certificates,omitempty"`
	// Nonce is a place whose value is good for one request; for jwt it is a claim's name.
	Nonce string `json:"nonce,omitempty"`
}

// SignatureDefinition configures the schemes with a signature or a token.
type SignatureDefinition struct {
	Header    string   `json:"header,omitempty"`
	At        []string `json:"at,omitempty"`        // places, in place of the header; the value of one must match
	Prefix    string   `json:"prefix,omitempty"`    // before each signature, or before the token: "sha256=", "Bearer "
	After     string   `json:"after,omitempty"`     // each signature is what follows the last of this: "|" in key|signature
	Separator string   `json:"separator,omitempty"` // between several signatures in the header
	Hash      string   `json:"hash,omitempty"`      // sha256 (the default), sha1, sha384 or sha512
	Encoding  string   `json:"encoding,omitempty"`  // hex (the default), base64 or base64url
	Key       string   `json:"key,omitempty"`       // how the secret's text becomes the key: text (the default), hex, base64 or sha1
	Over      string   `json:"over,omitempty"`      // what is signed: "{body}" (the default), "{timestamp}.{body}" …
	ID        string   `json:"idHeader,omitempty"`  // the header that {id} stands for
}

// TimestampDefinition says where the signed time is.
type TimestampDefinition struct {
	Header    string `json:"header,omitempty"` // a header of its own, or
	Item      string `json:"item,omitempty"`   // the prefix of an item in the signature's header: "t=", or
	At        string `json:"at,omitempty"`     // a place, which may be in the signed body
	Unit      string `json:"unit,omitempty"`   // seconds (the default), milliseconds or rfc3339
	Tolerance *int   `json:"toleranceSeconds,omitempty"`
}

// TokenDefinition configures the scheme jwt: a JSON Web Token, or another text that is signed
// like one.
type TokenDefinition struct {
	// KeysFrom is the https address of the issuer's JSON Web Key Set. Without one the
	// integration's secret is the key.
	KeysFrom   string   `json:"keysFrom,omitempty"`
	Algorithms []string `json:"algorithms,omitempty"` // RS256 with keysFrom, else HS256
	Issuers    []string `json:"issuers,omitempty"`
	Audiences  []string `json:"audiences,omitempty"` // {url} is the webhook's URL without its query
	// Claims lists claims that must have a value.
	Claims []ClaimDefinition `json:"claims,omitempty"`
	// BodyHash is the claim that is the SHA-256 of the body, in hex.
	BodyHash string `json:"bodyHash,omitempty"`
	// SecretIs is, with keysFrom, the claim that must be the integration's secret; aud if it is
	// left out.
	SecretIs string `json:"secretIs,omitempty"`
}

// ClaimDefinition is a claim that must have this value.
type ClaimDefinition struct {
	Claim string `json:"claim"`
	Is    string `json:"is"`
}

// EventDefinition says where an event's fields are.
type EventDefinition struct {
	ID      Place  `json:"id,omitzero" api:"plain"` // without one the body's hash identifies the event
	Type    Place  `json:"type"`
	Subject Place  `json:"subject,omitzero"`
	Time    Place  `json:"time,omitzero"`
	Unit    string `json:"timeUnit,omitempty"` // rfc3339 (the default), seconds, milliseconds or any
	Items   Items  `json:"items,omitzero"`     // true, or a path, if a body holds several events
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
	at      string // the path of the definition: "options.generic"
	err     error
	queries []string // the parameters that are read

	segments []int // of the path that are read
	method   bool  // the method is read
}

func (r *reading) wrong(field, format string, args ...any) {
	if r.err == nil {
		r.err = fault.Invalid.New("wrong_definition", format, args...).At(strings.TrimPrefix(r.at+"."+field, "."))
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
	s := Spec{Name: name, Unsigned: d.Unsigned, Probes: d.Probes, MaxBodyBytes: d.MaxBodyBytes, MinSecretBytes: MinSecret}
	d.prove(r, &s)
	d.shortTokens(r, &s)
	s.ContentTypes, s.Methods = d.contentTypes(r), d.methods(r)
	if s.MaxBodyBytes < 0 || s.MaxBodyBytes > maxDefinedBody {
		r.wrong("maxBodyBytes", "It must be from 0, which is for the configured limit, to %d.", maxDefinedBody)
	}
	s.Events = d.Event.mapping(r, s.Verify)
	s.mapsMethod = r.method && len(s.Methods) > 1
	s.Query = slices.DeleteFunc(slices.Clone(r.queries), func(name string) bool { return slices.Contains(s.QueryTokens, name) })
	s.Challenge = d.Challenge.challenge(r)
	d.answers(r, &s)
	s.Segments.Read = r.segments
	if r.err != nil {
		return Spec{}, r.err
	}
	s = s.complete()
	s, err := s.deduplicate(d.Deduplication, strings.TrimPrefix(at+".deduplication", "."))
	if err != nil {
		return Spec{}, err
	}
	return s, s.check()
}

// maxDefinedBody is the most that any source may accept.
const maxDefinedBody = 32 << 20

func (d Definition) contentTypes(r *reading) []string {
	var types []string
	if d.Forms {
		types = append(types, formType)
	}
	for _, body := range d.Bodies {
		types = append(types, choose(r, "bodies", body, choice[[]string]{"form", []string{formType}}, choice[[]string]{"multipart", []string{multipartType}},
			choice[[]string]{"xml", []string{"text/xml", "application/xml"}}, choice[[]string]{"text", []string{textType}}, choice[[]string]{"json", nil})...)
	}
	return types
}

// methods checks the methods of webhooks.
func (d Definition) methods(r *reading) []string {
	for i, method := range d.Methods {
		if method != http.MethodPost && method != http.MethodPut || slices.Contains(d.Methods[:i], method) {
			r.wrong("methods", "It must list POST, PUT or both, each once; %q is not expected.", method)
		}
	}
	return d.Methods
}

// prove compiles how requests are proved.
func (d Definition) prove(r *reading, s *Spec) {
	ways := []struct {
		name   string
		proofs []Proof
	}{{"", nil}, {"anyOf", d.AnyOf}, {"allOf", d.AllOf}}
	if d.Scheme != "" || d.AnyOf == nil && d.AllOf == nil {
		ways[0].proofs = []Proof{d.Proof}
	}
	var verifiers []Verifier
	given, hidden, public, keyed := 0, false, false, false
	for _, way := range ways {
		if way.proofs == nil {
			continue
		}
		given++
		if len(way.proofs) > maxProofs || len(way.proofs) == 0 {
			r.wrong(way.name, "It must list 1 to %d ways to prove a request.", maxProofs)
		}
		for i, p := range way.proofs {
			s.Public = false
			v := p.compile(r, proofPrefix(way.name, i), d.Unsigned != "", s)
			public, keyed = public || s.Public, keyed || signsWithSecret(v)
			hidden = hidden || !s.Public && !onlyConditions([]Verifier{v})
			verifiers = append(verifiers, v)
		}
	}
	switch {
	case given != 1:
		r.wrong("scheme", "Set one of scheme, anyOf and allOf.")
		return
	case d.AnyOf != nil:
		s.Verify = AnyOf(verifiers)
	case d.AllOf != nil:
		s.Verify = AllOf(verifiers)
	default:
		s.Verify = verifiers[0]
	}
	switch {
	case d.AnyOf == nil && onlyConditions(verifiers):
		r.wrong("scheme", "Nothing here has a secret of the integration's own, and many may share an address or a provider's certificate: list another proof beside it in allOf.")
	case d.AnyOf != nil && public && keyed:
		r.wrong("anyOf", "Public keys and shared secrets cannot be mixed: who knows the public key, which is no secret, could sign with it as the shared one.")
	case d.AnyOf != nil && slices.ContainsFunc(verifiers, func(v Verifier) bool { return onlyConditions([]Verifier{v}) }) && s.Unsigned == "":
		s.Unsigned = "An address or a certificate on the list proves where a request came from, and not the body's author."
	}
	s.Public = s.Public && !hidden
	if len(verifiers) > 1 {
		s.CheckSecret = nil // a secret may be for any of them
	}
}

const maxProofs = 4

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
