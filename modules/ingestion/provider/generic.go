package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/theory/jsonpath"
	"github.com/theory/jsonpath/spec"
	"golang.org/x/net/http/httpguts"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

const genericName = "generic"

var _ = register(generic)

// generic is a provider of one's own: each integration brings its definition along as
// the option generic.
func generic() Spec {
	return Spec{
		Name:  genericName,
		Title: "A provider of your own",
		Help: "The option generic says how requests are proved (hmac, token, basic or standard-webhooks) and where the event's id, type, subject and time stand: " +
			"in a header or at a JSON path.",
		Guide: Guide{
			Docs: "https://www.rfc-editor.org/rfc/rfc9535",
			Steps: []string{
				"Write the definition as the integration's option generic; docs/providers.md has an example.",
				"Enter <URL> as the webhook's address at the sender.",
			},
			Paste: "what the scheme needs: the key of an HMAC, the token, user:password for basic, or whsec_… for standard-webhooks",
		},
		Verify:    undefined{},
		Normalize: func(Request) ([]Event, error) { return nil, refuse(NoMatch, "the integration has no definition") },
	}
}

// undefined is what there is before a definition: it lets nothing in.
type undefined struct{}

// Verify refuses.
func (undefined) Verify(Request, []Secret) (Match, error) {
	return Match{}, refuse(NoMatch, "the integration has no definition")
}

// BasicAuth is HTTP's Basic scheme (RFC 7617); the secret is user:password.
type BasicAuth struct{}

// Verify holds the user and password against every secret.
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

// SignRequest shows the user and password.
func (BasicAuth) SignRequest(req *Request, key secret.Value) error {
	user, password, _ := strings.Cut(key.Reveal(), ":")
	r := http.Request{Header: req.Header}
	r.SetBasicAuth(user, password)
	return nil
}

// mapping reads where an event's parts stand.
func (d EventDefinition) mapping(r *reading) Mapping {
	m := Mapping{
		ID: r.finder("event.id", d.ID, false), Type: r.finder("event.type", d.Type, true),
		Subject: r.finder("event.subject", d.Subject, false), Items: d.Items,
	}
	unit := choose(r, "event.timeUnit", d.Unit, choice[Unit]{"rfc3339", RFC3339}, choice[Unit]{"seconds", Seconds}, choice[Unit]{"milliseconds", Milliseconds})
	if d.Time != "" {
		m.Time = at(unit, r.finder("event.time", d.Time, false))
	}
	return m
}

// finder reads a place: header:…, text:… or a JSON path.
func (r *reading) finder(field, place string, needed bool) finder {
	name, isHeader := strings.CutPrefix(place, "header:")
	text, isText := strings.CutPrefix(place, "text:")
	switch {
	case place == "" && needed:
		r.wrong(field, "It is required: header:<name>, text:<always the same>, or a JSON path such as $.type.")
	case place == "":
	case isHeader && httpguts.ValidHeaderFieldName(name):
		return header(name)
	case isHeader:
		r.wrong(field, "%q is no name of a header.", name)
	case isText && text != "":
		return constant(text)
	default:
		path, err := jsonpath.Parse(place)
		if err != nil {
			r.wrong(field, "It is neither header:<name> nor text:<text> nor a JSON path: %s.", strings.TrimPrefix(err.Error(), "jsonpath: "))
			break
		}
		if costly(path) {
			r.wrong(field, "The JSON path may ask for more than its worth: it may have one selector in each step, and either one .. or filters without .. and $.")
			break
		}
		return located(path)
	}
	return finder{}
}

// Texts in a path's canonical form, which hold no operators, and lists of selectors.
var (
	quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`)
	selectors  = regexp.MustCompile(`\[[^\[\]()]*,`)
)

// costly reports whether the work for a path may grow faster than the body: each .. and
// each list of selectors multiplies what is visited, and a filter may do so for every item.
func costly(path *jsonpath.Path) bool {
	text := quotedText.ReplaceAllString(path.String(), "''")
	deep := strings.Count(text, "..")
	return deep > 1 || deep == 1 && strings.Contains(text, "?") || strings.Count(text, "$") > 1 || selectors.MatchString(text)
}

// located finds the first string or number at a JSON path, as it was sent.
func located(path *jsonpath.Path) finder {
	return finder{where: path.String(), find: func(in input) token {
		for _, node := range path.SelectLocated(in.tree()) {
			if !telling(node.Node) {
				continue // each walk reads the body again, and there may be as many nodes as bytes
			}
			if t := in.body.walk(node.Path); t.text != "" {
				return t
			}
		}
		return token{}
	}}
}

// telling reports whether a decoded value is a text or a number, and not an empty one.
func telling(value any) bool {
	switch v := value.(type) {
	case string:
		return v != ""
	case json.Number:
		return true
	}
	return false
}

// walk follows a path that was found in the body, to the bytes that were sent: decoding
// has folded broken surrogates, and with them ids that differ.
func (o object) walk(path spec.NormalizedPath) token {
	for i, step := range path {
		name, isName := step.(spec.Name)
		if !isName {
			return token{}
		}
		if i == len(path)-1 {
			return o.identifier(string(name))
		}
		if index, isIndex := path[i+1].(spec.Index); isIndex {
			return element(o[string(name)], int(index), path[i+2:])
		}
		if o = o.inner(string(name)); o == nil {
			return token{}
		}
	}
	return token{}
}

// element follows a path on from an array's element.
func element(raw json.RawMessage, index int, rest spec.NormalizedPath) token {
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil || index < 0 || index >= len(items) {
		return token{}
	}
	if len(rest) == 0 {
		return object{"": items[index]}.identifier("")
	}
	if next, isIndex := rest[0].(spec.Index); isIndex {
		return element(items[index], int(next), rest[1:])
	}
	return object{"": items[index]}.inner("").walk(rest)
}

// challenge answers a GET with the value of a parameter, when another shows a secret.
func (d ChallengeDefinition) challenge(r *reading) func(Request, []Secret) (*Reply, error) {
	switch {
	case d.Parameter == "" && d.Token == "":
		return nil
	case d.Parameter == "":
		r.wrong("challenge.parameter", "It is required: the parameter whose value is sent back, such as hub.challenge.")
	case d.Token == "":
		r.wrong("challenge.token", "It is required: the parameter that shows one of the secrets, such as hub.verify_token.")
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
		if _, err := matchAny(secrets, func(s secret.Value) bool { return s.Equal(shown[0]) }); err != nil {
			return nil, err
		}
		return &Reply{Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", Body: []byte(value[0]), What: "challenge"}, nil
	}
}

// maxChallenge bounds what comes back to whoever knows a secret.
const maxChallenge = 1024

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' })
}

var definedName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Named is a provider that the configuration defines under a name.
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
		return Spec{}, fault.Invalid.New("wrong_definition", "A provider is named with lower-case letters, digits, - and _, at most 64.").At("providers." + n.Name)
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
			return Spec{}, fault.Invalid.New("wrong_definition", "A sample has a type and a body.").At(fmt.Sprintf("providers.%s.samples[%d]", n.Name, i))
		}
	}
	s.Guide = Guide{Steps: []string{fmt.Sprintf("Enter <URL> as the webhook's address at %s.", s.Title)}, Paste: "what the definition's scheme needs"}
	return s, s.check()
}

func (BasicAuth) headers() []string { return []string{"Authorization"} }
