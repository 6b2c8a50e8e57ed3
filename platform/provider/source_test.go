package provider

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/secret"
)

func TestSourceNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "0": true, "acme-eu_2": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "-a": false, "_a": false, "Acme": false, "a b": false, "a/b": false, "é": false, "a\x00": false, "a:b": false,
	} {
		require.Equal(t, want, ValidSourceName(name), "%q", name)
	}
}

func TestASecretStopsVerifyingWhenItExpires(t *testing.T) {
	end := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	s := Source{Secrets: []Secret{{ID: "lasting"}, {ID: "passing", ExpiresAt: end}}}
	require.Equal(t, s.Secrets, s.SecretsAt(end.Add(-time.Nanosecond)), "just before")
	require.Equal(t, []Secret{{ID: "lasting"}}, s.SecretsAt(end), "at that moment")
	require.Len(t, s.Secrets, 2, "the source is shared")
}

// A secret of one purpose never serves another.
func TestASecretServesItsPurposeOnly(t *testing.T) {
	named := func(name string) Spec {
		s, ok := Builtin().Spec(name)
		require.True(t, ok)
		return s
	}
	basic, err := Builtin().Configure(genericName, define(t, `{"scheme":"basic","event":{"type":"text:x"}}`))
	require.NoError(t, err)
	either, err := Builtin().Configure(genericName, define(t, `{"anyOf":[{"scheme":"hmac","signature":{"header":"X-Sig"}},{"scheme":"token","signature":{"header":"X-Token"}}],"event":{"type":"text:x"}}`))
	require.NoError(t, err)
	tokens, err := Builtin().Configure(genericName, define(t, `{"anyOf":[{"scheme":"basic"},{"scheme":"token","signature":{"header":"X-Token"}}],"event":{"type":"text:x"}}`))
	require.NoError(t, err)
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	const signing = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	for _, c := range []struct {
		spec    Spec
		value   string
		purpose Purpose
	}{
		{named("acme"), "a-signing-secret", Signing}, {named("stripe"), signing, Signing}, {named("globex"), "a-shared-token", Token},
		{basic, "user:password", Token}, {either, "a-signing-secret", Signing}, {either, signing, Signing}, {tokens, "a-shared-token", Token},
		{named("gitlab"), signing, Signing}, {named("gitlab"), "glsecret1234", Token},
	} {
		value := secret.New(c.value)
		require.Equal(t, c.purpose, c.spec.PurposeOf(value), c.value)
		require.True(t, c.spec.Uses(c.purpose))
		require.False(t, c.spec.Uses(Challenge))
		req := Request{Method: http.MethodPost, URL: sampleURL, Header: http.Header{}, Body: []byte(`{}`), ReceivedAt: at}
		signer := c.spec.Verify
		if several, ok := signer.(AnyOf); ok && c.purpose == Token {
			signer = several[1]
		}
		several, ok := signer.(Signer)
		require.True(t, ok)
		require.NoError(t, several.SignRequest(&req, value))
		for _, purpose := range []Purpose{Signing, Token, Challenge} {
			_, err := c.spec.Authenticate(req, []Secret{{ID: "1", Purpose: purpose, Value: value}})
			if purpose == c.purpose {
				require.NoError(t, err, "%s %s", c.spec.Name, purpose)
				continue
			}
			require.Equal(t, string(NoMatch), reason(err), "%s %s", c.spec.Name, purpose)
		}
	}
	// The key of a signature is not accepted in the clear.
	gitlab := named("gitlab")
	plain := Request{Header: http.Header{"X-Gitlab-Token": {signing}}, ReceivedAt: at}
	_, err = gitlab.Authenticate(plain, []Secret{{ID: "1", Purpose: Signing, Value: secret.New(signing)}})
	require.Equal(t, string(NoMatch), reason(err))
}
