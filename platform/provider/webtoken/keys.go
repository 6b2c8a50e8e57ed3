package webtoken

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// MaxKeys is the most keys of a set that are used.
const MaxKeys = 64

// The sizes of RSA keys: shorter ones are weak, and longer ones expensive.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// errNoKey is the error of a text without a usable key.
var errNoKey = errors.New("it holds no public key that signs: RSA of at least 2048 bits, ECDSA on P-256, P-384 or P-521, or Ed25519")

// ReadSet reads a JSON Web Key Set (RFC 7517). It skips keys that are not public, not for
// signatures, weak, or of an unknown kind.
func ReadSet(text []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if deeper(text, maxClaimsDepth) {
		return nil, errNoKey
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("it is not a JSON Web Key Set")
	}
	var keys []jose.JSONWebKey
	for _, one := range set.Keys {
		if key, ok := readKey(one); ok && len(keys) < MaxKeys {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errNoKey
	}
	return keys, nil
}

func readKey(text []byte) (jose.JSONWebKey, bool) {
	var key jose.JSONWebKey
	if json.Unmarshal(text, &key) != nil || !key.IsPublic() || key.Use == "enc" {
		return key, false
	}
	return key, usable(key.Key)
}

func usable(key any) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSABits && key.N.BitLen() <= maxRSABits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// ReadKeys reads the public key, or keys, of an integration's secret: a JSON Web Key, a set of
// them, or PEM.
func ReadKeys(text string) ([]jose.JSONWebKey, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		if key, ok := readKey([]byte(text)); ok {
			return []jose.JSONWebKey{key}, nil
		}
		return ReadSet([]byte(text))
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("it must be a public key: a JSON Web Key, a set of them, or PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil || !usable(key) {
		return nil, errNoKey
	}
	return []jose.JSONWebKey{{Key: key}}, nil
}
