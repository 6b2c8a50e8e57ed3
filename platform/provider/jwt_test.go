package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider/webtoken"
	"integration-gateway/platform/secret"
)

var tokenTime = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// tokenRequest is a request with a token of claims, made with a shared key.
func tokenRequest(t *testing.T, key, body string, claims map[string]any) Request {
	text, err := webtoken.Sign("HS256", []byte(key), claims)
	require.NoError(t, err)
	return Request{Method: http.MethodPost, URL: sampleURL + "?a=b", Body: []byte(body), ReceivedAt: tokenTime, Header: http.Header{"Authorization": {"Bearer " + text}}}
}

const sharedToken = `scheme: jwt
signature: {header: Authorization, prefix: "Bearer "}
event: {type: "text:x"}
`

func TestATokenWithASharedKey(t *testing.T) {
	held := []Secret{{ID: "1", Value: secret.New("the key")}}
	plain := described(t, sharedToken+"jwt: {issuers: [i], audiences: [\"{url}\"]}")
	hashed := described(t, sharedToken+"jwt: {bodyHash: sum}")
	timed := described(t, sharedToken+"timestamp: {toleranceSeconds: 60}")
	sum := sha256.Sum256([]byte(`{}`))
	unix := func(off time.Duration) int64 { return tokenTime.Add(off).Unix() }
	for _, c := range []struct {
		name   string
		spec   Spec
		key    string
		claims map[string]any
		want   Reason // "" if it is accepted
	}{
		{"all is well", plain, "the key", map[string]any{"iss": "i", "aud": sampleURL, "exp": unix(1)}, ""},
		{"another key", plain, "a key", map[string]any{"iss": "i", "aud": sampleURL, "exp": unix(1)}, NoMatch},
		{"no end", plain, "the key", map[string]any{"iss": "i", "aud": sampleURL}, OutsideTolerance},
		{"ended", plain, "the key", map[string]any{"iss": "i", "aud": sampleURL, "exp": unix(-time.Hour)}, OutsideTolerance},
		{"another issuer", plain, "the key", map[string]any{"iss": "j", "aud": sampleURL, "exp": unix(1)}, NoMatch},
		{"for another webhook", plain, "the key", map[string]any{"iss": "i", "aud": sampleURL + "y", "exp": unix(1)}, NoMatch},
		{"the body's hash, which needs no end", hashed, "the key", map[string]any{"sum": hex.EncodeToString(sum[:])}, ""},
		{"another body's hash", hashed, "the key", map[string]any{"sum": strings.Repeat("a", 64)}, NoMatch},
		{"no hash", hashed, "the key", map[string]any{"exp": unix(1)}, NoMatch},
		{"made a minute ago", timed, "the key", map[string]any{"iat": unix(-time.Minute)}, ""},
		{"made earlier", timed, "the key", map[string]any{"iat": unix(-61 * time.Second)}, OutsideTolerance},
		{"made later", timed, "the key", map[string]any{"iat": unix(61 * time.Second)}, OutsideTolerance},
		{"made at no time", timed, "the key", map[string]any{"exp": unix(1)}, MalformedSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.spec.Authenticate(tokenRequest(t, c.key, `{}`, c.claims), held)
			require.Equal(t, c.want, reasonOf(err))
			require.Equal(t, c.want == "", err == nil)
		})
	}
	for _, s := range []Spec{plain, timed} {
		require.Contains(t, s.Unsigned, "not the body")
		require.Equal(t, []string{"Authorization"}, s.Sensitive, "it could be sent again with another body")
	}
	require.Empty(t, hashed.Sensitive)
	require.Empty(t, hashed.Unsigned)
	require.Equal(t, 60*time.Second, timed.Tolerance)
	match, err := hashed.Authenticate(tokenRequest(t, "the key", `{}`, map[string]any{"sum": hex.EncodeToString(sum[:])}), held)
	require.NoError(t, err)
	require.Equal(t, "{}", string(match.Message))
}

func TestATokenInTheBodyOrTheQuery(t *testing.T) {
	for _, place := range []string{"$.auth.token", "query:token"} {
		s := described(t, "scheme: jwt\nsignature: {at: [\""+place+"\"]}\nevent: {type: \"text:x\"}")
		req := Request{Method: http.MethodPost, URL: sampleURL, Body: []byte(`{"auth":{"token":"$PROOF"}}`), Header: http.Header{}, ReceivedAt: tokenTime}
		require.NoError(t, s.Verify.(Signer).SignRequest(&req, secret.New("the key")))
		_, err := s.Authenticate(req, []Secret{{ID: "1", Value: secret.New("the key")}})
		require.NoError(t, err)
		_, err = s.Authenticate(req, []Secret{{ID: "1", Value: secret.New("other")}})
		require.Equal(t, NoMatch, reasonOf(err))
	}
}

