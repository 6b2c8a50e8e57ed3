package webtoken

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

var at = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// made is a token of claims with a key, of an algorithm.
func made(t *testing.T, algorithm string, key any, claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: key}, nil)
	require.NoError(t, err)
	payload, err := json.Marshal(claims)
	require.NoError(t, err)
	signed, err := signer.Sign(payload)
	require.NoError(t, err)
	text, err := signed.CompactSerialize()
	require.NoError(t, err)
	return text
}

func TestSharedKeysOfAnyLength(t *testing.T) {
	for _, algorithm := range Shared {
		for _, key := range []string{"k", strings.Repeat("k", 31), strings.Repeat("k", 64), strings.Repeat("k", 200)} {
			text, err := Sign(algorithm, []byte(key), map[string]any{"a": 1})
			require.NoError(t, err)
			token, err := Read(text, []string{algorithm})
			require.NoError(t, err)
			require.True(t, token.SignedWith([]byte(key)))
			require.False(t, token.SignedWith([]byte(key+"x")))
			require.False(t, token.SignedWith(nil))
		}
	}
	// RFC 7515, appendix A.1, by another program.
	const example = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	key, err := base64.RawURLEncoding.DecodeString("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	require.NoError(t, err)
	token, err := Read(example, Shared)
	require.NoError(t, err)
	require.True(t, token.SignedWith(key))
}

func TestWhatIsNoToken(t *testing.T) {
	good, err := Sign("HS256", []byte("key"), map[string]any{"a": "b"})
	require.NoError(t, err)
	parts := strings.Split(good, ".")
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for name, text := range map[string]string{
		"nothing": "", "a word": "x", "two parts": parts[0] + "." + parts[1], "four parts": good + ".a", "white space": parts[0] + ".\n" + parts[1] + "." + parts[2],
		"no algorithm":          encode(`{"alg":"none"}`) + "." + parts[1] + ".",
		"another algorithm":     encode(`{"alg":"HS512"}`) + "." + parts[1] + "." + parts[2],
		"an unknown extension":  encode(`{"alg":"HS256","crit":["x"],"x":1}`) + "." + parts[1] + "." + parts[2],
		"claims that are none":  parts[0] + "." + encode(`[1]`) + "." + parts[2],
		"claims behind claims":  parts[0] + "." + encode(`{}{}`) + "." + parts[2],
		"claims that nest deep": parts[0] + "." + encode(strings.Repeat(`{"a":`, 40)+"1"+strings.Repeat("}", 40)) + "." + parts[2],
		"too long":              parts[0] + "." + encode(`{"a":"`+strings.Repeat("x", MaxBytes)+`"}`) + "." + parts[2],
		"padding":               parts[0] + "." + parts[1] + "." + parts[2] + "=",
		"bits that say nothing": parts[0] + "." + parts[1] + "." + parts[2][:42] + string(parts[2][42]+1),
	} {
		token, err := Read(text, []string{"HS256"})
		require.True(t, err != nil || !token.SignedWith([]byte("key")), name)
	}
}

func TestPublicKeys(t *testing.T) {
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	set := func(keys ...jose.JSONWebKey) string {
		text, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
		require.NoError(t, err)
		return string(text)
	}
	one := jose.JSONWebKey{Key: &long.PublicKey, KeyID: "1", Algorithm: "RS256", Use: "sig"}
	two := jose.JSONWebKey{Key: &curve.PublicKey, KeyID: "2"}
	keys, err := ReadSet([]byte(set(one, two)))
	require.NoError(t, err)
	require.Len(t, keys, 2)
	for _, c := range []struct {
		name, algorithm, id string
		key                 any
		good                bool
	}{
		{"the first key", "RS256", "1", long, true},
		{"the second", "ES256", "2", curve, true},
		{"a token without an id", "ES256", "", curve, true},
		{"under the other key's id", "RS256", "2", long, false},
		{"under an unknown id", "RS256", "3", long, false},
		{"with an algorithm that is not the key's", "PS256", "1", long, false},
	} {
		token, err := Read(made(t, c.algorithm, jose.JSONWebKey{Key: c.key, KeyID: c.id}, map[string]any{"a": 1}), Public)
		require.NoError(t, err)
		require.Equal(t, c.good, token.SignedBy(keys), c.name)
		require.False(t, token.SignedBy(nil), "no keys")
	}
	der, err := x509.MarshalPKIXPublicKey(&long.PublicKey)
	require.NoError(t, err)
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	// A forger who signs with the public key as if it were a shared one.
	forged, err := Sign("HS256", asPEM, map[string]any{"a": 1})
	require.NoError(t, err)
	_, err = Read(forged, Public)
	require.Error(t, err)

	text, err := json.Marshal(two)
	require.NoError(t, err)
	for _, secret := range []string{string(asPEM), string(text), set(one)} {
		_, err := ReadKeys(secret)
		require.NoError(t, err, secret)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // which must be refused
	require.NoError(t, err)
	for _, secret := range []string{"", "a password", "{}", set(), set(jose.JSONWebKey{Key: &short.PublicKey}), set(jose.JSONWebKey{Key: &long.PublicKey, Use: "enc"}),
		set(jose.JSONWebKey{Key: long}), set(jose.JSONWebKey{Key: []byte("shared")}), strings.Repeat(`{"keys":[`, 99)} {
		_, err := ReadKeys(secret)
		require.Error(t, err, secret)
	}
}

func TestClaims(t *testing.T) {
	body := []byte(`{"a":1}`)
	sum := sha256.Sum256(body)
	unix := func(off time.Duration) int64 { return at.Add(off).Unix() }
	all := Rules{Issuers: []string{"i1", "i2"}, Audiences: []string{"a1"}, Claims: []Claim{{"email_verified", "true"}, {"n", "7"}}, BodyHash: "sum"}
	fine := map[string]any{"iss": "i2", "aud": []string{"a0", "a1"}, "email_verified": true, "n": 7, "sum": hex.EncodeToString(sum[:])}
	for _, c := range []struct {
		name, claim string
		value       any // nil to leave it out
		rules       Rules
		says        string // "" if it is fine
	}{
		{"all is well", "x", 1, all, ""},
		{"another issuer", "iss", "i3", all, `the issuer is "i3"`},
		{"no issuer", "iss", nil, all, "the issuer is missing"},
		{"an issuer that is a list", "iss", []string{"i1"}, all, "the issuer is missing"},
		{"another audience", "aud", "a0", all, "the audience is none of a1"},
		{"no audience", "aud", nil, all, "the audience"},
		{"one audience", "aud", "a1", all, ""},
		{"a claim with another value", "email_verified", false, all, `email_verified is "false" and must be "true"`},
		{"a claim that is missing", "n", nil, all, "the claim n is missing"},
		{"a body's hash in capitals", "sum", strings.ToUpper(hex.EncodeToString(sum[:])), all, ""},
		{"another body's", "sum", strings.Repeat("0", 64), all, "not the SHA-256 of the body"},
		{"no hash", "sum", nil, all, "not the SHA-256 of the body"},
		{"an end in the future", "exp", unix(1), Rules{Ends: true}, ""},
		{"just ended, within the leeway", "exp", unix(-Leeway + time.Second), Rules{Ends: true}, ""},
		{"ended", "exp", unix(-Leeway), Rules{}, "it ended at 2026-01-05T08:59:00Z"},
		{"no end", "exp", nil, Rules{}, ""},
		{"no end where one is needed", "exp", nil, Rules{Ends: true}, "no claim exp"},
		{"an end that is no time", "exp", "soon", Rules{}, "exp is not a time"},
		{"an end beyond the calendar", "exp", 1e300, Rules{}, "exp is not a time"},
		{"a beginning that has passed", "nbf", unix(Leeway), Rules{}, ""},
		{"a beginning in the future", "nbf", unix(Leeway + time.Second), Rules{}, "not valid before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			claims := map[string]any{}
			for name, value := range fine {
				claims[name] = value
			}
			if claims[c.claim] = c.value; c.value == nil {
				delete(claims, c.claim)
			}
			text, err := Sign("HS256", []byte("key"), claims)
			require.NoError(t, err)
			token, err := Read(text, Shared)
			require.NoError(t, err)
			err = c.rules.Check(token, body, at)
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
		})
	}
}

func FuzzRead(f *testing.F) {
	good, err := Sign("HS256", []byte("key"), map[string]any{"exp": 1, "aud": []any{"a", 1}})
	require.NoError(f, err)
	f.Add(good)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := Read(text, Shared)
		if err != nil {
			return
		}
		_ = Rules{Issuers: []string{"i"}, BodyHash: "h"}.Check(token, nil, at)
		if token.SignedWith([]byte("key")) {
			require.Equal(t, good, text, "only the token that was signed")
		}
	})
}
