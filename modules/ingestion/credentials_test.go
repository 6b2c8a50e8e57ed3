package ingestion

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

func TestHeaderNamesOfCredentials(t *testing.T) {
	for _, name := range []string{
		"x-auth", "x-auth-user", "x-webhook-auth", "x-authtoken", "x-authentication", "www-authenticate", "x-oauth", "x-passwd", "x-pass", "x-pwd", "x-passphrase",
		"x-password-hash", "x-pin", "x-otp", "x-jwt", "x-bearer", "x-sso", "x-saml-assertion", "x-private-key", "x-api-key", "apikey", "x-key", "x-master-key",
		"x-signing-key", "x-functions-key", "ocp-apim-subscription-key", "x-license-key", "x-access-key-id", "x-client-secret", "x-shared_secret", "x-csrf", "x-xsrf-token",
		"x-session", "x-sessionid", "phpsessid-session", "x-sid", "x-login", "x-creds", "x-ticket", "x-psk", "x-sas", "set-cookie2", "x-amz-security-token", "x.auth.key",
	} {
		require.True(t, credentialName(name), name)
	}
	for _, name := range []string{
		"content-type", "user-agent", "x-author", "x-authority", "x-passthrough", "x-keyword", "idempotency-key", "x-routing-key", "surrogate-key", "x-pinned", "x-topic",
		"x-signature", "x-hub-signature-256", "x-request-id", "traceparent", "x-forwarded-for", "x-github-event", "sidecar", "x-compass",
	} {
		require.False(t, credentialName(name), name)
	}
}

func TestValuesThatLookLikeTokens(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	for name, alphabet := range map[string]string{
		"hex": "0123456789abcdef", "base32": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "base62": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
		"base64url": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_", "small letters and digits": "0123456789abcdefghijklmnopqrstuvwxyz",
	} {
		found := 0
		for range 1000 {
			text := make([]byte, 40)
			for i := range text {
				text[i] = alphabet[chance.IntN(len(alphabet))]
			}
			if looksLikeToken("Key " + string(text) + ";") {
				found++
			}
		}
		require.Greater(t, found, 900, "of a thousand tokens in %s", name)
	}
	for _, token := range []string{
		"ghp_16C7e42F292c6912E7710c838347Ae178B4a", "sk_live_4eC39HqLyjWDarjtT1zdp7dc", "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy", "AKIAIOSFODNN7EXAMPLE1A2B",
		"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
	} {
		require.True(t, looksLikeToken(token), token)
	}
	for _, value := range []string{
		"application/x-www-form-urlencoded; charset=UTF-8", "GitHub-Hookshot/044aadd", "Mozilla/5.0 (compatible; Svix-Webhooks/1.24.0; +https://www.svix.com/http-sender)",
		"https://gitlab.example.com/group/subgroup/project/-/merge_requests/1", "2026-01-05T08:59:58.123456789Z", "Mon, 05 Jan 2026 09:00:00 GMT",
		"arn:aws:sns:us-west-2:123456789012:MyTopic", "72d3162e-cc78-11e3-81ab-4c9367dc0958", "orderCreatedEventV2HandlerForEverybody", "repository", "79929171",
		"example-shop-of-the-north.myshopify.com", "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
		"production-eu-central-1-cluster-02", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "00000000000000000000000000000000",
	} {
		require.False(t, looksLikeToken(value), value)
	}
}

func TestCredentialsInHeadersAreNotStored(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), atThen)
	g.addProvider("github", sampleKey("github"))
	r := githubRequest(t, `{}`, "Zk3J8sQ1pV7mX2cB9nL4tR6w") // an id that looks like a token
	sent := map[string]string{
		"X-Auth": "short", "X-Passwd": "short", "X-Jwt": "short", "X-Private-Key": "short", "X-Custom": "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
	}
	for name, value := range sent {
		r.Header.Set(name, value)
	}
	a := g.do(r)
	require.Equal(t, http.StatusAccepted, a.Status)
	text := g.storedHeaders()[0]
	var stored map[string][]string
	require.NoError(t, json.Unmarshal([]byte(text), &stored))
	for name := range sent {
		require.Equal(t, []string{"[redacted]"}, stored[strings.ToLower(name)], name)
	}
	require.Equal(t, []string{"Zk3J8sQ1pV7mX2cB9nL4tR6w"}, stored["x-github-delivery"], "what names the event")
	require.Equal(t, []string{r.Header.Get("X-Hub-Signature-256")}, stored["x-hub-signature-256"], "and proves the request stays")
}

// A refused request of every provider can be verified once more by what is kept of it.
func TestSignatureHeadersAreStored(t *testing.T) {
	tokens := 0
	for _, s := range provider.Builtin().Specs() {
		if !s.Signable() {
			continue
		}
		src := &source{Source: &provider.Source{Spec: s, SafeHeaders: s.SafeHeaders()}}
		for _, sample := range s.Samples {
			req, err := s.SampleRequest(sample, sampleKey(s.Name), then, "http://example.com/api/v1/webhooks/x", "id-1")
			require.NoError(t, err)
			var stored map[string][]string
			require.NoError(t, json.Unmarshal(storedHeaders(req.Header, src, false), &stored))
			for name, values := range req.Header {
				want := values
				if slices.ContainsFunc(s.Sensitive, func(token string) bool { return strings.EqualFold(token, name) }) {
					want = []string{secret.Redacted} // it is kept sealed: TestEveryProvidersRequestCanBeReleased
					tokens++
				}
				require.Equal(t, want, stored[strings.ToLower(name)], "%s: %s", s.Name, name)
			}
		}
	}
	require.Greater(t, tokens, 3, "several providers send one")
}

// A destination in raw mode verifies what the provider signed, so the signature must reach it.
func TestAVerifiedSignatureInAuthorizationIsStored(t *testing.T) {
	for _, c := range []struct {
		name, definition string
		refused, kept    string
	}{
		{"a signature", `{"scheme":"hmac","signature":{"header":"Authorization","prefix":"HMAC "},"event":{"type":"text:x"}}`, secret.Redacted, "HMAC 0a"},
		{"a token", `{"scheme":"token","signature":{"header":"Authorization","prefix":"HMAC "},"event":{"type":"text:x"}}`, secret.Redacted, secret.Redacted},
		{"either", `{"anyOf":[{"scheme":"basic"},{"scheme":"hmac","signature":{"header":"Authorization","prefix":"HMAC "}}],"event":{"type":"text:x"}}`, secret.Redacted, secret.Redacted},
		{"one of two signatures", `{"anyOf":[{"scheme":"hmac","signature":{"header":"X-Sig"}},{"scheme":"hmac","signature":{"header":"Authorization"}}],"event":{"type":"text:x"}}`, secret.Redacted, secret.Redacted},
		{"a signature elsewhere", `{"scheme":"hmac","signature":{"header":"X-Sig"},"event":{"type":"text:x"}}`, secret.Redacted, secret.Redacted},
	} {
		t.Run(c.name, func(t *testing.T) {
			var o provider.Options
			require.NoError(t, json.Unmarshal([]byte(`{"generic":`+c.definition+`}`), &o))
			s, err := provider.Builtin().Configure("generic", o)
			require.NoError(t, err)
			src := &source{Source: &provider.Source{Spec: s, SafeHeaders: s.SafeHeaders()}}
			header := http.Header{"Authorization": {"HMAC 0a"}}
			for verified, want := range map[bool]string{false: c.refused, true: c.kept} {
				require.JSONEq(t, `{"authorization":["`+want+`"]}`, string(storedHeaders(header, src, verified)), "verified: %v", verified)
			}
		})
	}
}
