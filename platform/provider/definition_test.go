package provider

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// define reads a definition as an integration's options hold it.
func define(t *testing.T, text string) Options {
	var o Options
	decoder := json.NewDecoder(strings.NewReader(`{"generic":` + text + `}`))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&o))
	return o
}

const timestamped = `{"scheme":"hmac",
	"signature":{"header":"X-Sig","prefix":"v1=","separator":",","encoding":"base64","hash":"sha512","over":"{id}|{timestamp}|{body}","idHeader":"X-Id"},
	"timestamp":{"header":"X-Time","unit":"milliseconds","toleranceSeconds":10},
	"event":{"id":"header:X-Id","type":"$.kind","subject":"$.things[?@.main].id","time":"$.when","timeUnit":"seconds"}}`

func TestAUserDefinedProvider(t *testing.T) {
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	body := `{"kind":"thing.made","when":1767603590,"things":[{"id":1},{"id":12345678901234567891,"main":true}]}`
	for _, c := range []struct {
		name, definition, key string
		id, subject           *string
	}{
		{"a timestamped HMAC over parts", timestamped, "k", ptr("evt"), ptr("12345678901234567891")},
		{"an HMAC of the body, by default hex of SHA-256", `{"scheme":"hmac","signature":{"header":"X-Sig"},"event":{"type":"text:thing.made"}}`, "k", nil, nil},
		{"with the time in the signature's header", `{"scheme":"hmac","signature":{"header":"X-Sig","separator":",","prefix":"s=","over":"{timestamp}.{body}"},"timestamp":{"item":"t="},"event":{"type":"$.kind"}}`, "k", nil, nil},
		{"with a key in base64", `{"scheme":"hmac","signature":{"header":"X-Sig","key":"base64"},"event":{"type":"$['kind']"}}`, "aGk=", nil, nil},
		{"a token", `{"scheme":"token","signature":{"header":"Authorization","prefix":"Bearer "},"event":{"id":"$.things[0].id","type":"$.kind"}}`, "tok", ptr("1"), nil},
		{"user and password", `{"scheme":"basic","event":{"type":"$.kind"}}`, "user:pass:word", nil, nil},
		{"Standard Webhooks", `{"scheme":"standard-webhooks","event":{"id":"header:webhook-id","type":"$.kind"}}`, "whsec_aGk=", ptr("evt"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Builtin().Configure(genericName, define(t, c.definition))
			require.NoError(t, err)
			req := Request{Method: http.MethodPost, URL: sampleURL, Header: http.Header{"X-Id": {"evt"}, "Webhook-Id": {"evt"}}, Body: []byte(body), ReceivedAt: at}
			require.NoError(t, s.Verify.(Signer).SignRequest(&req, secret.New(c.key)))
			match, err := s.Authenticate(req, secrets("other", c.key))
			require.NoError(t, err)
			require.Equal(t, "id of "+c.key, match.SecretID)
			_, err = s.Authenticate(req, secrets("other"))
			require.Equal(t, string(NoMatch), reason(err))
			req.SignedID = match.SignedID
			events, err := s.Normalize(req)
			require.NoError(t, err)
			require.Equal(t, "thing.made", events[0].Type)
			require.Equal(t, c.id, events[0].ID)
			require.Equal(t, c.subject, events[0].Subject)
			require.Contains(t, string(events[0].Payload), `"data":`+body)
			if s.Tolerance > 0 {
				req.ReceivedAt = at.Add(s.Tolerance + time.Second)
				_, err = s.Authenticate(req, secrets(c.key))
				require.Equal(t, string(OutsideTolerance), reason(err))
			}
		})
	}
}

