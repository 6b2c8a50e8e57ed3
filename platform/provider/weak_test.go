package provider

import (
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

func TestADefinitionSaysHowShortTokensMayBe(t *testing.T) {
	defined := func(scheme string, n int) (Spec, error) {
		return Definition{Proof: Proof{Scheme: scheme, Signature: SignatureDefinition{Header: "X-Token"}}, Event: EventDefinition{Type: At("text:a")}, MinSecretBytes: n}.spec("x", "")
	}
	s, err := defined("token", 0)
	require.NoError(t, err)
	require.Equal(t, 8, s.MinBytes(Token))
	s, err = defined("token", 4)
	require.NoError(t, err)
	require.Equal(t, []int{4, 8, 8}, []int{s.MinBytes(Token), s.MinBytes(Challenge), s.MinBytes(Signing)})
	_, err = defined("basic", 6)
	require.NoError(t, err)
	for _, c := range []struct {
		scheme string
		n      int
		says   string
	}{{"token", 3, "from 4 to 8"}, {"token", -1, "from 4 to 8"}, {"token", 9, "from 4 to 8"}, {"hmac", 4, "sent verbatim"}, {"standard-webhooks", 4, "sent verbatim"}} {
		_, err := defined(c.scheme, c.n)
		require.Error(t, err, c)
		require.Equal(t, "minSecretBytes", fault.As(err).Fields[0].Field)
		require.ErrorContains(t, err, c.says)
	}
	for text, warned := range map[string]bool{"": false, "1234": true, "1234567": true, "12345678": false} {
		require.Equal(t, warned, ShortToken(secret.New(text)) != "", text)
		require.NotContains(t, ShortToken(secret.New(text)), "1234")
	}
	require.Error(t, s.ValidateSecret(secret.New("aaaa")))
	require.NoError(t, s.ValidateSecret(secret.New("a1b2")))
}
