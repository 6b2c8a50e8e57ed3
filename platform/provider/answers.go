package provider

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// HandshakeDefinition is a request that is answered and makes no event.
type HandshakeDefinition struct {
	Name string `json:"name"` // as the audit trail has it
	// Method is POST (the default, which stands for every method of webhooks), GET or OPTIONS.
	// Nothing signs the last two.
	Method string `json:"method,omitempty"`
	// Unsigned says that the provider does not sign this POST. Anybody can make the gateway
	// answer it.
	Unsigned bool `json:"unsigned,omitempty"`
	// Token is where a GET or an OPTIONS shows a secret of the purpose challenge.
	Token Place `json:"token,omitzero"`
	// When lists conditions, which all must hold.
	When []ConditionDefinition `json:"when"`
	// Store keeps a secret that the request brings, until an operator confirms it.
	Store *StoreDefinition `json:"store,omitempty"`
	// Answer's texts may name places, such as {$.challenge}, and {hmac-hex:…} and
	// {hmac-base64:…}, the HMAC-SHA256 of a place with the integration's newest secret.
	Answer AnswerDefinition `json:"answer"`
}

// StoreDefinition says where a handshake brings a secret, and what that is for.
type StoreDefinition struct {
	Secret  Place   `json:"secret"`
	Purpose Purpose `json:"purpose,omitempty"` // by default what proves the provider's webhooks
}

// ConditionDefinition holds if a place has this value, or any if none is given.
type ConditionDefinition struct {
	Place Place  `json:"place"`
	Is    string `json:"is,omitempty"`
}

