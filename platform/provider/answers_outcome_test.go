package provider

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

func answering(a AnswersDefinition) (Spec, error) {
	return Definition{Proof: Proof{Scheme: "token", Signature: SignatureDefinition{Header: "X-Token"}}, Event: EventDefinition{Type: At("text:a")}, Answer: a}.spec("x", "")
}

func TestAnswersDifferByOutcome(t *testing.T) {
	req := Request{Method: http.MethodPost, URL: sampleURL, Header: http.Header{}, Body: []byte(`{"n":7}`)}
	refused := refuse(NoMatch, "none")
	s, err := answering(AnswersDefinition{AnswerDefinition: AnswerDefinition{Status: 201, Body: "[accepted]"}})
	require.NoError(t, err)
	for _, duplicate := range []bool{false, true} {
		require.Equal(t, &Reply{Status: 201, ContentType: "text/plain; charset=utf-8", Body: []byte("[accepted]")}, s.AcknowledgeReply(req, duplicate))
	}
	require.Nil(t, s.RefusalReply(refused), "what is not said is the gateway's")

	s, err = answering(AnswersDefinition{Duplicate: &AnswerDefinition{ContentType: "application/json", Body: `{"known":{$.n}}`}, Refused: &AnswerDefinition{Body: "no"}})
	require.NoError(t, err)
	require.Nil(t, s.AcknowledgeReply(req, false))
	require.Equal(t, `{"known":7}`, string(s.AcknowledgeReply(req, true).Body))
	require.Equal(t, &Reply{Status: 401, ContentType: "text/plain; charset=utf-8", Body: []byte("no")}, s.RefusalReply(refused))
	require.Equal(t, s.Refusal, s.RefusalReply(fault.Invalid.New("malformed_json", "It is not JSON.")))
	for _, kind := range []fault.Kind{fault.RateLimited, fault.Unavailable, fault.Internal, fault.NotFound, fault.TooLarge, fault.UnsupportedMedia, fault.MethodNotAllowed} {
		require.Nil(t, s.RefusalReply(kind.New("a", "b")), "a try later may succeed, or the gateway's answer says more")
	}
	require.Nil(t, s.RefusalReply(nil))
}

func TestTheMistakesOfAnswers(t *testing.T) {
	status := func(n int) AnswerDefinition { return AnswerDefinition{Status: n} }
	header := func(name, value string) AnswerDefinition {
		return AnswerDefinition{Headers: map[string]string{name: value}}
	}
	many := map[string]string{}
	for i := range maxAnswerHeaders + 1 {
		many["X-"+strings.Repeat("a", i+1)] = "b"
	}
	for _, c := range []struct {
		is      AnswersDefinition
		field   string
		message string
	}{
		{AnswersDefinition{AnswerDefinition: status(401)}, "answer.status", "from 200 to 299"},
		{AnswersDefinition{Duplicate: new(status(409))}, "answer.duplicate.status", "from 200 to 299"},
		{AnswersDefinition{Refused: new(status(200))}, "answer.refused.status", "not send it again"},
		{AnswersDefinition{Refused: new(status(204))}, "answer.refused.status", "not send it again"},
		{AnswersDefinition{Refused: new(status(302))}, "answer.refused.status", "from 400 to 499"},
		{AnswersDefinition{Refused: new(status(503))}, "answer.refused.status", "from 400 to 499"},
		{AnswersDefinition{Refused: new(status(410))}, "answer.refused.status", "410 asks the provider"},
		{AnswersDefinition{Refused: new(status(429))}, "answer.refused.status", "429 asks the provider"},
		{AnswersDefinition{Refused: &AnswerDefinition{Body: "{$.a}"}}, "answer.refused", "no places"},
		{AnswersDefinition{Refused: &AnswerDefinition{Body: "{hmac-hex:$.a}"}}, "answer.refused", "no places"},
		{AnswersDefinition{Refused: new(header("X-A", "{header:X-B}"))}, "answer.refused", "no places"},
		{AnswersDefinition{Duplicate: &AnswerDefinition{Body: "{hmac-hex:$.a}"}}, "answer.duplicate.body", "Only a handshake"},
		{AnswersDefinition{AnswerDefinition: AnswerDefinition{Status: 204, Body: "a"}}, "answer.body", "204 has no body"},
		{AnswersDefinition{AnswerDefinition: AnswerDefinition{ContentType: "Text/HTML"}}, "answer.contentType", "no browser runs"},
		{AnswersDefinition{Refused: &AnswerDefinition{ContentType: "a/b\r\nSet-Cookie: c"}}, "answer.refused.contentType", "no browser runs"},
		{AnswersDefinition{AnswerDefinition: header("content-length", "1")}, "answer.headers", "not a header that an answer may have"},
		{AnswersDefinition{AnswerDefinition: header("Transfer-Encoding", "chunked")}, "answer.headers", "not a header that an answer may have"},
		{AnswersDefinition{Refused: new(header("x-event-status", "queued"))}, "answer.refused.headers", "not a header that an answer may have"},
		{AnswersDefinition{Refused: new(header("X-A", "b\r\nX-C: d"))}, "answer.refused.headers", "one line of text"},
		{AnswersDefinition{Refused: &AnswerDefinition{Headers: many}}, "answer.refused.headers", "at most 16"},
		{AnswersDefinition{Refused: &AnswerDefinition{Body: strings.Repeat("a", maxChallenge+1)}}, "answer.refused.body", "1024 characters"},
	} {
		_, err := answering(c.is)
		require.Error(t, err, c)
		require.Equal(t, c.field, fault.As(err).Fields[0].Field)
		require.ErrorContains(t, err, c.message)
	}
}

func TestTheAnswersOfADefinitionAreExplained(t *testing.T) {
	s, err := FromFile([]byte(`{name: x, scheme: token, signature: {header: X-Token}, event: {type: "text:a"},
		answer: {status: 200, duplicate: {status: 208}, refused: {status: 403, body: "no"}}}`))
	require.NoError(t, err)
	req := Request{Method: http.MethodPost, URL: sampleURL, Header: http.Header{"X-Token": {"a-token-of-tests"}}, Body: []byte(`{}`), ReceivedAt: time.Unix(1, 0)}
	all := s.Explain(req, []Secret{{ID: "1", Value: secret.New("a-token-of-tests")}})
	require.Equal(t, []Finding{{Step: "answer", Result: "200 "}, {Step: "answer to a duplicate", Result: "208 "}}, all[len(all)-2:])
	req.Header.Set("X-Token", "b")
	all = s.Explain(req, []Secret{{ID: "1", Value: secret.New("a-token-of-tests")}})
	require.Equal(t, Finding{Step: "answer", Result: "403 no"}, all[len(all)-1])
	_, err = FromFile([]byte(`{name: x, scheme: token, signature: {header: X-Token}, event: {type: "text:a"}, answer: {refused: {code: 401}}}`))
	require.ErrorContains(t, err, "answer.refused.code")
}
