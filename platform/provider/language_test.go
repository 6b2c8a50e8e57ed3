package provider

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// described compiles a definition of YAML.
func described(t testing.TB, text string) Spec {
	s, err := FromFile([]byte("name: initech\n" + text))
	require.NoError(t, err)
	return s
}

func TestPlacesOfAnEvent(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct{ name, place, kind, body, want string }{
		{"a header", `"header:X-Id"`, jsonType, `{}`, "h1"},
		{"a parameter", `"query:q"`, jsonType, `{}`, "q1"},
		{"a parameter given twice is none", `"query:twice"`, jsonType, `{}`, ""},
		{"a field of a form", `"form:a"`, form, `a=1&b=2`, "1"},
		{"the method", `method`, jsonType, `{}`, "POST"},
		{"a JSON path", `$.a.b`, jsonType, `{"a":{"b":1.50}}`, "1.50"},
		{"the first of several", `[$.a, {at: $.b}, "text:c"]`, jsonType, `{"b":"x"}`, "x"},
		{"else a constant", `[$.a, "text:c"]`, jsonType, `{}`, "c"},
		{"several, joined", `{join: [$.a, $.b, $.c], with: "/"}`, jsonType, `{"a":"1","c":"3"}`, "1/3"},
		{"nothing where the first is missing", `{join: [$.a, $.b]}`, jsonType, `{"b":"3"}`, ""},
		{"on a condition", `{at: $.a, if: $.b}`, jsonType, `{"a":"1"}`, ""},
		{"that holds", `{at: $.a, if: {at: $.b, match: "^x"}}`, jsonType, `{"a":"1","b":"xy"}`, "1"},
		{"JSON inside a text, as SNS has it", `{at: $.Message, json: $.id}`, jsonType, `{"Message":"{\"id\":\"7\"}"}`, "7"},
		{"JSON inside base64, as Pub/Sub has it", `{at: $.message.data, decode: base64, json: $.id}`, jsonType, `{"message":{"data":"eyJpZCI6IjcifQ=="}}`, "7"},
		{"base64 that is none", `{at: $.d, decode: base64}`, jsonType, `{"d":"#"}`, ""},
		{"the group of an expression", `{at: $.arn, match: "([^:]+)$"}`, jsonType, `{"arn":"arn:aws:x:y"}`, "y"},
		{"an expression that does not match", `{at: $.arn, match: "^z"}`, jsonType, `{"arn":"a"}`, ""},
		{"a text that is too long for one", `{at: $.a, match: "x"}`, jsonType, `{"a":"` + strings.Repeat("x", maxMatched+1) + `"}`, ""},
		{"an element of XML", `$.Envelope.Body.Id`, "text/xml", `<e:Envelope xmlns:e="u"><e:Body><Id>5</Id></e:Body></e:Envelope>`, "5"},
		{"a part of a multipart form", `$.json.x`, "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n1\r\n--b--\r\n", ""},
		{"which is a text", `{at: $.json, json: $.x}`, "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{\"x\":\"9\"}\r\n--b--\r\n", "9"},
		{"plain text", `$.text`, "text/plain", `hello`, "hello"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := described(t, "scheme: hmac\nsignature: {header: X-S}\nbodies: [form, xml, multipart, text]\nevent: {type: \"text:x\", id: "+c.place+"}")
			require.True(t, s.Accepts(strings.Split(c.kind, ";")[0]))
			req := Request{Method: http.MethodPost, URL: sampleURL + "?q=q1&twice=1&twice=2", Header: http.Header{"Content-Type": {c.kind}, "X-Id": {"h1"}}, Body: []byte(c.body)}
			events, err := s.Normalize(req)
			require.NoError(t, err)
			if c.want == "" {
				require.Nil(t, events[0].ID)
				return
			}
			require.Equal(t, c.want, *events[0].ID)
		})
	}
}

