// Package provider knows the companies that send webhooks: how each signs its
// requests, and how its bodies map to the canonical event. A provider is one file
// with one Spec; signature schemes that several share stand in files of their own.
//
// Everything here is pure: no clock, no storage, no network.
package provider

import (
	"fmt"
	"maps"
	"net/http"
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
	Body       []byte // the exact bytes; signatures are over these
	ReceivedAt time.Time
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
	Help  string // one sentence: what to set up at the provider
	// Verify checks a request's credentials.
	Verify Verifier
	// Normalize maps a verified request to its events, at least one. Its errors are
	// fault.Invalid and name the field.
	Normalize func(Request) ([]Event, error)
	// Sensitive are the headers that carry a credential; they are never stored.
	Sensitive []string
}

// Verifier checks a request against every active secret, in constant time.
type Verifier interface {
	// Verify says which secret matched. Its errors are fault.Unauthorized with one of
	// the Reasons; their message is the same for all, so that nobody learns which part
	// of a forgery was right.
	Verify(req Request, secrets []Secret) (Match, error)
}

// Match says which secret a request was verified with.
type Match struct{ SecretID string }

// Reason says why a request was not verified. It is counted and audited, never
// shown to the sender.
type Reason string

// The reasons for refusing a request's credentials.
const (
	MissingHeader      Reason = "missing_header"
	DuplicateHeader    Reason = "duplicate_header"
	MalformedSignature Reason = "malformed_signature"
	NoMatch            Reason = "no_match"
	OutsideTolerance   Reason = "outside_tolerance"
)

func refuse(r Reason) error {
	return fault.Unauthorized.New(string(r), "The webhook's credentials are not valid for this source.")
}

// credential reads the one value of a header that proves who sent the request. A
// header given twice is refused: what stands between us and the sender may have
// checked the other one.
func credential(h http.Header, name string) (string, error) {
	switch values := h.Values(name); {
	case len(values) > 1:
		return "", refuse(DuplicateHeader)
	case len(values) == 0 || values[0] == "":
		return "", refuse(MissingHeader)
	default:
		return values[0], nil
	}
}

// matchAny tries every secret, also after one matched, so that the time taken does
// not tell which it was. An empty secret matches nothing.
func matchAny(secrets []Secret, matches func(secret.Value) bool) (Match, error) {
	var found *Match
	for _, s := range secrets {
		if !s.Value.Empty() && matches(s.Value) && found == nil {
			found = &Match{SecretID: s.ID}
		}
	}
	if found == nil {
		return Match{}, refuse(NoMatch)
	}
	return *found, nil
}

// Registry is the providers of this program, by name.
type Registry struct{ specs map[string]Spec }

// Builtin are the providers that come with the gateway.
func Builtin() Registry {
	r, err := NewRegistry(acme(), globex())
	if err != nil {
		panic(err) // a mistake in the list above; the tests meet it first
	}
	return r
}

// NewRegistry collects specs and refuses, with a sentence, those that cannot work.
func NewRegistry(specs ...Spec) (Registry, error) {
	r := Registry{specs: make(map[string]Spec, len(specs))}
	for _, s := range specs {
		if err := s.check(); err != nil {
			return Registry{}, err
		}
		if _, taken := r.specs[s.Name]; taken {
			return Registry{}, fmt.Errorf("two providers are named %q; a name belongs to one", s.Name)
		}
		r.specs[s.Name] = s
	}
	return r, nil
}

func (s Spec) check() error {
	switch token, shared := s.Verify.(SharedToken); {
	case s.Name == "" || s.Name != strings.ToLower(s.Name):
		return fmt.Errorf("the provider name %q must be lower case and not empty", s.Name)
	case s.Verify == nil:
		return fmt.Errorf("the provider %q has no verifier; unverified webhooks are not accepted", s.Name)
	case s.Normalize == nil:
		return fmt.Errorf("the provider %q has no normalizer", s.Name)
	case shared && !s.sensitive(token.Header):
		return fmt.Errorf("the provider %q sends its token in %s and must list it as sensitive", s.Name, token.Header)
	}
	return nil
}

func (s Spec) sensitive(header string) bool {
	return slices.ContainsFunc(s.Sensitive, func(h string) bool { return strings.EqualFold(h, header) })
}

// Options are what an integration says about its use of a provider.
type Options struct {
	PublicURL        string `json:"publicUrl,omitempty"`        // the webhook's URL as the provider has it, where the provider signs it
	ToleranceSeconds *int   `json:"toleranceSeconds,omitempty"` // how far a signed timestamp may be off, either way; nil for the provider's default
}

// Configure gives the provider of that name as an integration with these options uses
// it. Its errors are fault.Invalid and name the option.
func (r Registry) Configure(name string, _ Options) (Spec, error) {
	s, ok := r.specs[name]
	if !ok {
		return Spec{}, fault.Invalid.New("unknown_provider", "There is no provider %s.", name).At("provider")
	}
	return s, nil
}

// Spec finds a provider by its name.
func (r Registry) Spec(name string) (Spec, bool) {
	s, ok := r.specs[name]
	return s, ok
}

// Names lists the providers in alphabetical order.
func (r Registry) Names() []string { return slices.Sorted(maps.Keys(r.specs)) }
