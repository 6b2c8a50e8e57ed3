package app

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"integration-gateway/modules/audit"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// sealed starts every text that a sealer encrypted, with the version of how.
const sealed = "sealed:v1:"

// errSealed answers a secret that this process has not the key for.
var errSealed = errors.New("a secret in the database was encrypted with another SECRETS_KEY, or this process has none")

// sealer encrypts secrets for the database, with AES-256-GCM under a key that is
// derived from SECRETS_KEY (RFC 5869). Without one it stores them as they are, and
// what was stored so can still be read when there is one.
type sealer struct {
	aead cipher.AEAD
	hash []byte // the key of digests
}

func newSealer(key secret.Value) (sealer, error) {
	hash, err := hkdf.Key(sha256.New, []byte(key.Reveal()), nil, "integration-gateway digests v1", 32)
	if err != nil {
		return sealer{}, fmt.Errorf("derive the key for digests: %w", err)
	}
	if key.Empty() {
		return sealer{hash: hash}, nil
	}
	derived, err := hkdf.Key(sha256.New, []byte(key.Reveal()), nil, "integration-gateway secrets v1", 32)
	if err != nil {
		return sealer{}, fmt.Errorf("derive the key for secrets: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return sealer{}, fmt.Errorf("the key for secrets: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("the key for secrets: %w", err)
	}
	return sealer{aead, hash}, nil
}

// Seal encrypts value.
func (s sealer) Seal(value secret.Value) (string, error) {
	if s.aead == nil {
		if strings.HasPrefix(value.Reveal(), sealed) {
			return "", fault.Invalid.New("bad_secret", "A secret cannot start with %q.", sealed)
		}
		return value.Reveal(), nil
	}
	return sealed + base64.RawStdEncoding.EncodeToString(s.aead.Seal(nil, nil, []byte(value.Reveal()), nil)), nil
}

// Open decrypts what Seal gave.
func (s sealer) Open(stored string) (secret.Value, error) {
	text, encrypted := strings.CutPrefix(stored, sealed)
	if !encrypted {
		return secret.New(stored), nil
	}
	if s.aead == nil {
		return secret.Value{}, errSealed
	}
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return secret.Value{}, fmt.Errorf("a sealed secret: %w", err)
	}
	plain, err := s.aead.Open(nil, nil, raw, nil)
	if err != nil {
		return secret.Value{}, errSealed
	}
	return secret.New(string(plain)), nil
}

// Digest is a keyed hash: whoever has the database and not SECRETS_KEY cannot try texts
// against it.
func (s sealer) Digest(text string) string {
	mac := hmac.New(sha256.New, s.hash)
	_, _ = mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// sealKeys are the keys of the audit trail's seals: one that is derived from SECRETS_KEY,
// and known by the first bytes of its own digest; none without it.
func sealKeys(key secret.Value) ([]audit.SealKey, error) {
	if key.Empty() {
		return nil, nil
	}
	derived, err := hkdf.Key(sha256.New, []byte(key.Reveal()), nil, "integration-gateway audit v1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key for the audit trail: %w", err)
	}
	digest := sha256.Sum256(derived)
	return []audit.SealKey{{ID: hex.EncodeToString(digest[:4]), Key: derived}}, nil
}

// newKey makes a key for a sealer.
func newKey() string { return rand.Text() + rand.Text() }
