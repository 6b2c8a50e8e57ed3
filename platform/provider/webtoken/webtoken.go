// Package webtoken reads and checks the JSON Web Tokens, and other signed texts of the same
// form (RFC 7515, compact), that prove webhooks. It fetches nothing: keys are given to it.
package webtoken

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// MaxBytes is the length of the longest token that is read.
const MaxBytes = 16 << 10

// The algorithms that a token may be signed with. Shared ones use the secret as the key; with
// them, whoever can verify a token can also make one. No set holds both kinds: a public key
// must never be taken for a secret.
var (
	Shared = []string{"HS256", "HS384", "HS512"}
	Public = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)

// Token is a token whose signature may not have been verified yet.
type Token struct {
	KeyID  string
	signed *jose.JSONWebSignature
	claims map[string]any
}

// errMalformed is the error of a text that is not a token: the details would tell nobody more.
var errMalformed = errors.New("it is not a JSON Web Token of an algorithm that is allowed")

// Read reads a token of one of the algorithms. It verifies nothing.
func Read(text string, algorithms []string) (Token, error) {
	if len(text) > MaxBytes || strings.ContainsAny(text, "\r\n") {
		return Token{}, errMalformed
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return Token{}, errMalformed
	}
	for _, part := range parts { // the library takes several texts for the same bytes
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return Token{}, errMalformed
		}
	}
	allowed := make([]jose.SignatureAlgorithm, len(algorithms))
	for i, name := range algorithms {
		allowed[i] = jose.SignatureAlgorithm(name)
	}
	signed, err := jose.ParseSignedCompact(text, allowed)
	if err != nil || len(signed.Signatures) != 1 {
		return Token{}, errMalformed
	}
	claims, err := claimsOf(signed.UnsafePayloadWithoutVerification())
	if err != nil {
		return Token{}, err
	}
	return Token{KeyID: signed.Signatures[0].Header.KeyID, signed: signed, claims: claims}, nil
}

// maxClaimsDepth is the greatest depth of claims.
const maxClaimsDepth = 16

func claimsOf(payload []byte) (map[string]any, error) {
	if deeper(payload, maxClaimsDepth) {
		return nil, errMalformed
	}
	var claims map[string]any
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	if err := decoder.Decode(&claims); err != nil || claims == nil || decoder.More() {
		return nil, errMalformed
	}
	return claims, nil
}

// deeper reports whether JSON nests deeper. Brackets in texts count too.
func deeper(text []byte, most int) bool {
	depth := 0
	for _, b := range text {
		switch b {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth > most {
			return true
		}
	}
	return false
}

// SignedBy reports whether one of the keys made the signature. A key with another id, or for
// another algorithm, is not tried.
func (t Token) SignedBy(keys []jose.JSONWebKey) bool {
	header := t.signed.Signatures[0].Header
	return slices.ContainsFunc(keys, func(key jose.JSONWebKey) bool {
		if header.KeyID != "" && key.KeyID != "" && key.KeyID != header.KeyID || key.Algorithm != "" && key.Algorithm != header.Algorithm {
			return false
		}
		_, err := t.signed.Verify(key)
		return err == nil
	})
}

// sharedKeyBytes is the length from which the library takes a key for any of the Shared
// algorithms.
const sharedKeyBytes = 64

// padded returns the key with zeros behind it, which makes no difference: HMAC itself fills a
// key up to the hash's block (RFC 2104), which is longer. The library insists on long keys,
// and some providers let people choose shorter ones.
func padded(key []byte) []byte {
	if len(key) >= sharedKeyBytes {
		return key
	}
	return append(bytes.Clone(key), make([]byte, sharedKeyBytes-len(key))...)
}

// SignedWith reports, in constant time, whether a shared key made the signature.
func (t Token) SignedWith(key []byte) bool {
	if len(key) == 0 {
		return false
	}
	_, err := t.signed.Verify(padded(key))
	return err == nil
}

// Sign makes a token of claims with a shared key.
func Sign(algorithm string, key []byte, claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: padded(key)}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