// Nothing that a request says may cause a download unless it names all that a genuine token
// would.
func TestKeysAreLookedUpLast(t *testing.T) {
	genuine := func() Request { return (recordingOf(t, "google-pubsub", "push")).request(t) }
	s, _ := Builtin().Spec("google-pubsub")
	require.True(t, s.FetchesKeys)
	key := []Secret{{ID: "1", Value: secret.New("push@initech.iam.gserviceaccount.com")}}
	asked := 0
	counting := func(req Request) Request {
		look := req.KeySet
		req.KeySet = func(url, id string) ([]jose.JSONWebKey, error) { asked++; return look(url, id) }
		return req
	}
	_, err := s.Authenticate(counting(genuine()), key)
	require.NoError(t, err)
	require.Equal(t, 1, asked)
	for name, change := range map[string]func(*Request){
		"no header":       func(r *Request) { r.Header.Del("Authorization") },
		"two headers":     func(r *Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) },
		"no bearer":       func(r *Request) { r.Header.Set("Authorization", "Basic YTpi") },
		"no token":        func(r *Request) { r.Header.Set("Authorization", "Bearer abc") },
		"no algorithm":    func(r *Request) { r.Header.Set("Authorization", "Bearer eyJhbGciOiJub25lIn0.e30.") },
		"a long header":   func(r *Request) { r.Header.Set("Authorization", "Bearer "+strings.Repeat("a.", 1<<14)) },
		"another webhook": func(r *Request) { r.URL += "2" },
		"ended":           func(r *Request) { r.ReceivedAt = r.ReceivedAt.Add(2 * time.Hour) },
	} {
		req := counting(genuine())
		change(&req)
		_, err := s.Authenticate(req, key)
		require.True(t, fault.Is(err, fault.Unauthorized), name)
	}
	_, err = s.Authenticate(counting(genuine()), []Secret{{ID: "1", Value: secret.New("other@initech.iam.gserviceaccount.com")}})
	require.Equal(t, NoMatch, reasonOf(err))
	_, err = s.Authenticate(counting(genuine()), nil)
	require.Equal(t, NoMatch, reasonOf(err))
	require.Equal(t, 1, asked)

	req := genuine()
	req.KeySet = nil
	_, err = s.Authenticate(req, key)
	require.True(t, fault.Is(err, fault.Unavailable), "fail closed")
	req.KeySet = func(string, string) ([]jose.JSONWebKey, error) { return nil, nil }
	_, err = s.Authenticate(req, key)
	require.Equal(t, UnknownKey, reasonOf(err))
	req.KeySet = func(string, string) ([]jose.JSONWebKey, error) { return nil, fault.Unavailable.New("x", "x") }
	_, err = s.Authenticate(req, key)
	require.True(t, fault.Is(err, fault.Unavailable))
}

func recordingOf(t *testing.T, provider, name string) recorded {
	for _, r := range recordings(t) {
		if r.provider == provider && r.name == name {
			return r
		}
	}
	require.FailNow(t, "there is no such recording", "%s/%s", provider, name)
	return recorded{}
}

func TestMistakesInATokensDefinition(t *testing.T) {
	const begin = "name: a\nevent: {type: $.t}\nscheme: jwt\nsignature: {header: X}\n"
	for _, c := range []struct{ text, field, says string }{
		{"name: a\nevent: {type: $.t}\nscheme: jwt", "signature.header", "It is required"},
		{"name: a\nevent: {type: $.t}\nscheme: hmac\nsignature: {header: X}\njwt: {bodyHash: a}", "jwt", "Only the scheme jwt"},
		{begin + "jwt: {keysFrom: \"http://a.example.com/keys\", issuers: [i]}", "jwt.keysFrom", "https"},
		{begin + "jwt: {keysFrom: \"https://u:p@a.example.com/keys\", issuers: [i]}", "jwt.keysFrom", "https"},
		{begin + "jwt: {keysFrom: \"https:///keys\", issuers: [i]}", "jwt.keysFrom", "https"},
		{begin + "jwt: {keysFrom: \"https://a.example.com/keys\"}", "jwt.issuers", "It is required"},
		{begin + "jwt: {keysFrom: \"https://a.example.com/keys\", issuers: []}", "jwt.issuers", "1 to 16"},
		{begin + "jwt: {keysFrom: \"https://a.example.com/keys\", issuers: [i], secretIs: email}", "jwt.audiences", "another receiver"},
		{begin + "jwt: {keysFrom: \"https://a.example.com/keys\", issuers: [i], algorithms: [HS256]}", "jwt.algorithms", "are public"},
		{begin + "jwt: {algorithms: [HS256, RS256]}", "jwt.algorithms", "cannot be mixed"},
		{begin + "jwt: {algorithms: [none]}", "jwt.algorithms[0]", "unknown"},
		{begin + "jwt: {audiences: [\"\"]}", "jwt.audiences", "1 to 16"},
		{begin + "jwt: {secretIs: sub}", "jwt.secretIs", "the secret is the key"},
		{begin + "jwt: {claims: [{claim: a}]}", "jwt.claims[0]", "a name and a value"},
		{begin + "timestamp: {header: X-Time}", "timestamp.header", "does not take it"},
		{begin + "jwt: {bodyhash: a}", "jwt.bodyhash", "did you mean bodyHash"},
		{"name: a\nevent: {type: $.t}\nscheme: jwt\nsignature: {header: X, over: \"{body}\"}", "signature.over", "does not take it"},
		{"name: a\nevent: {type: $.t}\nanyOf: [{scheme: basic}, {scheme: jwt, signature: {header: X}, jwt: {algorithms: [x]}}]", "anyOf[1].jwt.algorithms[0]", "unknown"},
	} {
		_, err := FromFile([]byte(c.text))
		require.True(t, fault.Is(err, fault.Invalid), "%s: %v", c.text, err)
		require.Equal(t, c.field, fault.As(err).Fields[0].Field, c.text)
		require.Contains(t, fault.As(err).Message, c.says, c.text)
	}
	plaid, _ := Builtin().Spec("plaid")
	require.Error(t, plaid.ValidateSecret(secret.New("a password")))
	require.NoError(t, plaid.ValidateSecret(secret.New(recordingOf(t, "plaid", "transactions").Secret)))
}