// AnswerDefinition is an answer in the form that a provider requires.
type AnswerDefinition struct {
	Status      int               `json:"status,omitempty"`      // 200 by default
	ContentType string            `json:"contentType,omitempty"` // text/plain by default
	Body        string            `json:"body,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
}

// AnswersDefinition is what webhooks are answered with in place of the gateway's receipts: one
// that is stored, and others where they differ.
type AnswersDefinition struct {
	AnswerDefinition
	Duplicate *AnswerDefinition `json:"duplicate,omitempty"` // to one that is known; as to a new one by default
	// Refused is for a webhook that fails verification or cannot be read. It is the same for
	// everybody, so it names no places.
	Refused *AnswerDefinition `json:"refused,omitempty"`
}

func (a AnswerDefinition) given() bool {
	return a.Status != 0 || a.ContentType != "" || a.Body != "" || a.Headers != nil
}

const maxHandshakes = 8

// handshake is a compiled HandshakeDefinition.
type handshake struct {
	HandshakeDefinition
	token  finder
	store  finder // of a secret, which is for:
	brings Purpose
	when   []condition
	body   answerText
	header map[string]answerText
}

type condition struct {
	place finder
	is    string
}

// answers compiles what is answered besides the receipt.
func (d Definition) answers(r *reading, s *Spec) {
	if len(d.Handshakes) > maxHandshakes {
		r.wrong("handshakes", "It may list at most %d.", maxHandshakes)
		return
	}
	var gets, preflights, signed, unsigned []handshake
	for i, one := range d.Handshakes {
		h := one.compile(r, s, fmt.Sprintf("handshakes[%d]", i))
		if h.body.signs() && (one.bare() || one.Unsigned) && len(s.ContentTypes) > 0 {
			r.wrong(fmt.Sprintf("handshakes[%d].answer.body", i), "Without a signature it may sign only for providers whose bodies are JSON: a form could be signed for anybody.")
		}
		switch {
		case one.Method == http.MethodGet:
			gets = append(gets, h)
		case one.Method == http.MethodOptions:
			preflights = append(preflights, h)
		case one.Unsigned:
			unsigned = append(unsigned, h)
		default:
			signed = append(signed, h)
		}
	}
	if gets != nil {
		s.Challenge = challengeOf(s.Challenge, gets)
	}
	if preflights != nil {
		s.Preflight = challengeOf(nil, preflights)
	}
	if signed != nil {
		s.Handshake = func(req Request) *Reply { return answerFirst(signed, req, req.Keys) }
	}
	if unsigned != nil {
		s.Greet = func(req Request, secrets []Secret) *Reply {
			reply := answerFirst(unsigned, req, secrets)
			if reply != nil {
				reply.Unproved = true
			}
			return reply
		}
	}
	d.Answer.compileAll(r, s)
}

// bare reports whether the request is of a method that has no body.
func (d HandshakeDefinition) bare() bool {
	return d.Method == http.MethodGet || d.Method == http.MethodOptions
}

func (d HandshakeDefinition) compile(r *reading, s *Spec, at string) handshake {
	h := handshake{HandshakeDefinition: d}
	switch {
	case !plainName.MatchString(d.Name):
		r.wrong(at+".name", "It is required: up to 64 letters, digits, ., - and _, as the audit trail shows it.")
	case d.Method != "" && d.Method != http.MethodPost && !d.bare():
		r.wrong(at+".method", "%q is unknown; write POST, GET or OPTIONS.", d.Method)
	case !d.Token.IsZero() && !d.bare():
		r.wrong(at+".token", "Only a GET or an OPTIONS shows a token.")
	case len(d.When) == 0 || len(d.When) > maxHandshakes:
		r.wrong(at+".when", "It must list 1 to %d conditions, or every request would be answered.", maxHandshakes)
	}
	h.token = r.finder(at+".token", d.Token, false)
	if d.Store != nil {
		h.brings, h.store = d.stored(r, s, at+".store")
	}
	for i, c := range d.When {
		h.when = append(h.when, condition{r.finder(fmt.Sprintf("%s.when[%d].place", at, i), c.Place, true), c.Is})
	}
	h.body, h.header = d.Answer.compile(r, at+".answer")
	return h
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// inputOf is a request as places are read from it; the body is empty if it is neither a
// JSON object nor a list.
func inputOf(req Request) input {
	in := input{req: req, raw: []byte(`{}`), body: object{}, doc: &document{}, work: newWork()}
	if text, err := jsonBody(req); err == nil {
		if body, err := parseObject(text); err == nil {
			in.raw, in.body = text, body
		} else if list := bytes.Trim(WithoutBOM(text), " \t\r\n"); reasonOf(err) == "not_an_object" && list[0] == '[' {
			in.raw = list
		}
	}
	return in
}

// answerFirst answers the first handshake whose conditions hold; nil if there is none.
func answerFirst(all []handshake, req Request, secrets []Secret) *Reply {
	in := inputOf(req)
	for _, h := range all {
		if !h.holds(in) {
			continue
		}
		reply, ok := h.Answer.fill(in, h.body, h.header, of(Signing, secrets))
		if !ok {
			continue
		}
		reply.What = h.Name
		if h.store.find != nil {
			reply.Arrived = &ArrivedSecret{h.Name, h.brings, secret.New(h.store.in(in).text)}
		}
		return reply
	}
	return nil
}

func (h handshake) holds(in input) bool {
	if h.store.find != nil && h.store.in(in).text == "" {
		return false
	}
	for _, c := range h.when {
		if found := c.place.in(in).text; found == "" || c.is != "" && found != c.is {
			return false
		}
	}
	return true
}

// challengeOf answers GETs, or OPTIONS. One that shows no token is not a proof of anything.
func challengeOf(short func(Request, []Secret) (*Reply, error), all []handshake) func(Request, []Secret) (*Reply, error) {
	return func(req Request, secrets []Secret) (reply *Reply, err error) {
		err = refuse(MissingSignature, "the request is none of the provider's handshakes")
		if short != nil {
			if reply, err = short(req, secrets); err == nil {
				return reply, nil
			}
		}
		in := inputOf(req)
		for _, h := range all {
			if !h.holds(in) {
				continue
			}
			if h.token.find != nil {
				shown := h.token.in(in).text
				if _, err := matchAny(of(Challenge, secrets), func(s secret.Value) bool { return s.Equal(shown) }); err != nil {
					return nil, err
				}
			}
			if reply, ok := h.Answer.fill(in, h.body, h.header, of(Signing, secrets)); ok {
				reply.What, reply.Unproved = h.Name, h.token.find == nil
				return reply, nil
			}
		}
		return nil, err
	}
}

// Reply is an answer in the form that a provider requires.
type Reply struct {
	Status      int
	ContentType string
	Body        []byte
	Header      map[string]string // besides the content type
	What        string            // names the handshake in the audit trail: "url_verification"
	Open        string            // a page that must be opened to complete the handshake; "" for none
	Visit       bool              // the gateway opens it
	Unproved    bool              // anybody may have sent the request: it is not audited
	Arrived     *ArrivedSecret    // must be stored before the answer; nil for none
}

// HandshakeReply answers a request that is not an event; nil for events.
func (s Spec) HandshakeReply(req Request) *Reply {
	if s.Handshake == nil {
		return nil
	}
	return s.Handshake(req)
}

// GreetingReply answers a request that checks the address and that the provider does not sign;
// nil for others.
func (s Spec) GreetingReply(req Request, secrets []Secret) *Reply {
	if s.Greet == nil {
		return nil
	}
	return s.Greet(req, secrets)
}

// AcknowledgeReply returns the provider's own answer to a stored webhook, or to one that was
// stored before; nil for the gateway's receipt.
func (s Spec) AcknowledgeReply(req Request, duplicate bool) *Reply {
	if duplicate && s.AcknowledgeDuplicate != nil {
		return s.AcknowledgeDuplicate(req)
	}
	if s.Acknowledge == nil {
		return nil
	}
	return s.Acknowledge(req)
}

// RefusalReply returns the provider's own answer to a webhook that was refused with err; nil for
// the gateway's. Refusals that another try may change, and those of the request's method, type or
// size, are always the gateway's.
func (s Spec) RefusalReply(err error) *Reply {
	if !fault.Is(err, fault.Unauthorized) && !fault.Is(err, fault.Invalid) {
		return nil
	}
	return s.Refusal
}
