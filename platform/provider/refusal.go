package provider

import (
	"net/http"
	"slices"
	"time"

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
	WrongCertificate   Reason = "wrong_certificate"
	WrongAddress       Reason = "wrong_address" // from a network that the definition does not list
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

// within refuses a signed time outside the tolerance; 0 accepts any.
func within(tolerance time.Duration, received, signed time.Time) error {
	off := received.Sub(signed)
	late := off.Abs() - tolerance
	if tolerance == 0 || late <= 0 {
		return nil
	}
	tense := "ago"
	if off < 0 {
		tense = "in the future"
	}
	return refuse(OutsideTolerance, "signed %d s %s, %d s outside tolerance", seconds(off.Abs()), tense, seconds(late))
}

// seconds rounds up, so that no message says "0 s outside tolerance".
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

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

// telling ranks refusals by how much of a proof was there. What could not be decided, as without
// an issuer's keys, comes before all: the sender tries it again.
func telling(err error) int {
	if fault.Is(err, fault.Unavailable) {
		return 3
	}
	switch reasonOf(err) {
	case MissingHeader, MissingSignature:
		return 0
	case MalformedSignature:
		return 1
	}
	return 2
}

// SignRequest signs with the first verifier that accepts the key. Signatures come before tokens,
// as in Spec.PurposeOf.
func (a AnyOf) SignRequest(req *Request, key secret.Value) (err error) {
	for _, purpose := range []Purpose{Signing, Token} {
		for _, v := range a {
			signer, ok := v.(Signer)
			if !ok || len(proving(v, []Secret{{Purpose: purpose}})) == 0 {
				continue
			}
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

// AllOf accepts requests that every one of several verifiers accepts; none are not enough.
type AllOf []Verifier

// Verify returns the first verifier's match, with what the others add to it.
func (a AllOf) Verify(req Request, secrets []Secret) (Match, error) {
	if len(a) == 0 {
		return Match{}, refuse(NoMatch, "nothing proves a request")
	}
	var all Match
	for i, v := range a {
		match, err := v.Verify(req, proving(v, secrets))
		if err != nil {
			return Match{}, err
		}
		if i == 0 {
			all = match
			continue
		}
		if all.SecretID == "" {
			all.SecretID = match.SecretID
		}
		if all.SingleUse == "" {
			all.SingleUse, all.Nonce = match.SingleUse, match.Nonce
		}
		if all.SignedAt.IsZero() {
			all.SignedAt = match.SignedAt
		}
		if all.SignedID == "" {
			all.SignedID = match.SignedID
		}
		if all.Message == nil {
			all.Message = match.Message
		}
	}
	return all, nil
}

// SignRequest signs with every verifier.
func (a AllOf) SignRequest(req *Request, key secret.Value) error {
	for _, v := range a {
		if signer, ok := v.(Signer); ok {
			if err := signer.SignRequest(req, key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a AllOf) headers() []string { return AnyOf(a).headers() }

func (a AllOf) timed() bool { return slices.ContainsFunc(a, timedVerifier) }

func (a AnyOf) timed() bool { return slices.ContainsFunc(a, timedVerifier) }

// timedVerifier reports whether what a verifier accepts has a signed time.
func timedVerifier(v Verifier) bool {
	t, ok := v.(interface{ timed() bool })
	return ok && t.timed()
}
