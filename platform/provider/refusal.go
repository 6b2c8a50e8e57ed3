package provider

import (
	"net/http"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// Reason is why verification failed. It is counted and audited, and never shown to the
// sender.
type Reason string

// The reasons for refusing a request's credentials.
const (
	MissingHeader      Reason = "missing_header"
	DuplicateHeader    Reason = "duplicate_header"
	MissingSignature   Reason = "missing_signature" // missing in the body
	MalformedSignature Reason = "malformed_signature"
	NoMatch            Reason = "no_match"
	OutsideTolerance   Reason = "outside_tolerance"
	UnknownKey         Reason = "unknown_key" // signed with a key that is not the provider's
	UsedBefore         Reason = "used_before" // a single-use value, with another body
	PossibleReplay     Reason = "possible_replay"
)

// refuse returns the error of a failed verification: the same message for every sender, and
// the detail for the operator.
func refuse(r Reason, detail string, args ...any) error {
	return fault.Unauthorized.New(string(r), "The webhook's credentials are not valid for this source.").Because(detail, args...)
}

// Reused refuses a request whose Match.SingleUse was seen with another body.
func Reused() error {
	return refuse(UsedBefore, "the single-use token was received before with another body")
}

// Replayed refuses a request whose signed message was received before under another id.
func Replayed() error {
	return refuse(PossibleReplay, "the same signed message was received before under another event id, which the provider does not sign")
}

// reasonOf returns the reason of an error of refuse; "" for another or none.
func reasonOf(err error) Reason {
	if f := fault.As(err); f != nil {
		return Reason(f.Reason)
	}
	return ""
}

// credential reads a header that authenticates the sender. It refuses a header that is given
// twice: a proxy may have checked the other value.
func credential(h http.Header, name string) (string, error) {
	switch values := h.Values(name); {
	case len(values) > 1:
		return "", refuse(DuplicateHeader, "the header %s is given %d times", name, len(values))
	case len(values) == 0 || values[0] == "":
		return "", refuse(MissingHeader, "missing header %s", name)
	default:
		return values[0], nil
	}
}

// matchAny tries every secret, even after one matched, so that its duration does not reveal
// which. An empty secret matches nothing.
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

// AnyOf accepts requests that one of several verifiers accepts.
type AnyOf []Verifier

// Verify returns the first match. If there is none, it returns the error of the verifier that
// came furthest: one that found a proof says more than one that found none.
func (a AnyOf) Verify(req Request, secrets []Secret) (Match, error) {
	if len(a) == 0 {
		return Match{}, refuse(NoMatch, "nothing proves a request")
	}
	var failure error
	for _, v := range a {
		match, err := v.Verify(req, proving(v, secrets))
		if err == nil {
			return match, nil
		}
		if failure == nil || telling(err) > telling(failure) {
			failure = err
		}
	}
	return Match{}, failure
}

// telling ranks refusals by how much of a proof was there.
func telling(err error) int {
	switch reasonOf(err) {
	case MissingHeader, MissingSignature:
		return 0
	case MalformedSignature:
		return 1
	}
	return 2
}

// SignRequest signs with the first verifier that accepts the key.
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
