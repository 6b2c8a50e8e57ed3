package provider

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/theory/jsonpath"
	"golang.org/x/net/http/httpguts"

	"integration-gateway/platform/fault"
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
		Help: "The option generic says how requests are authenticated (hmac, token, basic or standard-webhooks) and where to find the event's id, type, subject and time: " +
			"in a header or at a JSON path.",
		Guide: Guide{
			Docs: "https://www.rfc-editor.org/rfc/rfc9535",
			Steps: []string{
				"Write the definition as the integration's option generic; docs/providers.md has an example.",
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
		ID: covered(r.finder("event.id", d.ID, false), d.ID, v), Type: r.finder("event.type", d.Type, true),
		Subject: r.finder("event.subject", d.Subject, false), Items: d.Items,
	}
	unit := choose(r, "event.timeUnit", d.Unit, choice[Unit]{"rfc3339", RFC3339}, choice[Unit]{"seconds", Seconds}, choice[Unit]{"milliseconds", Milliseconds}, choice[Unit]{"any", AnyTime})
	if d.Time != "" {
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
	}
	if isHeader && slices.ContainsFunc(signed, func(header string) bool { return strings.EqualFold(header, name) }) {
		return signedID("the signed header " + name)
	}
	return id
}

// finder reads a place: header:…, text:… or a JSON path.
func (r *reading) finder(field, place string, needed bool) finder {
	name, isHeader := strings.CutPrefix(place, "header:")
	text, isText := strings.CutPrefix(place, "text:")
	switch {
	case place == "" && needed:
		r.wrong(field, "It is required: header:<name>, text:<constant>, or a JSON path such as $.type.")
	case place == "":
	case isHeader && httpguts.ValidHeaderFieldName(name):
		return header(name)
	case isHeader:
		r.wrong(field, "%q is not a valid header name.", name)
	case isText && text != "":
		return constant(text)
	default:
		path, err := jsonpath.Parse(place)
		if err != nil {
			r.wrong(field, "It is neither header:<name> nor text:<text> nor a JSON path: %s.", strings.TrimPrefix(err.Error(), "jsonpath: "))
			break
		}
		if costly(path) {
			r.wrong(field, "The JSON path may be too expensive: it may have %d steps with one selector each, and either one .. or %d filters without .. and $. match() and search() need a literal expression.", maxSegments, maxFilters)
			break
		}
		return located(path)
	}
	return finder{}
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

var definedName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Named is a provider that the configuration defines.
type Named struct {
	Name  string `json:"-"`
	Title string `json:"title"`
	Help  string `json:"help"`
	Definition
	Samples []Sample `json:"samples"`
}

// Spec checks the definition. Its errors name the provider and the field.
func (n Named) Spec() (Spec, error) {
	if !definedName.MatchString(n.Name) {
		return Spec{}, fault.Invalid.New("wrong_definition", "A provider's name consists of at most 64 lower-case letters, digits, - and _.").At("providers." + n.Name)
	}
	s, err := n.spec(n.Name, "providers."+n.Name)
	if err != nil {
		return Spec{}, err
	}
	s.Title, s.Help, s.Samples = n.Title, n.Help, n.Samples
	if s.Title == "" {
		s.Title = n.Name
	}
	for i, sample := range s.Samples {
		if sample.Type == "" || sample.Body == "" {
			return Spec{}, fault.Invalid.New("wrong_definition", "A sample needs a type and a body.").At(fmt.Sprintf("providers.%s.samples[%d]", n.Name, i))
		}
	}
	s.Guide = Guide{Steps: []string{fmt.Sprintf("At %s, enter <URL> as the webhook's URL.", s.Title)}, Paste: "what the definition's scheme needs"}
	return s, s.check()
}

func (BasicAuth) headers() []string { return []string{"Authorization"} }
