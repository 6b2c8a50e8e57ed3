package provider

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// What a URL holds of credentials is stored with no provider, however its requests are proved.
func TestATokenInTheURLIsNeverStored(t *testing.T) {
	const event = "event: {type: \"text:x\"}\n"
	for name, text := range map[string]string{
		"a token beside a signature of the URL": "allOf: [{scheme: hmac, signature: {header: X-Sig, over: \"{url}.{body}\"}}, {scheme: token, signature: {at: [\"query:token\"]}}]\n",
		"a token beside one for the URL": "anyOf: [{scheme: jwt, signature: {header: Authorization, prefix: \"Bearer \"}, jwt: {audiences: [\"{url}\"]}}, " +
			"{scheme: token, signature: {at: [\"query:token\"]}}]\n",
		"a web token": "scheme: jwt\nsignature: {at: [\"query:token\"]}\n",
	} {
		require.NotContains(t, described(t, event+text).StoredURL(sampleURL+"?a=b&token=the-token&c=d"), "the-token", name)
	}
	signed := described(t, event+"scheme: hmac\nsignature: {header: X-Sig, over: \"{url}.{body}\"}\n")
	require.Equal(t, sampleURL+"?a=b", signed.StoredURL(sampleURL+"?a=b"), "what is signed is needed")
}

// Secrets of one purpose are tried by every way: a public key must never be tried as a shared one.
func TestAPublicKeyIsNoSharedOne(t *testing.T) {
	const event = "name: a\nevent: {type: \"text:x\"}\n"
	public := map[string]string{
		"ed25519": "{scheme: ed25519, signature: {header: X-A}}",
		"rsa":     "{scheme: rsa, signature: {header: X-A}}",
		"an issuer's tokens, whose secret is an address": "{scheme: jwt, signature: {header: X-A}, jwt: {keysFrom: \"https://a.example.com/keys\", issuers: [i], audiences: [\"{url}\"], secretIs: email}}",
	}
	for name, key := range public {
		for _, shared := range []string{"{scheme: hmac, signature: {header: X-B}}", "{scheme: jwt, signature: {header: X-B}, jwt: {bodyHash: b}}", "{scheme: standard-webhooks}"} {
			_, err := FromFile([]byte(event + "anyOf: [" + key + ", " + shared + "]"))
			require.ErrorContains(t, err, "cannot be two ways", "%s and %s", name, shared)
			require.Equal(t, "anyOf", fault.As(err).Fields[0].Field)
		}
		_, err := FromFile([]byte(event + "allOf: [" + key + ", {scheme: hmac, signature: {header: X-B}}]"))
		require.NoError(t, err, "%s: each of them is needed", name)
		_, err = FromFile([]byte(event + "anyOf: [" + key + ", {scheme: token, signature: {header: X-B}}]"))
		require.NoError(t, err, "%s: tokens have a purpose of their own", name)
	}
}

func TestATokenEndsWithoutATolerance(t *testing.T) {
	s := described(t, sharedToken+"timestamp: {toleranceSeconds: 0}")
	held := []Secret{{ID: "1", Value: secret.New("the key")}}
	_, err := s.Authenticate(tokenRequest(t, "the key", `{}`, map[string]any{"iat": tokenTime.Add(-time.Hour).Unix()}), held)
	require.Equal(t, OutsideTolerance, reasonOf(err), "it would be good for ever")
	_, err = s.Authenticate(tokenRequest(t, "the key", `{}`, map[string]any{"iat": tokenTime.Add(-time.Hour).Unix(), "exp": tokenTime.Add(time.Hour).Unix()}), held)
	require.NoError(t, err)

	_, err = FromFile([]byte("name: a\nscheme: jwt\nsignature: {header: X}\nnonce: jti\ntimestamp: {toleranceSeconds: 0}\nevent: {type: $.t}"))
	require.Equal(t, "timestamp.toleranceSeconds", fault.As(err).Fields[0].Field)
	nonce := described(t, sharedToken+"nonce: jti\ntimestamp: {toleranceSeconds: 60}")
	zero := 0
	_, err = nonce.with(Options{ToleranceSeconds: &zero})
	require.ErrorContains(t, err, "nonce")
}

// A sender who is told 401 does not try again, and an issuer that is away is not his fault.
func TestAnOutageIsNoRefusal(t *testing.T) {
	s := described(t, "event: {type: \"text:x\"}\nanyOf: [{scheme: token, signature: {header: X-Token}}, "+
		"{scheme: jwt, signature: {header: X-Jwt}, jwt: {keysFrom: \"https://a.example.com/keys\", issuers: [i], audiences: [\"{url}\"], secretIs: email}}]\n")
	push := recordingOf(t, "google-pubsub", "push").request(t)
	req := tokenRequest(t, "k", `{}`, nil)
	req.Header = http.Header{"X-Token": {"wrong"}}
	_, err := s.Authenticate(req, []Secret{{ID: "1", Value: secret.New("the secret"), Purpose: Token}})
	require.True(t, fault.Is(err, fault.Unauthorized))

	pubsub, _ := Builtin().Spec("google-pubsub")
	both := AnyOf{SharedToken{Header: "X-Token"}, pubsub.Verify}
	push.Header.Set("X-Token", "wrong")
	push.KeySet = func(string, string) ([]jose.JSONWebKey, error) { return nil, fault.Unavailable.New("x", "x") }
	_, err = both.Verify(push, []Secret{{ID: "1", Value: secret.New("push@initech.iam.gserviceaccount.com"), Purpose: Signing}, {ID: "2", Value: secret.New("a token"), Purpose: Token}})
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
}

// A secret is shown as public only where none of the proofs needs it hidden.
func TestATokenBesideAPublicKeyIsHidden(t *testing.T) {
	const mixed = "event: {type: \"text:x\"}\nanyOf: [{scheme: token, signature: {header: X-Token}}, {scheme: ed25519, signature: {header: X-Sig, over: \"{body}\"}}]\n"
	s := described(t, mixed)
	require.False(t, s.Public)
	require.Error(t, s.ValidateSecret(secret.New(strings.Repeat("a", 40))))
	require.True(t, s.Several())
	alone := described(t, "event: {type: \"text:x\"}\nscheme: ed25519\nsignature: {header: X-Sig, over: \"{body}\"}\n")
	require.True(t, alone.Public)
	require.False(t, alone.Several())
}
