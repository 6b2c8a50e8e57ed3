package provider

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider/webtoken"
	"integration-gateway/platform/secret"
)

const withAddresses = `- {scheme: addresses, addresses: [192.0.2.0/24, "2001:db8::1"]}
- {scheme: hmac, signature: {header: X-S}}
event: {type: "text:x"}
`

func TestAListOfAddresses(t *testing.T) {
	both, either := described(t, "allOf:\n"+withAddresses), described(t, "anyOf:\n"+withAddresses)
	for _, c := range []struct {
		client       string
		signed       bool
		both, either bool
	}{
		{"192.0.2.0", true, true, true},
		{"192.0.2.255", true, true, true},
		{"::ffff:192.0.2.7", true, true, true},
		{"2001:db8::1", true, true, true},
		{"192.0.3.0", true, false, true},
		{"192.0.1.255", true, false, true},
		{"2001:db8::2", true, false, true},
		{"", true, false, true},
		{"192.0.2.1", false, false, true},
		{"192.0.3.0", false, false, false},
		{"", false, false, false},
	} {
		req := Request{Body: []byte("{}"), Header: http.Header{"X-S": {hexHMAC("other", "{}")}}}
		if c.signed {
			req.Header.Set("X-S", hexHMAC("key", "{}"))
		}
		if c.client != "" {
			req.Client = netip.MustParseAddr(c.client)
		}
		keys := []Secret{{ID: "1", Value: secret.New("key")}}
		match, err := both.Authenticate(req, keys)
		require.Equal(t, c.both, err == nil, "both: %+v", c)
		if c.both {
			require.Equal(t, "1", match.SecretID)
			require.Equal(t, "{}", string(match.Message))
		} else if c.signed {
			require.Equal(t, WrongAddress, reasonOf(err))
		}
		_, err = either.Authenticate(req, keys)
		require.Equal(t, c.either, err == nil, "either: %+v", c)
	}
	require.Empty(t, both.Unsigned)
	require.Contains(t, either.Unsigned, "not the body")
	require.Equal(t, Signing, both.PurposeOf(secret.New("key")))
	token := described(t, "allOf:\n- {scheme: addresses, addresses: [192.0.2.0/24]}\n- {scheme: token, signature: {header: X-S}}\nevent: {type: \"text:x\"}")
	require.Equal(t, Token, token.PurposeOf(secret.New("key")))
	_, err := Addresses(nil).Verify(Request{Client: netip.MustParseAddr("192.0.2.1")}, nil)
	require.Error(t, err, "an empty list proves nothing")
}

const nonced = `scheme: hmac
signature: {header: X-S, over: "{timestamp}.{header:X-Nonce}.{body}"}
timestamp: {header: X-T}
nonce: header:X-Nonce
event: {type: "text:x", id: $.id}
`

