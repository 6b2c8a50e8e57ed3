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

// unsealed decrypts a secret of the database as documented: the key's id is derived from
// SECRETS_KEY with HKDF (RFC 5869). The text is encrypted with AES-256-GCM, with its nonce
// first, under a key that is derived in the same way, and with its place in the database as
// additional data: "table.column/row". Databases outlive programs, so this test does not
// use the program's code.
func unsealed(t *testing.T, secretsKey, place, stored string) string {
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
	plain, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], []byte(place))
	require.NoError(t, err)
	return string(plain)
}
