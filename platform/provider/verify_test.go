package provider

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

func secrets(texts ...string) []Secret {
	var all []Secret
	for _, text := range texts {
		all = append(all, Secret{ID: "id of " + text, Value: secret.New(text)})
	}
	return all
}

func hexHMAC(key, body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestVerify(t *testing.T) {
	const body = `{"a":1}`
	acmeSpec, globexSpec := acme(), globex()
	right := hexHMAC("old", body)
	list := strings.Repeat("00,", 20) + right
	cases := []struct {
		name   string
		spec   Spec
		header []string
		keys   []Secret
		match  string
		reason Reason
	}{
		{"a right signature is accepted", acmeSpec, []string{right}, secrets("old"), "id of old", ""},
		{"hex may be upper case", acmeSpec, []string{strings.ToUpper(right)}, secrets("old"), "id of old", ""},
		{"a prefix may stand before it", acmeSpec, []string{"sha256=" + right}, secrets("old"), "id of old", ""},
		{"another prefix is malformed", acmeSpec, []string{"sha1=" + right}, secrets("old"), "", MalformedSignature},
		{"of several signatures one must be right", acmeSpec, []string{hexHMAC("x", body) + ", " + right}, secrets("old"), "id of old", ""},
		{"none of several is right", acmeSpec, []string{hexHMAC("x", body) + "," + hexHMAC("y", body)}, secrets("old"), "", NoMatch},
		{"too many signatures are not tried", acmeSpec, []string{list}, secrets("old"), "", MalformedSignature},
		{"the first of two secrets matches", acmeSpec, []string{right}, secrets("old", "new"), "id of old", ""},
		{"the second of two secrets matches", acmeSpec, []string{right}, secrets("new", "old"), "id of old", ""},
		{"another secret does not match", acmeSpec, []string{right}, secrets("new"), "", NoMatch},
		{"without secrets nothing matches", acmeSpec, []string{right}, nil, "", NoMatch},
		{"an empty secret matches nothing", acmeSpec, []string{hexHMAC("", body)}, secrets(""), "", NoMatch},
		{"no header", acmeSpec, nil, secrets("old"), "", MissingHeader},
		{"an empty header", acmeSpec, []string{""}, secrets("old"), "", MissingHeader},
		{"the header twice, both right", acmeSpec, []string{right, right}, secrets("old"), "", DuplicateHeader},
		{"one hex digit too few", acmeSpec, []string{right[1:]}, secrets("old"), "", MalformedSignature},
		{"one byte too many", acmeSpec, []string{right + "00"}, secrets("old"), "", MalformedSignature},
		{"no hex at all", acmeSpec, []string{"not hex"}, secrets("old"), "", MalformedSignature},
		{"a right token is accepted", globexSpec, []string{"tok"}, secrets("tok"), "id of tok", ""},
		{"the second of two tokens matches", globexSpec, []string{"tok"}, secrets("new", "tok"), "id of tok", ""},
		{"a token's case matters", globexSpec, []string{"Tok"}, secrets("tok"), "", NoMatch},
		{"the start of a token is not enough", globexSpec, []string{"to"}, secrets("tok"), "", NoMatch},
		{"more than the token is too much", globexSpec, []string{"tokk"}, secrets("tok"), "", NoMatch},
		{"no token", globexSpec, nil, secrets("tok"), "", MissingHeader},
		{"an empty token never matches an empty secret", globexSpec, []string{""}, secrets(""), "", MissingHeader},
		{"the token twice", globexSpec, []string{"tok", "tok"}, secrets("tok"), "", DuplicateHeader},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{}
			for _, v := range c.header {
				h.Add(map[string]string{"acme": "x-acme-signature", "globex": "x-globex-token"}[c.spec.Name], v)
			}
			match, err := c.spec.Verify.Verify(Request{Header: h, Body: []byte(body)}, c.keys)
			if c.reason == "" {
				require.NoError(t, err)
				require.Equal(t, c.match, match.SecretID)
				return
			}
			require.True(t, fault.Is(err, fault.Unauthorized))
			require.Equal(t, string(c.reason), fault.As(err).Reason)
			require.Equal(t, "The webhook's credentials are not valid for this source.", fault.As(err).Message)
		})
	}
}