func TestANonceIsGoodForOneRequest(t *testing.T) {
	key := []Secret{{ID: "1", Value: secret.New("the key")}}
	for name, text := range map[string]string{
		"in a header":         nonced,
		"in the signed body":  "scheme: hmac\nsignature: {header: X-S}\ntimestamp: {at: $.at}\nnonce: $.nonce\nevent: {type: \"text:x\"}",
		"of one of two":       "allOf:\n- {scheme: addresses, addresses: [192.0.2.1]}\n- {scheme: hmac, signature: {header: X-S, over: \"{timestamp}.{header:X-Nonce}.{body}\"}, timestamp: {header: X-T}, nonce: \"header:X-Nonce\"}\nevent: {type: \"text:x\"}",
		"with a key of two":   "scheme: ed25519\nsignature: {header: X-S, over: \"{timestamp}.{header:X-Nonce}.{body}\"}\ntimestamp: {header: X-T}\nnonce: header:X-Nonce\nevent: {type: \"text:x\"}",
		"of a token, as body": "scheme: jwt\nsignature: {header: X-S}\ntimestamp: {toleranceSeconds: 60}\nnonce: jti\nevent: {type: \"text:x\"}",
	} {
		t.Run(name, func(t *testing.T) {
			s := described(t, text)
			req := Request{Method: http.MethodPost, URL: sampleURL, Body: []byte(`{"at":1767603600,"nonce":"n1"}`), Header: http.Header{"X-Nonce": {"n1"}}, ReceivedAt: tokenTime, Client: netip.MustParseAddr("192.0.2.1")}
			require.NoError(t, s.Verify.(Signer).SignRequest(&req, key[0].Value))
			held, err := s.SecretFor(key[0].Value)
			require.NoError(t, err)
			match, err := s.Authenticate(req, []Secret{{ID: "1", Value: held}})
			require.NoError(t, err)
			require.True(t, match.Nonce)
			if match.SingleUse != "n1" {
				require.Len(t, match.SingleUse, 26, "a token's own")
			}
		})
	}
	s := described(t, nonced)
	req := Request{Method: http.MethodPost, URL: sampleURL, Body: []byte(`{}`), Header: http.Header{"X-Nonce": {"n1"}}, ReceivedAt: tokenTime}
	require.NoError(t, s.Verify.(Signer).SignRequest(&req, key[0].Value))
	req.Header.Set("X-Nonce", "n2")
	_, err := s.Authenticate(req, key)
	require.Equal(t, NoMatch, reasonOf(err), "the signature covers it")
	req.Header.Del("X-Nonce")
	_, err = s.Authenticate(req, key)
	require.Equal(t, MissingHeader, reasonOf(err))

	jwt := described(t, "scheme: jwt\nsignature: {header: X-S}\ntimestamp: {toleranceSeconds: 60}\nnonce: jti\nevent: {type: \"text:x\"}")
	text, err := webtoken.Sign("HS256", []byte("the key"), map[string]any{"iat": tokenTime.Add(-time.Second).Unix()})
	require.NoError(t, err)
	_, err = jwt.Authenticate(Request{Header: http.Header{"X-S": {text}}, ReceivedAt: tokenTime}, key)
	require.Equal(t, MalformedSignature, reasonOf(err), "a token without one")
}

func TestMistakesInConditionsNameTheirField(t *testing.T) {
	const event = "name: a\nevent: {type: $.t}\n"
	list := func(text string) string {
		return event + "allOf: [{scheme: basic}, {scheme: addresses, addresses: " + text + "}]"
	}
	for _, c := range []struct{ text, field, says string }{
		{event + "scheme: addresses\naddresses: [192.0.2.1]", "scheme", "list another proof beside it"},
		{event + "allOf: [{scheme: addresses, addresses: [192.0.2.1]}]", "scheme", "list another proof beside it"},
		{event + "anyOf: [{scheme: addresses, addresses: [192.0.2.1]}]", "scheme", "list another proof beside it"},
		{event + "scheme: basic\naddresses: [192.0.2.1]", "addresses", "Only the scheme addresses"},
		{list("[]"), "allOf[1].addresses", "1 to 256"},
		{list("[somewhere]"), "allOf[1].addresses[0]", "not a network"},
		{list("[192.0.2.1/24]"), "allOf[1].addresses[0]", "write 192.0.2.0/24"},
		{list("[192.0.2.1, 0.0.0.0/0]"), "allOf[1].addresses[1]", "every address"},
		{list("[\"::ffff:192.0.2.0/120\"]"), "allOf[1].addresses[0]", "not a network"},
		{list("[\"fe80::1%eth0\"]"), "allOf[1].addresses[0]", "not a network"},
		{event + "scheme: basic\nnonce: header:X-N", "nonce", "signs nothing"},
		{event + "scheme: hmac\nsignature: {header: X-S}\ntimestamp: {header: X-T}\nnonce: header:X-N", "signature.over", "must include {timestamp}"},
		{event + "scheme: hmac\nsignature: {header: X-S, over: \"{timestamp}.{body}\"}\ntimestamp: {header: X-T}\nnonce: header:X-N", "nonce", "must include {header:X-N}"},
		{event + "scheme: hmac\nsignature: {header: X-S, over: \"{header:X-N}.{body}\"}\nnonce: header:X-N", "timestamp.header", "name the signed time"},
		{event + "scheme: hmac\nsignature: {header: X-S}\nnonce: cookie:a", "nonce", "is none of header"},
		{event + "scheme: jwt\nsignature: {header: X-S}\nnonce: jti", "timestamp.toleranceSeconds", "set how long"},
		{"name: a\n" + nonced + "deduplication: {by: none}", "deduplication.by", "is used once"},
	} {
		_, err := FromFile([]byte(c.text))
		require.True(t, fault.Is(err, fault.Invalid), "%s: %v", c.text, err)
		require.Equal(t, c.field, fault.As(err).Fields[0].Field, c.text)
		require.Contains(t, fault.As(err).Message, c.says, c.text)
	}
}
