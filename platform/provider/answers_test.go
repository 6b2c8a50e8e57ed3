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
