package test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unsealed opens a secret of the database as it is documented: AES-256-GCM, its nonce
// before it, under a key that HKDF (RFC 5869) derives from SECRETS_KEY. Databases
// outlive programs, so this is held here independently of the program's own code.
func unsealed(t *testing.T, secretsKey, stored string) string {
	text, encrypted := strings.CutPrefix(stored, "sealed:v1:")
	if !encrypted {
		return stored
	}
	key, err := hkdf.Key(sha256.New, []byte(secretsKey), nil, "integration-gateway secrets v1", 32)
	require.NoError(t, err)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(t, err)
	raw, err := base64.RawStdEncoding.DecodeString(text)
	require.NoError(t, err)
	plain, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], nil)
	require.NoError(t, err)
	return string(plain)
}