func TestIDsAtAJSONPathStayAsTheyWereSent(t *testing.T) {
	s, err := Builtin().Configure(genericName, define(t, `{"scheme":"token","signature":{"header":"T"},"event":{"id":"$.a[1].id","type":"text:x"}}`))
	require.NoError(t, err)
	ids := map[string]bool{}
	for _, sent := range []string{`\ud800`, `\ud801`, `\u0000`, `x`} {
		events, err := s.Normalize(Request{Body: []byte(`{"a":[{},{"id":"` + sent + `"}]}`)})
		require.NoError(t, err)
		require.Equal(t, sent, string(events[0].IDAsSent))
		ids[string(events[0].IDAsSent)] = true
	}
	require.Len(t, ids, 4)
	events, err := s.Normalize(Request{Body: []byte(`{"a":[]}`)})
	require.NoError(t, err)
	require.Nil(t, events[0].IDAsSent, "the body's hash identifies it")
	for _, path := range []string{"$", "$[0]", "$..zzz", "$.a[0][1]", "$.*"} {
		s, err := Builtin().Configure(genericName, define(t, `{"scheme":"token","signature":{"header":"T"},"event":{"id":"`+path+`","type":"text:x"}}`))
		require.NoError(t, err)
		events, err := s.Normalize(Request{Body: []byte(`{"a":[[1]]}`)})
		require.NoError(t, err, path)
		require.Nil(t, events[0].IDAsSent, path)
	}
}

func TestErrorsInADefinitionNameTheirField(t *testing.T) {
	const event = `"event":{"type":"$.type"}`
	for _, c := range []struct{ definition, field, says string }{
		{`{` + event + `}`, "scheme", `"" is unknown; write one of hmac, token, basic, standard-webhooks, ed25519, ecdsa, rsa, jwt, addresses.`},
		{`{"scheme":"none",` + event + `}`, "scheme", `"none" is unknown`},
		{`{"scheme":"hmac",` + event + `}`, "signature.header", "It is required"},
		{`{"scheme":"token",` + event + `}`, "signature.header", "It is required"},
		{`{"scheme":"hmac","signature":{"header":"X Sig"},` + event + `}`, "signature.header", `"X Sig" is not a valid header name.`},
		{`{"scheme":"hmac","signature":{"header":"X","hash":"md5"},` + event + `}`, "signature.hash", `"md5" is unknown; write one of sha256, sha1, sha384, sha512.`},
		{`{"scheme":"hmac","signature":{"header":"X","encoding":"base32"},` + event + `}`, "signature.encoding", "hex, base64"},
		{`{"scheme":"hmac","signature":{"header":"X","key":"jwk"},` + event + `}`, "signature.key", "text, hex, base64, sha1"},
		{`{"scheme":"hmac","signature":{"header":"X","over":"{body}{nonce}"},` + event + `}`, "signature.over", "{nonce is none of {body}"},
		{`{"scheme":"hmac","signature":{"header":"X","over":"{body"},` + event + `}`, "signature.over", "is none of"},
		{`{"scheme":"hmac","signature":{"header":"X","over":"{url}"},` + event + `}`, "signature.over", "It must include {body}"},
		{`{"scheme":"hmac","signature":{"header":"X","over":"{id}{body}"},` + event + `}`, "signature.idHeader", "name its header"},
		{`{"scheme":"hmac","signature":{"header":"X","over":"{timestamp}{body}"},` + event + `}`, "timestamp.header", "name its header"},
		{`{"scheme":"hmac","signature":{"header":"X"},"timestamp":{"header":"T"},` + event + `}`, "signature.over", "It must include {timestamp}"},
		{`{"scheme":"hmac","signature":{"header":"X","over":"{timestamp}{body}"},"timestamp":{"item":"t="},` + event + `}`, "signature.separator", "also holds the time"},
		{`{"scheme":"hmac","signature":{"header":"X","separator":",","over":"{timestamp}{body}"},"timestamp":{"item":"t=","header":"T"},` + event + `}`, "timestamp.item", "one place"},
		{`{"scheme":"hmac","signature":{"header":"X","over":"{timestamp}{body}"},"timestamp":{"header":"T","unit":"minutes"},` + event + `}`, "timestamp.unit", "seconds, milliseconds, rfc3339"},
		{`{"scheme":"hmac","signature":{"header":"X","over":"{timestamp}{body}"},"timestamp":{"header":"T","toleranceSeconds":-1},` + event + `}`, "timestamp.toleranceSeconds", "from 0"},
		{`{"scheme":"token","signature":{"header":"X"},"timestamp":{"toleranceSeconds":5},` + event + `}`, "timestamp.toleranceSeconds", "no signed time"},
		{`{"scheme":"basic"}`, "event.type", "It is required"},
		{`{"scheme":"basic","event":{"type":"type"}}`, "event.type", "neither header:<name> nor text:<text> nor a JSON path"},
		{`{"scheme":"basic","event":{"type":"$.type","id":"$.["}}`, "event.id", "nor a JSON path"},
		{`{"scheme":"basic","event":{"type":"header:a b"}}`, "event.type", `"a b" is not a valid header name.`},
		{`{"scheme":"basic","event":{"type":"$.type","timeUnit":"days"}}`, "event.timeUnit", "rfc3339, seconds, milliseconds"},
		{`{"scheme":"basic","event":{"type":"$.type"},"challenge":{"parameter":"hub.challenge"}}`, "challenge.token", "It is required"},
		{`{"scheme":"basic","event":{"type":"$.type"},"challenge":{"token":"hub.verify_token"}}`, "challenge.parameter", "It is required"},
	} {
		_, err := Builtin().Configure(genericName, define(t, c.definition))
		require.True(t, fault.Is(err, fault.Invalid), "%s: %v", c.definition, err)
		require.Len(t, fault.As(err).Fields, 1)
		require.Equal(t, "options.generic."+c.field, fault.As(err).Fields[0].Field, c.definition)
		require.Contains(t, fault.As(err).Message, c.says)
	}
}