func TestPartsOfABodyAreEvents(t *testing.T) {
	s := described(t, "scheme: hmac\nsignature: {header: X-S}\nevent: {items: \"$.entry[*].changes[*]\", type: {join: [\"body:$.object\", $.field], with: .}}")
	types := func(body string) (all []string) {
		events, err := s.Normalize(Request{Body: []byte(body)})
		require.NoError(t, err)
		for _, e := range events {
			all = append(all, e.Type)
		}
		return all
	}
	require.Equal(t, []string{"o.a", "o.b", "o.c"}, types(`{"object":"o","entry":[{"changes":[{"field":"a"},{"field":"b"}]},{"changes":[{"field":"c"}]}]}`))
	require.Equal(t, []string{"o.e"}, types(`{"object":"o","entry":[{"field":"e"}]}`), "an item without parts is one")
	require.Empty(t, types(`{"object":"o","entry":[]}`))
	_, err := s.Normalize(Request{Body: []byte(`{"object":"o","entry":[{"changes":[1]}]}`)})
	require.ErrorContains(t, err, "Part 0 of the body must be an object")
}

// each makes a request signed by the definition, which must be accepted; and with anything of
// it changed it must be refused.
func TestWaysToProveARequest(t *testing.T) {
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	rsaKey := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for _, c := range []struct{ name, proof, key, body string }{
		{"a signature in the query", `{scheme: hmac, signature: {at: ["query:sig"], encoding: base64url}`, "k1", `{}`},
		{"over chosen members of the body", `{unsigned: It covers a and b., scheme: hmac, signature: {at: [$.sig], over: "{$.a}:{$.b.c}"}`, "k1", `{"a":"1","b":{"c":"2"},"sig":"$PROOF"}`},
		{"over a header", `{scheme: hmac, signature: {header: X-Sig, hash: sha384, over: "{header:X-Nonce}.{body}"}`, "k1", `{}`},
		{"with a time in the query", `{scheme: hmac, signature: {header: X-Sig, over: "{timestamp}.{body}"}, timestamp: {at: "query:ts"}`, "k1", `{}`},
		{"with a time in the signed body", `{scheme: hmac, signature: {header: X-Sig}, timestamp: {at: $.ts, unit: milliseconds}`, "k1", `{"ts":1767603600000}`},
		{"a token in the body", `{scheme: token, signature: {at: [$.auth.token]}`, "tok", `{"auth":{"token":"$PROOF"}}`},
		{"a token in the query", `{scheme: token, signature: {at: ["query:token"]}`, "tok", `{}`},
		{"Ed25519", `{scheme: ed25519, signature: {header: X-Sig, over: "{body}"}`, "seed", `{}`},
		{"ECDSA", `{scheme: ecdsa, signature: {header: X-Sig, encoding: base64}`, "seed", `{}`},
		{"RSA", `{scheme: rsa, signature: {header: X-Sig, encoding: base64}`, rsaKey, `{}`},
		{"any of two", `{anyOf: [{scheme: hmac, signature: {header: X-Sig}}, {scheme: token, signature: {header: X-Token}}]`, "key", `{}`},
		{"all of two", `{allOf: [{scheme: hmac, signature: {header: X-Sig}}, {scheme: token, signature: {header: X-Token}}]`, "key", `{}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := FromFile([]byte(c.proof + `, name: initech, event: {type: "text:x"}}`))
			require.NoError(t, err)
			req := Request{Method: http.MethodPost, URL: sampleURL, Header: http.Header{"Content-Type": {jsonType}, "X-Nonce": {"n"}}, Body: []byte(c.body), ReceivedAt: at}
			require.NoError(t, s.Verify.(Signer).SignRequest(&req, secret.New(c.key)))
			held, err := s.SecretFor(secret.New(c.key))
			require.NoError(t, err)
			_, err = s.Authenticate(req, []Secret{{ID: "1", Value: held}})
			require.NoError(t, err)
			for _, wrong := range [][]Secret{nil, {{ID: "1"}}, {{ID: "1", Value: secret.New("other")}}} {
				_, err = s.Authenticate(req, wrong)
				require.True(t, fault.Is(err, fault.Unauthorized))
			}
			bare := Request{Method: http.MethodPost, URL: sampleURL, Header: http.Header{"Content-Type": {jsonType}, "X-Nonce": {"n"}}, Body: []byte(`{}`), ReceivedAt: at}
			_, err = s.Authenticate(bare, []Secret{{ID: "1", Value: held}})
			require.True(t, fault.Is(err, fault.Unauthorized), "without a proof")
		})
	}
}

func TestAllOfNeedsEach(t *testing.T) {
	s := described(t, "allOf: [{scheme: hmac, signature: {header: X-Sig}}, {scheme: token, signature: {header: X-Token}}]\nevent: {type: \"text:x\"}")
	keys := []Secret{{ID: "1", Purpose: Signing, Value: secret.New("key")}, {ID: "2", Purpose: Token, Value: secret.New("tok")}}
	signed := hexHMAC("key", "{}")
	for _, c := range []struct {
		signature, token string
		good             bool
	}{{signed, "tok", true}, {signed, "key", false}, {signed, "", false}, {"", "tok", false}, {hexHMAC("tok", "{}"), "tok", false}} {
		req := Request{Body: []byte("{}"), Header: http.Header{"X-Sig": {c.signature}, "X-Token": {c.token}}}
		_, err := s.Authenticate(req, keys)
		require.Equal(t, c.good, err == nil, "%+v", c)
	}
	_, err := AllOf{}.Verify(Request{}, keys)
	require.Error(t, err, "no condition proves nothing")
	_, err = AnyOf{}.Verify(Request{}, keys)
	require.Error(t, err, "no condition proves nothing")
}

func TestMistakesInADefinitionNameTheirField(t *testing.T) {
	const fine = "name: initech\nscheme: hmac\nsignature: {header: X-S}\nevent: {type: $.type}\n"
	for _, c := range []struct{ text, field, says string }{
		{"name: Initech", "name", "lower-case letters"},
		{"name: a\nscheme: [", "definition", "is not YAML"},
		{fine + "evnt: {}", "evnt", "is not a field"},
		{fine + "deduplication: {by: 1}", "deduplication.by", "must be text"},
		{"name: a\nanyOf: []\nevent: {type: $.t}", "anyOf", "1 to 4"},
		{"name: a\nallOf: []\nevent: {type: $.t}", "allOf", "1 to 4"},
		{fine + "anyOf: [{scheme: basic}]", "scheme", "one of scheme, anyOf and allOf"},
		{"name: a\nanyOf: [{scheme: basic}, {scheme: hmac}]\nevent: {type: $.t}", "anyOf[1].signature.header", "It is required"},
		{"name: a\nscheme: hmac\nsignature: {at: [$..x]}\nevent: {type: $.t}", "signature.at[0]", "path of names"},
		{"name: a\nscheme: hmac\nsignature: {header: X, over: \"{$.a}{$.b}.{body}\"}\nevent: {type: $.t}", "signature.over", "Put a text"},
		{"name: a\nscheme: hmac\nsignature: {header: X, over: \"{$.a}\"}\nevent: {type: $.t}", "signature.over", "It must include {body}"},
		{"name: a\nscheme: hmac\nsignature: {header: X, over: \"{body}\"}\ntimestamp: {at: \"query:t\"}\nevent: {type: $.t}", "signature.over", "It must include {timestamp}"},
		{"name: a\nscheme: rsa\nsignature: {header: X, hash: sha1}\nevent: {type: $.t}", "signature.hash", "is with sha256"},
		{"name: a\nscheme: basic\nevent: {type: {at: $.t, mtch: x}}", "event.type.mtch", "did you mean match?"},
		{"name: a\nscheme: basic\nevent: {type: [$.t, {at: 1}]}", "event.type[1].at", "must be text"},
		{"name: a\nscheme: basic\nevent: {type: 1}", "event.type", "must be text, a list of places or an object"},
		{"name: a\nscheme: basic\nevent: {type: " + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + "}", "event.type", "must not nest deeper"},
		{"name: a\nscheme: basic\nevent: {type: {at: $.t, firstOf: [$.b]}}", "event.type", "one of at, firstOf and join"},
		{"name: a\nscheme: basic\nevent: {type: {at: $.t, match: \"(\"}}", "event.type.match", "not an RE2 expression"},
		{"name: a\nscheme: basic\nevent: {type: {at: $.t, match: \"" + strings.Repeat("x", maxPattern+1) + "\"}}", "event.type.match", "200 characters"},
		{"name: a\nscheme: basic\nevent: {type: {at: $.t, if: {at: $.t, if: {at: $.t, if: {at: $.t, if: $.t}}}}}", "event.type.if.if.if.if", "deeper than 4"},
		{"name: a\nscheme: basic\nevent: {type: {join: [$.a, \"header:a b\"]}}", "event.type.join[1]", "not a valid header name"},
		{"name: a\nscheme: basic\nevent: {type: $.t, items: \"$..x\"}", "event.items", "path of at most 4 names"},
		{fine + "bodies: [pdf]", "bodies", "write one of form, multipart, xml, text, json"},
		{fine + "maxBodyBytes: 99999999", "maxBodyBytes", "to 33554432"},
		{fine + "handshakes: [{name: a, answer: {}}]", "handshakes[0].when", "every request would be answered"},
		{fine + "handshakes: [{name: a, method: PUT, when: [{place: $.a}], answer: {}}]", "handshakes[0].method", "POST, GET or OPTIONS"},
		{fine + "handshakes: [{name: a, when: [{place: $.a}], answer: {contentType: text/html}}]", "handshakes[0].answer.contentType", "no browser runs"},
		{fine + "handshakes: [{name: a, when: [{place: $.a}], answer: {headers: {Set-Cookie: b}}}]", "handshakes[0].answer.headers", "not a header that an answer may have"},
		{fine + "bodies: [form]\nhandshakes: [{name: a, method: GET, when: [{place: \"query:a\"}], answer: {body: \"{hmac-hex:query:a}\"}}]", "handshakes[0].answer.body", "could be signed for anybody"},
		{fine + "deduplication: {by: places, places: [\"path:3\"]}", "deduplication.places[0]", "path:1 or path:2"},
		{"name: a\nscheme: token\nsignature: {at: [\"path:0\"]}\nevent: {type: $.t}", "signature.at[0]", "path:1, path:2"},
		{fine + "handshakes: [{name: a, method: GET, when: [{place: \"query:a\"}], store: {secret: \"query:a\"}, answer: {}}]", "handshakes[0].store", "Only a POST"},
		{fine + "handshakes: [{name: a, when: [{place: $.a}], store: {secret: $.a, purpose: token}, answer: {}}]", "handshakes[0].store.purpose", "is not used"},
		{"name: a\nscheme: certificate\ncertificates: [\"cn:a\"]\nevent: {type: $.t}", "certificates", "the integration's secret names"},
		{"name: a\nallOf: [{scheme: certificate}, {scheme: hmac, signature: {header: X-S}}]\nevent: {type: $.t}", "allOf[0].certificates", "required beside another"},
		{"name: a\nallOf: [{scheme: certificate, certificates: [\"sha256:12\"]}, {scheme: hmac, signature: {header: X-S}}]\nevent: {type: $.t}", "allOf[0].certificates[0]", "64 hex digits"},
		{"name: a\nallOf: [{scheme: certificate, certificates: [\"cn:a\"]}]\nevent: {type: $.t}", "scheme", "another proof"},
		{"name: a\nanyOf: [{scheme: ed25519, signature: {header: X-A}}, {scheme: hmac, signature: {header: X-S}}]\nevent: {type: $.t}", "anyOf", "who knows the public key"},
		{fine + "certificates: [\"cn:a\"]", "certificates", "Only the scheme certificate"},
		{fine + "answer: {body: \"{hmac-hex:$.a}\"}", "answer.body", "Only a handshake signs"},
	} {
		_, err := FromFile([]byte(c.text))
		require.True(t, fault.Is(err, fault.Invalid), "%s: %v", c.text, err)
		require.Equal(t, c.field, fault.As(err).Fields[0].Field, c.text)
		require.Contains(t, fault.As(err).Message, c.says, c.text)
	}
	_, err := FromFile([]byte(fine))
	require.NoError(t, err)
}

func TestAPlaceIsWrittenAsItWasRead(t *testing.T) {
	for _, text := range []string{`"$.a"`, `{"firstOf":["$.a",{"at":"$.b","match":"x"}]}`, `{"join":["$.a","header:B"],"with":"-"}`} {
		var p Place
		require.NoError(t, json.Unmarshal([]byte(text), &p))
		again, err := json.Marshal(p)
		require.NoError(t, err)
		require.JSONEq(t, text, string(again))
	}
}