func TestEveryFlippedByteIsRefused(t *testing.T) {
	spec, keys := acme(), secrets("acme-demo-secret")
	body := []byte("\xEF\xBB\xBF{\"text\":\"\xff\xfe\"}")
	signature := spec.Verify.(HMAC).Sign(keys[0].Value, body)
	verify := func(body []byte, signature string) error {
		_, err := spec.Verify.Verify(Request{Header: http.Header{"X-Acme-Signature": {signature}}, Body: body}, keys)
		return err
	}
	require.NoError(t, verify(body, signature), "bytes that are not UTF-8 are signed as they are")
	for i := range body {
		for bit := range 8 {
			forged := append([]byte{}, body...)
			forged[i] ^= 1 << bit
			require.Error(t, verify(forged, signature), "byte %d, bit %d", i, bit)
		}
	}
	for i := range signature {
		for bit := range 8 {
			forged := []byte(signature)
			forged[i] ^= 1 << bit
			if strings.EqualFold(string(forged), signature) {
				continue // the other case of the same digit
			}
			require.Error(t, verify(body, string(forged)), "digit %d, bit %d", i, bit)
		}
	}
}

func TestPublishedVectors(t *testing.T) {
	key := secret.New("It's a Secret to Everybody")
	github := HMAC{Hash: sha256.New, Signed: Signed{Header: "X-Hub-Signature-256", Prefix: "sha256="}}
	require.Equal(t, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", github.Sign(key, []byte("Hello, World!")))
	bare := http.Header{"X-Hub-Signature-256": {strings.TrimPrefix(github.Sign(key, []byte("Hello, World!")), "sha256=")}}
	_, err := github.Verify(Request{Header: bare, Body: []byte("Hello, World!")}, []Secret{{ID: "1", Value: key}})
	require.Equal(t, string(MalformedSignature), fault.As(err).Reason, "a prefix that is not optional is needed")

	shopify := HMAC{Hash: sha256.New, Signed: Signed{Header: "X-Shopify-Hmac-Sha256", Encoding: Base64}}
	raw, err := hex.DecodeString(hexHMAC("k", "b"))
	require.NoError(t, err)
	require.Equal(t, base64.StdEncoding.EncodeToString(raw), shopify.Sign(secret.New("k"), []byte("b")))
	_, err = shopify.Verify(Request{Header: http.Header{"X-Shopify-Hmac-Sha256": {shopify.Sign(secret.New("k"), []byte("b"))}}, Body: []byte("b")}, secrets("k"))
	require.NoError(t, err)
}

func TestTheRegistryRefusesInvalidSpecs(t *testing.T) {
	changed := func(change func(*Spec)) Spec {
		s := globex()
		change(&s)
		return s
	}
	cases := []struct {
		name  string
		specs []Spec
		says  string
	}{
		{"a name twice", []Spec{acme(), acme()}, `two providers are named "acme"; names must be unique`},
		{"no name", []Spec{changed(func(s *Spec) { s.Name = "" })}, "must be lower case and not empty"},
		{"an upper-case name", []Spec{changed(func(s *Spec) { s.Name = "Globex" })}, "must be lower case"},
		{"no verifier", []Spec{changed(func(s *Spec) { s.Verify = nil })}, "unverified webhooks are not accepted"},
		{"no normalizer", []Spec{changed(func(s *Spec) { s.Normalize = nil })}, "has no normalizer"},
		{"a token that would be stored", []Spec{changed(func(s *Spec) { s.Sensitive = nil })}, "must list it as sensitive"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewRegistry(c.specs...)
			require.ErrorContains(t, err, c.says)
		})
	}
	require.Subset(t, Builtin().Names(), []string{"acme", "github", "globex", "stripe"})
	_, ok := Builtin().Spec("initech")
	require.False(t, ok)
}
