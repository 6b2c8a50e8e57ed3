package provider

import (
	"crypto/hmac"
	"crypto/sha256"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"integration-gateway/platform/secret"
)

// answerText is a text with places.
type answerText []answerPiece

type answerPiece struct {
	literal string
	place   finder
	hmac    *Encoding // of the place's HMAC; nil for the place itself
}

func (t answerText) signs() bool {
	for _, p := range t {
		if p.hmac != nil {
			return true
		}
	}
	return false
}

var placeholder = regexp.MustCompile(`\{((?:hmac-hex:|hmac-base64:)?(?:\$|header:|query:|form:)[^{}"]*)\}`)

func (a AnswerDefinition) compile(r *reading, at string) (answerText, map[string]answerText) {
	if a.Status != 0 && (a.Status < 200 || a.Status > 299) {
		r.wrong(at+".status", "It must be from 200 to 299.")
	}
	return a.compileTexts(r, at)
}

// ownHeaders are headers that the server or the gateway itself sets, and those that make a
// client do something.
var ownHeaders = []string{"Set-Cookie", "Content-Type", "Location", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection", "Trailer", "Upgrade", "Date",
	"X-Correlation-Id", "X-Event-Id", "X-Event-Status"}

func (a AnswerDefinition) compileTexts(r *reading, at string) (answerText, map[string]answerText) {
	kind := strings.ToLower(a.ContentType)
	switch {
	case !httpguts.ValidHeaderFieldValue(a.ContentType) || strings.Contains(kind, "html") || strings.Contains(kind, "svg"):
		r.wrong(at+".contentType", "It must be a media type that no browser runs, such as application/json.")
	case a.Body != "" && (a.Status == http.StatusNoContent || a.Status == http.StatusResetContent):
		r.wrong(at+".body", "An answer with the status %d has no body.", a.Status)
	case len(a.Headers) > maxAnswerHeaders:
		r.wrong(at+".headers", "It may have at most %d.", maxAnswerHeaders)
	}
	header := map[string]answerText{}
	for name, value := range a.Headers {
		own := slices.ContainsFunc(ownHeaders, func(h string) bool { return strings.EqualFold(name, h) })
		switch {
		case !httpguts.ValidHeaderFieldName(name) || own:
			r.wrong(at+".headers", "%q is not a header that an answer may have.", name)
		case !httpguts.ValidHeaderFieldValue(value):
			r.wrong(at+".headers", "The value of %s must be one line of text.", name)
		}
		header[name] = r.answerText(at+".headers", value)
	}
	return r.answerText(at+".body", a.Body), header
}

const maxAnswerHeaders = 16

// compileAll compiles the answers to webhooks.
func (a AnswersDefinition) compileAll(r *reading, s *Spec) {
	if a.given() {
		s.Acknowledge = a.acknowledge(r, "answer")
	}
	if a.Duplicate != nil {
		s.AcknowledgeDuplicate = a.Duplicate.acknowledge(r, "answer.duplicate")
	}
	if a.Refused != nil {
		s.Refusal = a.Refused.refusal(r, "answer.refused")
	}
}

func (a AnswerDefinition) acknowledge(r *reading, at string) func(Request) *Reply {
	body, header := a.compile(r, at)
	if body.signs() {
		r.wrong(at+".body", "Only a handshake signs its answer.")
	}
	return func(req Request) *Reply {
		reply, ok := a.fill(inputOf(req), body, header, nil)
		if !ok {
			return nil
		}
		return reply
	}
}

// refusal compiles the answer to what is refused. It must tell the provider so: one that reads a
// 2xx never sends the webhook again, and the quarantine keeps only so many. A 410 makes
// providers delete their subscription, and a 408, 425 or 429 makes them wait.
func (a AnswerDefinition) refusal(r *reading, at string) *Reply {
	switch a.Status {
	case 0:
		a.Status = http.StatusUnauthorized
	case http.StatusRequestTimeout, http.StatusGone, http.StatusTooEarly, http.StatusTooManyRequests:
		r.wrong(at+".status", "%d asks the provider to wait or to stop; write 401 or 400.", a.Status)
	}
	if a.Status < 400 || a.Status > 499 {
		r.wrong(at+".status", "It must be from 400 to 499: with %d the provider would not know that the webhook was refused, and not send it again.", a.Status)
	}
	for _, text := range append(slices.Collect(maps.Values(a.Headers)), a.Body) {
		if placeholder.MatchString(text) {
			r.wrong(at, "It may name no places: anybody can have a request refused.")
		}
	}
	body, header := a.compileTexts(r, at)
	reply, _ := a.fill(input{}, body, header, nil) // which has no places
	return reply
}