func TestSecretsThatCanNeverMatch(t *testing.T) {
	of := func(definition string) Spec {
		s, err := Builtin().Configure(genericName, define(t, definition))
		require.NoError(t, err)
		return s
	}
	builtin := func(name string) Spec { s, _ := Builtin().Spec(name); return s }
	for _, c := range []struct {
		name      string
		spec      Spec
		good, bad string
	}{
		{"any text for GitHub, but none", builtin("github"), "x", ""},
		{"a key in base64 after whsec_", builtin("standard-webhooks"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLvV7", "whsec_#"},
		{"of 16 bytes", builtin("standard-webhooks"), "whsec_AAECAwQFBgcICQoLDA0ODw==", "whsec_AAECAwQFBgcICQoLDA0O"},
		{"that are not one byte over and over", builtin("standard-webhooks"), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLvV7", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
		{"as little as in GitLab's token", builtin("gitlab"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLvV7", "whsec_QQ=="},
		{"nor one character", builtin("github"), "aaaaaaab", "aaaaaaaa"},
		{"or a public one", builtin("standard-webhooks"), "whpk_Dw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8=", "whpk_aGk="},
		{"whose order is large", builtin("standard-webhooks"), "whpk_Dw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8=", "whpk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA="},
		{"no private one", builtin("standard-webhooks"), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLvV7", "whsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
		{"GitLab's signing token", builtin("gitlab"), "any token", "whsec_#"},
		{"Discord's public key", builtin("discord"), strings.Repeat("0f", 32), strings.Repeat("0f", 31)},
		{"Discord's, whose order is large", builtin("discord"), strings.Repeat("0f", 32), "ec" + strings.Repeat("ff", 31)},
		{"SendGrid's public key", builtin("sendgrid"), "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC+u4CwrqDqBaWjcMMsTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu/1FwCM/QmGUhA==", "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="},
		{"a topic's ARN", builtin("aws-sns"), "arn:aws:sns:eu-central-1:123456789012:orders", "my-topic"},
		{"of a region", builtin("aws-sns"), "arn:aws-us-gov:sns:us-gov-west-1:123456789012:orders", "arn:aws:sns:evil:123456789012:orders"},
		{"a key in hex", of(`{"scheme":"hmac","signature":{"header":"X","key":"hex"},"event":{"type":"text:x"}}`), "0aFF0aFF0aFF0aFF", "0g"},
		{"of eight bytes", of(`{"scheme":"hmac","signature":{"header":"X","key":"hex"},"event":{"type":"text:x"}}`), "0102030405060708", "01020304050607"},
		{"that differ", of(`{"scheme":"hmac","signature":{"header":"X","key":"base64"},"event":{"type":"text:x"}}`), "AQIDBAUGBwg=", "AAAAAAAAAAA="},
		{"user and password", of(`{"scheme":"basic","event":{"type":"text:x"}}`), "u:p", "nobody"},
	} {
		require.NoError(t, c.spec.ValidateSecret(secret.New(c.good)), c.name)
		err := c.spec.ValidateSecret(secret.New(c.bad))
		require.True(t, fault.Is(err, fault.Invalid), c.name)
		require.Equal(t, "secrets", fault.As(err).Fields[0].Field)
		if c.bad != "" {
			require.NotContains(t, err.Error(), c.bad, "a mistake shows no secret")
		}
	}
}

func TestInvalidOptions(t *testing.T) {
	n := func(i int) *int { return &i }
	for _, c := range []struct {
		provider, field, says string
		options               Options
	}{
		{"initech", "provider", "There is no provider initech.", Options{}},
		{"github", "options.publicUrl", "It must be an address", Options{PublicURL: "hooks.example.com"}},
		{"github", "options.publicUrl", "It must be an address", Options{PublicURL: "https://user@hooks.example.com"}},
		{"github", "options.toleranceSeconds", "have no signed time", Options{ToleranceSeconds: n(5)}},
		{"stripe", "options.toleranceSeconds", "from 0", Options{ToleranceSeconds: n(-1)}},
		{"stripe", "options.toleranceSeconds", "to 2592000", Options{ToleranceSeconds: n(2592001)}},
		{"github", "options.confirmSubscriptions", "no subscriptions", Options{ConfirmSubscriptions: true}},
		{"github", "options.generic", "only generic takes a definition", Options{Generic: &Definition{}}},
		{"generic", "options.generic", "needs a definition", Options{}},
	} {
		_, err := Builtin().Configure(c.provider, c.options)
		require.True(t, fault.Is(err, fault.Invalid), c.says)
		require.Equal(t, c.field, fault.As(err).Fields[0].Field)
		require.Contains(t, fault.As(err).Message, c.says)
	}
	s, err := Builtin().Configure("stripe", Options{ToleranceSeconds: n(2592000)})
	require.NoError(t, err)
	require.Equal(t, 30*24*time.Hour, s.Tolerance)
	o := define(t, `{"scheme":"standard-webhooks","timestamp":{"toleranceSeconds":0},"event":{"type":"$.type"}}`)
	o.ToleranceSeconds = n(7)
	s, err = Builtin().Configure(genericName, o)
	require.NoError(t, err)
	require.Equal(t, 7*time.Second, s.Tolerance, "the integration's own word counts")
}

func TestThePublicURL(t *testing.T) {
	for _, c := range []struct{ public, received, seen string }{
		{"", "http://10.0.0.1/in?a=1", "http://10.0.0.1/in?a=1"},
		{"https://x.example/out", "http://10.0.0.1/in", "https://x.example/out"},
		{"https://x.example/out", "http://10.0.0.1/in?a=1", "https://x.example/out?a=1"},
		{"https://x.example/out?a=1", "http://10.0.0.1/in?a=1&b=2", "https://x.example/out?a=1&b=2"},
		{"https://x.example/out?a=1", "http://10.0.0.1/in", "https://x.example/out?a=1"},
	} {
		s, err := Builtin().Configure("square", Options{PublicURL: c.public})
		require.NoError(t, err)
		require.Equal(t, c.seen, s.withPublicURL(Request{URL: c.received}).URL)
	}
}

func TestTheProviderGenericRefusesEverythingWithoutADefinition(t *testing.T) {
	s, _ := Builtin().Spec(genericName)
	_, err := s.Authenticate(Request{Header: http.Header{}}, secrets("a"))
	require.Equal(t, string(NoMatch), reason(err))
}

func TestChallenges(t *testing.T) {
	s, err := Builtin().Configure(genericName, define(t,
		`{"scheme":"hmac","signature":{"header":"X"},"event":{"type":"$.type"},"challenge":{"parameter":"hub.challenge","token":"hub.verify_token"}}`))
	require.NoError(t, err)
	for _, c := range []struct{ query, answer string }{
		{"hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=tok", "1158201444"},
		{"hub.challenge=1&hub.verify_token=wrong", ""},
		{"hub.challenge=1", ""},
		{"hub.verify_token=tok", ""},
		{"hub.challenge=1&hub.challenge=2&hub.verify_token=tok", ""},
		{"hub.challenge=%0d%0a&hub.verify_token=tok", ""},
		{"hub.challenge=" + strings.Repeat("x", maxChallenge+1) + "&hub.verify_token=tok", ""},
	} {
		reply, err := s.Challenge(Request{URL: sampleURL + "?" + c.query}, []Secret{{ID: "1", Purpose: Challenge, Value: secret.New("tok")}})
		require.Equal(t, c.answer == "", err != nil, c.query)
		if err == nil {
			require.Equal(t, c.answer, string(reply.Body))
			require.Contains(t, reply.ContentType, "text/plain")
		}
	}
}

func TestNamedProviders(t *testing.T) {
	good := Named{Name: "initech", Definition: *define(t, timestamped).Generic}
	s, err := good.Spec()
	require.NoError(t, err)
	registry, err := Builtin().With(s)
	require.NoError(t, err)
	found, ok := registry.Spec("initech")
	require.True(t, ok)
	require.Equal(t, "initech", found.Title)
	_, err = Builtin().With(s, s)
	require.ErrorContains(t, err, `two providers are named "initech"`)
	bad := good
	bad.Signature.Header = ""
	_, err = bad.Spec()
	require.Equal(t, "providers.initech.signature.header", fault.As(err).Fields[0].Field)
}

// A path such as $..*..*..q took minutes for a body of some hundred kilobytes, while which
// all other sources waited for the processor.
func TestExpensivePathsInADefinitionAreRefused(t *testing.T) {
	configure := func(path string) (Spec, error) {
		text, _ := json.Marshal(path)
		return Builtin().Configure(genericName, define(t, `{"scheme":"token","signature":{"header":"T"},"event":{"type":"text:x","id":`+string(text)+`}}`))
	}
	for path, fine := range map[string]bool{
		"$..id": true, "$.*.*.id": true, "$.a[1:3].id": true, "$.a[?@.k == 'x, $ and ..'].id": true, "$['a,b..','c']": false, "$['a,b..']..id": true,
		"$..a..id": false, "$..*[?@.id].id": false, "$.a[?@..id].id": false, "$.a[?@ == $.b].id": false, "$.a[0,0].id": false, "$.a[?@[*,*]].id": false,
	} {
		_, err := configure(path)
		require.Equal(t, fine, err == nil, "%s: %v", path, err)
		if !fine {
			require.Equal(t, "options.generic.event.id", fault.As(err).Fields[0].Field)
		}
	}

	s, err := configure("$.a[*].k")
	require.NoError(t, err)
	body := []byte(`{"a":[` + strings.Repeat(`{"k":{}},`, 20_000) + `{"k":"it"}]}`)
	began := time.Now()
	events, err := s.Normalize(Request{Body: body})
	require.NoError(t, err)
	require.Equal(t, "it", *events[0].ID)
	require.Less(t, time.Since(began), 10*time.Second, "it took ten minutes")
}
