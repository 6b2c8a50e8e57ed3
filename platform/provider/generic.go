package provider

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"integration-gateway/platform/secret"
)

const genericName = "generic"

var _ = register(generic)

// generic is a user-defined provider: each integration has its definition in the option
// generic.
func generic() Spec {
	return Spec{
		Name:  genericName,
		Title: "A provider of your own",
		Help: "The option generic says how requests are authenticated (hmac, token, basic, standard-webhooks, ed25519, ecdsa or rsa) and where to find the event's id, type, subject and time: " +
			"in a header or at a JSON path.",
		Guide: Guide{
			Docs: "https://www.rfc-editor.org/rfc/rfc9535",
			Steps: []string{
				"Write the definition as the integration's option generic; docs/provider-definitions.md has an example.",
				"At the sender, enter <URL> as the webhook's URL.",
			},
			Paste: "what the scheme needs: the key of an HMAC, the token, user:password for basic, or whsec_… for standard-webhooks",
		},
		Verify:    undefined{},
		Normalize: func(Request) ([]Event, error) { return nil, refuse(NoMatch, "the integration has no definition") },
	}
}

// undefined verifies nothing: there is no definition yet.
type undefined struct{}

// Verify refuses every request.
func (undefined) Verify(Request, []Secret) (Match, error) {
	return Match{}, refuse(NoMatch, "the integration has no definition")
}

// BasicAuth is HTTP's Basic scheme (RFC 7617); the secret is user:password.
type BasicAuth struct{}

// Verify compares the user and password with every secret.
func (BasicAuth) Verify(req Request, secrets []Secret) (Match, error) {
	const name = "Authorization"
	if _, err := credential(req.Header, name); err != nil {
		return Match{}, err
	}
	user, password, ok := (&http.Request{Header: req.Header}).BasicAuth()
	if !ok {
		return Match{}, refuse(MalformedSignature, "%s holds no user and password", name)
	}
	return matchAny(secrets, func(s secret.Value) bool { return s.Equal(user + ":" + password) })
}

// SignRequest sets the user and password.
func (BasicAuth) SignRequest(req *Request, key secret.Value) error {
	user, password, _ := strings.Cut(key.Reveal(), ":")
	r := http.Request{Header: req.Header}
	r.SetBasicAuth(user, password)
	return nil
}

// mapping reads where an event's fields are.
func (d EventDefinition) mapping(r *reading, v Verifier) Mapping {
	m := Mapping{
		ID: covered(r.finder("event.id", d.ID, false), d.ID.At, v), Type: r.finder("event.type", d.Type, true),
		Subject: r.finder("event.subject", d.Subject, false), Items: d.Items.Each, Parts: d.Items.steps(r, "event.items"),
	}
	unit := choose(r, "event.timeUnit", d.Unit, choice[Unit]{"rfc3339", RFC3339}, choice[Unit]{"seconds", Seconds}, choice[Unit]{"milliseconds", Milliseconds}, choice[Unit]{"any", AnyTime})
	if !d.Time.IsZero() {
		m.Time = at(unit, r.finder("event.time", d.Time, false))
	}
	return m
}

// covered returns the finder of an event's id, or of the signed id if the id's place is the
// signed header.
func covered(id finder, place string, v Verifier) finder {
	name, isHeader := strings.CutPrefix(place, "header:")
	var signed []string
	switch v := v.(type) {
	case Standard:
		for _, prefix := range v.Prefixes {
			signed = append(signed, prefix+"id")
		}
	case HMAC:
		if v.Over.names(partID) {
			signed = append(signed, v.ID)
		}
		for _, s := range v.Over.spots() {
			if isHeader && s.kind == inHeader && strings.EqualFold(s.name, name) {
				id.headers = nil // it is signed
			}
		}
	}
	if isHeader && slices.ContainsFunc(signed, func(header string) bool { return strings.EqualFold(header, name) }) {
		return signedID("the signed header " + name)
	}
	return id
}

// challenge answers a GET with the value of one parameter if another holds a secret.
func (d ChallengeDefinition) challenge(r *reading) func(Request, []Secret) (*Reply, error) {
	switch {
	case d.Parameter == "" && d.Token == "":
		return nil
	case d.Parameter == "":
		r.wrong("challenge.parameter", "It is required: the parameter whose value is returned, such as hub.challenge.")
	case d.Token == "":
		r.wrong("challenge.token", "It is required: the parameter that holds one of the secrets, such as hub.verify_token.")
	}
	return func(req Request, secrets []Secret) (*Reply, error) {
		query := url.Values{}
		if u, err := url.Parse(req.URL); err == nil {
			query = u.Query()
		}
		value, shown := query[d.Parameter], query[d.Token]
		if len(value) != 1 || len(shown) != 1 || len(value[0]) > maxChallenge || !printable(value[0]) {
			return nil, refuse(MissingSignature, "the request lacks %s or %s", d.Parameter, d.Token)
		}
		if _, err := matchAny(of(Challenge, secrets), func(s secret.Value) bool { return s.Equal(shown[0]) }); err != nil {
			return nil, err
		}
		return &Reply{Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", Body: []byte(value[0]), What: "challenge"}, nil
	}
}

// maxChallenge bounds the returned value.
const maxChallenge = 1024

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' })
}

func (BasicAuth) headers() []string { return []string{"Authorization"} }
