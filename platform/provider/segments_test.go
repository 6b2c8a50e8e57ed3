package provider

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/secret"
)

const inPathYAML = "scheme: token\nsignature: {at: [\"path:2\"]}\nevent: {type: $.type, subject: \"path:1\"}"

func TestATokenInThePath(t *testing.T) {
	s := described(t, inPathYAML)
	require.Equal(t, Segments{Read: []int{1, 2}, Tokens: []int{2}}, sorted(s.Segments))
	keys := []Secret{{ID: "1", Purpose: Token, Value: secret.New("a-token/of=tests")}, {ID: "2", Purpose: Signing, Value: secret.New("a-signing-key")}}
	for _, c := range []struct {
		path string
		good bool
	}{
		{"/bot/a-token%2Fof=tests", true},
		{"/bot/a-token%2Fof=testz", false},
		{"/a-token%2Fof=tests/bot", false}, // the other segment
		{"/a-token%2Fof=tests", false},
		{"/bot/a-signing-key", false}, // of another purpose
		{"/bot/%zz", false},
		{"", false},
	} {
		address := sampleURL + c.path
		req := Request{Method: http.MethodPost, URL: address, Path: PathOf(address), Header: http.Header{}, Body: []byte(`{"type":"a"}`)}
		_, err := s.Authenticate(req, keys)
		require.Equal(t, c.good, err == nil, c.path)
		_, stored, _ := strings.Cut(s.StoredURL(address), "/bot/")
		require.NotContains(t, stored, "token", "it is never stored")
	}
	require.Equal(t, sampleURL+"/bot/[redacted]", s.StoredURL(sampleURL+"/bot/a-token?x=1"))
	require.Equal(t, sampleURL+"/[redacted]/[redacted]", Spec{}.StoredURL(sampleURL+"/bot/a-token"), "what nothing reads may be a token")

	req, err := s.SampleRequest(Sample{Body: `{"type":"a"}`}, secret.New("a-token/of=tests"), tokenTime, sampleURL, "1")
	require.NoError(t, err)
	_, err = s.Authenticate(req, keys)
	require.NoError(t, err, "a sample has it there")
	events, err := s.Normalize(Request{URL: sampleURL + "/bot/x", Path: []string{"bot", "x"}, Header: http.Header{"Content-Type": {jsonType}}, Body: []byte(`{"type":"a"}`)})
	require.NoError(t, err)
	require.Equal(t, "bot", *events[0].Subject)
}

func sorted(s Segments) Segments {
	if len(s.Read) == 2 && s.Read[0] > s.Read[1] {
		s.Read = []int{s.Read[1], s.Read[0]}
	}
	return s
}

func TestASignatureMayCoverASegment(t *testing.T) {
	s := described(t, "scheme: hmac\nsignature: {header: X-Sig, over: \"{path:1}.{body}\"}\nevent: {id: \"path:1\", type: $.type}")
	keys := []Secret{{ID: "1", Purpose: Signing, Value: secret.New("key")}}
	for segment, good := range map[string]bool{"order-1": true, "order-2": false, "": false} {
		req := Request{URL: sampleURL, Path: []string{segment}, Header: http.Header{"X-Sig": {hexHMAC("key", "order-1.{}")}}, Body: []byte("{}")}
		_, err := s.Authenticate(req, keys)
		require.Equal(t, good, err == nil, segment)
	}
}
