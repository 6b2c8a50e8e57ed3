package test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unsealed opens a secret of the database as it is documented: the key's id, which HKDF
// (RFC 5869) derives from SECRETS_KEY, and AES-256-GCM, its nonce before it, under a key
// that is derived so too. Databases
// outlive programs, so this is held here independently of the program's own code.
func unsealed(t *testing.T, secretsKey, stored string) string {
	text, encrypted := strings.CutPrefix(stored, "sealed:v1:")
	if !encrypted {
		return stored
	}
	keyID, text, found := strings.Cut(text, ":")
	require.True(t, found)
	id, err := hkdf.Key(sha256.New, []byte(secretsKey), nil, "integration-gateway key id v1", 4)
	require.NoError(t, err)
	require.Equal(t, hex.EncodeToString(id), keyID)
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
