package provider

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/fault"
)

// Finding is one step of what a provider makes of a request.
type Finding struct {
	Step   string
	Result string
	Failed bool
}

// maxShown bounds what is shown of a value.
const maxShown = 60

func shown(text string) string {
	if len(text) > maxShown {
		return fmt.Sprintf("%q… (%d bytes)", text[:maxShown], len(text))
	}
	return fmt.Sprintf("%q", text)
}

// Explain authenticates a request and maps it to its events, and tells of each step. It stops
// at the first that fails.
func (s Spec) Explain(req Request, secrets []Secret) []Finding {
	var all []Finding
	add := func(step, format string, args ...any) {
		all = append(all, Finding{Step: step, Result: fmt.Sprintf(format, args...)})
	}
	fail := func(step string, err error) []Finding {
		text := err.Error()
		if f := fault.As(err); f != nil && f.Detail() != "" {
			text = f.Reason + ": " + f.Detail()
		}
		all = append(all, Finding{step, text, true})
		if reply := s.RefusalReply(err); reply != nil {
			add("answer", "%d %s", reply.Status, reply.Body)
		}
		return all
	}
	for method, answer := range map[string]func(Request, []Secret) (*Reply, error){http.MethodGet: s.Challenge, http.MethodOptions: s.Preflight} {
		if req.Method != method || answer == nil {
			continue
		}
		reply, err := answer(req, secrets)
		if err != nil {
			return fail("handshake", err)
		}
		add("handshake", "%s: %d %s", reply.What, reply.Status, reply.Body)
		return all
	}
	if webhooks, allowed := s.Allowed(); !slices.Contains(webhooks, req.Method) {
		return append(all, Finding{"method", fmt.Sprintf("%s is answered with 405; the provider's methods are %s", req.Method, strings.Join(allowed, ", ")), true})
	}
	if reply := s.GreetingReply(req, secrets); reply != nil {
		add("handshake", "%s, before verification: %d %s%s", reply.What, reply.Status, reply.Body, reply.brought())
		return all
	}
	explainProof(s.Verify, s.withPublicURL(req), "proof", add)
	match, err := s.Authenticate(req, secrets)
	if err != nil {
		return fail("verification", err)
	}
	add("verification", "the secret %s matched", match.SecretID)
	if match.Message != nil {
		add("signed message", "%s", shown(string(match.Message)))
	}
	if !match.SignedAt.IsZero() {
		add("signed time", "%s, %s before it was received; the tolerance is %s", match.SignedAt.Format(time.RFC3339), req.ReceivedAt.Sub(match.SignedAt), s.Tolerance)
	}
	req.Keys, req.SignedID = secrets, match.SignedID
	if reply := s.HandshakeReply(req); reply != nil {
		add("handshake", "%s: %d %s%s", reply.What, reply.Status, reply.Body, reply.brought())
		return all
	}
	events, err := s.Normalize(req)
	if err != nil {
		return fail("mapping", err)
	}
	s.explainEvents(req, events, add)
	return all
}

// explainEvents tells of the events, and of what the provider is answered.
func (s Spec) explainEvents(req Request, events []Event, add func(step, format string, args ...any)) {
	add("events", "%d", len(events))
	for i, e := range events {
		add(fmt.Sprintf("event %d", i+1), "id %s; type %q; subject %s; time %s", orNone(e.ID), e.Type, orNone(e.Subject), e.OccurredAt.Format(time.RFC3339Nano))
	}
	if reply := s.AcknowledgeReply(req, false); reply != nil {
		add("answer", "%d %s", reply.Status, reply.Body)
	}
	if reply := s.AcknowledgeReply(req, true); reply != nil && s.AcknowledgeDuplicate != nil {
		add("answer to a duplicate", "%d %s", reply.Status, reply.Body)
	}
}

// brought tells of a secret that a handshake brings.
func (r *Reply) brought() string {
	if r.Arrived == nil {
		return ""
	}
	return fmt.Sprintf("; its secret of %d bytes, for %s, is stored until an operator confirms it", len(r.Arrived.Value.Reveal()), r.Arrived.Purpose)
}

func orNone(text *string) string {
	if text == nil {
		return "none"
	}
	return shown(*text)
}

// explainProof tells what a verifier reads.
func explainProof(v Verifier, req Request, step string, add func(step, format string, args ...any)) {
	switch v := v.(type) {
	case AnyOf:
		for i, one := range v {
			explainProof(one, req, fmt.Sprintf("%s, way %d of %d", step, i+1, len(v)), add)
		}
	case AllOf:
		for i, one := range v {
			explainProof(one, req, fmt.Sprintf("%s, part %d of %d", step, i+1, len(v)), add)
		}
	case HMAC:
		add(step, "HMAC of %d bits, %s", 8*v.Hash().Size(), v.explained(req))
	case PublicKey:
		add(step, "a signature with a private key, %s", v.explained(req))
	case SharedToken:
		add(step, "a token at %s", presence(v.places(), req))
	case Addresses:
		add(step, "an address of %d networks; the client's is %s", len(v), req.Client)
	case Certificates:
		add(step, "the client's certificate, of %d in the definition", len(v))
	case sharedJWT:
		explainProof(v.JWT, req, step, add)
	case JWT:
		keys := "the integration's secret as the key"
		if v.KeysFrom != "" {
			keys = "keys from " + v.KeysFrom + " and the integration's secret as its " + v.SecretIs
		}
		add(step, "a JSON Web Token at %s, with %s", presence(v.Place.places(), req), keys)
	default:
		add(step, "%s", strings.TrimPrefix(fmt.Sprintf("%T", v), "provider."))
	}
}

// explained tells where the signatures are and what they cover.
func (s Signed) explained(req Request) string {
	places := s.At
	if places == nil {
		places = []spot{{kind: inHeader, name: s.Header}}
	}
	text := "at " + presence(places, req) + ", over "
	if s.Over == nil {
		return text + "{body}"
	}
	for _, p := range s.Over {
		switch {
		case p.spot != nil:
			text += "{" + p.spot.String() + "}"
		case p.part != "":
			text += "{" + p.part + "}"
		default:
			text += p.literal
		}
	}
	return text
}

// presence lists places, and which of them the request has. It shows no value: it may be a
// secret.
func presence(places []spot, req Request) string {
	list := make([]string, len(places))
	for i, p := range places {
		list[i] = p.String() + " (missing)"
		if value, err := p.read(req); err == nil {
			list[i] = fmt.Sprintf("%s (%d bytes)", p, len(value))
		}
	}
	return strings.Join(list, ", ")
}
