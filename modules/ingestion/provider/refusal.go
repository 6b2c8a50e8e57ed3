package provider

import (
	"net/http"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// Reason says why a request was not verified. It is counted and audited, never
// shown to the sender.
type Reason string

// The reasons for refusing a request's credentials.
const (
	MissingHeader      Reason = "missing_header"
	DuplicateHeader    Reason = "duplicate_header"
	MissingSignature   Reason = "missing_signature" // of a body that should hold one
	MalformedSignature Reason = "malformed_signature"
	NoMatch            Reason = "no_match"
	OutsideTolerance   Reason = "outside_tolerance"
	UnknownKey         Reason = "unknown_key" // signed with a key that is not the provider's
	UsedBefore         Reason = "used_before" // what is good for one request alone
)

// refuse says to the sender what it says to all, and to the operator the detail.
func refuse(r Reason, detail string, args ...any) error {
	return fault.Unauthorized.New(string(r), "The webhook's credentials are not valid for this source.").Because(detail, args...)
}

// Reused is the refusal of a request whose Match.Once came with another body.
func Reused() error {
	return refuse(UsedBefore, "the token, which is good for one request, came before with another body")
}

// credential reads the one value of a header that proves who sent the request. A
// header given twice is refused: what stands between us and the sender may have
// checked the other one.
func credential(h http.Header, name string) (string, error) {
	switch values := h.Values(name); {
	case len(values) > 1:
		return "", refuse(DuplicateHeader, "the header %s is there %d times", name, len(values))
	case len(values) == 0 || values[0] == "":
		return "", refuse(MissingHeader, "missing header %s", name)
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
		return Match{}, refuse(NoMatch, "none of %d secrets matched", len(secrets))
	}
	return *found, nil
}

// AnyOf is a provider that proves its requests in one of several ways.
type AnyOf []Verifier

// Verify takes the first way that proves the request. When none does, it tells about
// the first whose header is there.
func (a AnyOf) Verify(req Request, secrets []Secret) (Match, error) {
	var told error
	for _, v := range a {
		match, err := v.Verify(req, secrets)
		if err == nil {
			return match, nil
		}
		if told == nil || fault.As(told).Reason == string(MissingHeader) {
			told = err
		}
	}
	return Match{}, told
}

// SignRequest proves the request in the first of the ways that the key is made for.
func (a AnyOf) SignRequest(req *Request, key secret.Value) (err error) {
	for _, v := range a {
		if signer, ok := v.(Signer); ok {
			if err = signer.SignRequest(req, key); err == nil {
				return nil
			}
		}
	}
	return err
}

func (a AnyOf) headers() []string {
	var all []string
	for _, v := range a {
		if one, ok := v.(interface{ headers() []string }); ok {
			all = append(all, one.headers()...)
		}
	}
	return all
}
