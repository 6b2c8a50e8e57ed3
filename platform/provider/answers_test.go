package provider

import (
	"crypto/sha256"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/secret"
)

func TestTheChecksOfAddressesOfShippedProviders(t *testing.T) {
	keys := []Secret{{ID: "1", Purpose: Signing, Value: secret.New("old-secret")}, {ID: "2", Purpose: Signing, Value: secret.New("a-secret")}, {ID: "3", Purpose: Challenge, Value: secret.New("tok")}}
	for _, c := range []struct {
		provider, query string
		header          http.Header
		answer          string // "" for a refusal
		proved          bool
	}{
		{"dropbox", "challenge=abc", nil, "abc", false},
		{"dropbox", "", nil, "", false},
		{"dropbox", "challenge=%3Cscript%3E%0a", nil, "", false},
		{"okta", "", http.Header{"X-Okta-Verification-Challenge": {`a"b`}}, `{"verification":"a\"b"}`, false},
		{"meta", "hub.mode=subscribe&hub.challenge=115&hub.verify_token=tok", nil, "115", true},
		{"meta", "hub.mode=subscribe&hub.challenge=115&hub.verify_token=a-secret", nil, "", false},
		{"x", "crc_token=bmFtZQ", nil, `{"response_token":"sha256=` + hmacBase64("a-secret", "bmFtZQ") + `"}`, false},
		{"x", "crc_token=" + url.QueryEscape(`{"for_user_id":"1"}`), nil, "", false},
	} {
		s, ok := Builtin().Spec(c.provider)
		require.True(t, ok)
		req := Request{Method: http.MethodGet, URL: sampleURL + "?" + c.query, Header: c.header}
		if req.Header == nil {
			req.Header = http.Header{}
		}
		reply, err := s.Challenge(req, keys)
		require.Equal(t, c.answer == "", err != nil, "%s?%s", c.provider, c.query)
		if err == nil {
			require.Equal(t, c.answer, string(reply.Body))
			require.Equal(t, !c.proved, reply.Unproved)
		}
	}
}

func TestTheValidationOfCloudEventsIsAnswered(t *testing.T) {
	s, _ := Builtin().Spec("azure-event-grid")
	req := Request{Method: http.MethodOptions, URL: sampleURL, Header: http.Header{"Webhook-Request-Origin": {"eventgrid.azure.net"}, "Webhook-Request-Rate": {"120"}}}
	reply, err := s.Preflight(req, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, reply.Status)
	require.Equal(t, map[string]string{"WebHook-Allowed-Origin": "eventgrid.azure.net", "WebHook-Allowed-Rate": "*"}, reply.Header)
	require.True(t, reply.Unproved, "anybody may ask")
	require.Equal(t, []Finding{{Step: "handshake", Result: "cloudevents_validation: 200 "}}, s.Explain(req, nil))
	for _, origin := range []string{"", "evil.example.com", "eventgrid.azure.net\r\nSet-Cookie: a"} {
		req.Header.Set("WebHook-Request-Origin", origin)
		_, err := s.Preflight(req, nil)
		require.Error(t, err, origin)
	}
	github, _ := Builtin().Spec("github")
	require.Nil(t, github.Preflight)
	require.Equal(t, "OPTIONS is answered with 405; the provider's methods are POST", github.Explain(req, nil)[0].Result)
}

func TestTheMethodsOfADefinition(t *testing.T) {
	defined := func(methods ...string) (Spec, error) {
		return Definition{Proof: Proof{Scheme: "token", Signature: SignatureDefinition{Header: "X-Token"}}, Event: EventDefinition{Type: At("text:a")}, Methods: methods}.spec("x", "")
	}
	for _, c := range []struct{ methods, takes, refuses []string }{
		{nil, []string{"POST"}, []string{"PUT", "PATCH", "GET"}},
		{[]string{"POST", "PUT"}, []string{"POST", "PUT"}, []string{"PATCH", "OPTIONS"}},
		{[]string{"PUT"}, []string{"PUT"}, []string{"POST"}},
	} {
		s, err := defined(c.methods...)
		require.NoError(t, err)
		for _, method := range c.takes {
			require.True(t, s.Takes(method), method)
		}
		for _, method := range c.refuses {
			require.False(t, s.Takes(method), method)
		}
		req, err := s.SampleRequest(Sample{Body: `{}`}, secret.New("a-token-of-tests"), tokenTime, sampleURL, "1")
		require.NoError(t, err)
		require.Equal(t, c.takes[0], req.Method)
	}
	for _, wrong := range [][]string{{"GET"}, {"put"}, {"PUT", "PUT"}, {""}} {
		_, err := defined(wrong...)
		require.ErrorContains(t, err, "It must list POST, PUT or both", wrong)
	}
}

func hmacBase64(key, text string) string {
	return HMAC{Hash: sha256.New, Signed: Signed{Encoding: Base64}}.Sign(secret.New(key), []byte(text))
}

func TestAPOSTThatNobodySignsIsAnsweredBeforeVerification(t *testing.T) {
	s, _ := Builtin().Spec("asana")
	req := Request{Method: http.MethodPost, URL: sampleURL, Header: http.Header{"X-Hook-Secret": {"b537207f"}}, Body: []byte(`{}`)}
	reply := s.GreetingReply(req, nil)
	require.Equal(t, map[string]string{"X-Hook-Secret": "b537207f"}, reply.Header)
	require.True(t, reply.Unproved)
	req.Header.Set("X-Hook-Secret", "a\r\nSet-Cookie: b")
	require.Nil(t, s.GreetingReply(req, nil), "nothing that is no plain text is repeated")
	req.Header.Del("X-Hook-Secret")
	require.Nil(t, s.GreetingReply(req, nil), "another request is none")
	github, _ := Builtin().Spec("github")
	require.Nil(t, github.GreetingReply(req, nil))
}

func TestAValidationOfMicrosoftGraphIsAnswered(t *testing.T) {
	s, ok := Builtin().Spec("microsoft-graph")
	require.True(t, ok)
	req := Request{Method: http.MethodPost, URL: sampleURL + "?validationToken=Validation%3A+Testing+%3Cclient%3E", Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}}
	reply := s.GreetingReply(req, nil)
	require.Equal(t, "Validation: Testing <client>", string(reply.Body))
	require.Equal(t, "text/plain; charset=utf-8", reply.ContentType, "which no browser runs")
	require.True(t, reply.Unproved)
	req.URL = sampleURL
	require.Nil(t, s.GreetingReply(req, nil))
}

func TestTheChallengeOfMondayIsAnswered(t *testing.T) {
	s, ok := Builtin().Spec("monday")
	require.True(t, ok)
	req := Request{Method: http.MethodPost, URL: sampleURL, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"challenge":"3eZbrw1a"}`)}
	reply := s.GreetingReply(req, nil)
	require.NotNil(t, reply)
	require.JSONEq(t, `{"challenge":"3eZbrw1a"}`, string(reply.Body))
	require.Equal(t, "application/json", reply.ContentType)
	req.Body = []byte(`{"event":{"type":"create_pulse"}}`)
	require.Nil(t, s.GreetingReply(req, nil), "an event is none")
}