func (r *reading) answerText(field, text string) answerText {
	if len(text) > maxChallenge {
		r.wrong(field, "It may have %d characters.", maxChallenge)
		return nil
	}
	var t answerText
	last := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, maxHandshakes) {
		t = append(t, answerPiece{literal: text[last:m[0]]})
		place := text[m[2]:m[3]]
		var p answerPiece
		for prefix, encoding := range map[string]Encoding{"hmac-hex:": Hex, "hmac-base64:": Base64} {
			if rest, ok := strings.CutPrefix(place, prefix); ok {
				place, p.hmac = rest, &encoding
			}
		}
		p.place = r.finder(field, At(place), true)
		t, last = append(t, p), m[1]
	}
	return append(t, answerPiece{literal: text[last:]})
}

// signable matches what may be signed for a stranger: nothing that could be a JSON body, or a
// message of a template with punctuation.
var signable = regexp.MustCompile(`^[A-Za-z0-9+/=_-]+$`)

// fill writes the answer; ok is false if a place is empty or holds what must not be repeated.
func (a AnswerDefinition) fill(in input, body answerText, header map[string]answerText, secrets []Secret) (*Reply, bool) {
	reply := &Reply{Status: http.StatusOK, ContentType: a.ContentType}
	if a.Status != 0 {
		reply.Status = a.Status
	}
	if reply.ContentType == "" {
		reply.ContentType = "text/plain; charset=utf-8"
	}
	var ok bool
	if reply.Body, ok = body.fill(in, secrets, strings.Contains(a.ContentType, "json")); !ok {
		return nil, false
	}
	for name, text := range header {
		value, ok := text.fill(in, secrets, false)
		if !ok {
			return nil, false
		}
		if reply.Header == nil {
			reply.Header = map[string]string{}
		}
		reply.Header[name] = string(value)
	}
	return reply, true
}

func (t answerText) fill(in input, secrets []Secret, quote bool) ([]byte, bool) {
	var b []byte
	for _, p := range t {
		b = append(b, p.literal...)
		if p.place.find == nil {
			continue
		}
		found := p.place.in(in)
		switch {
		case found.text == "" || len(found.text) > maxChallenge || !printable(found.text):
			return nil, false
		case p.hmac != nil:
			key, ok := newest(secrets)
			if !ok || !signable.MatchString(found.text) {
				return nil, false
			}
			mac := hmac.New(sha256.New, []byte(key.Reveal()))
			mac.Write([]byte(found.text))
			b = append(b, p.hmac.encode(mac.Sum(nil))...)
		case quote:
			b = append(b, found.asSent()...)
		default:
			b = append(b, found.text...)
		}
	}
	return b, true
}

// newest returns the secret that was added last.
func newest(secrets []Secret) (key secret.Value, ok bool) {
	id := ""
	for _, s := range secrets {
		if !s.Value.Empty() && s.ID >= id {
			key, id, ok = s.Value, s.ID, true
		}
	}
	return key, ok
}

// stored compiles where a handshake brings a secret.
func (d HandshakeDefinition) stored(r *reading, s *Spec, at string) (Purpose, finder) {
	purpose := d.Store.Purpose
	if purpose == "" {
		purpose = s.PurposeOf(secret.Value{})
	}
	switch {
	case d.bare():
		r.wrong(at, "Only a POST brings a secret.")
	case purpose != Signing && purpose != Token && purpose != Challenge || !s.Uses(purpose):
		r.wrong(at+".purpose", "It is what the secret is for, signing, token or challenge, and something of the provider must use such a secret; %q is not used.", purpose)
	}
	s.StoresSecrets = true
	return purpose, r.finder(at+".secret", d.Store.Secret, true)
}

// ArrivedSecret is a secret that a handshake brings. Anybody may have sent it: it verifies nothing until
// an operator confirms it.
type ArrivedSecret struct {
	Handshake string
	Purpose   Purpose
	Value     secret.Value
}
