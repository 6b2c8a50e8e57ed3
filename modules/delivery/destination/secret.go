package destination

import (
	"crypto/rand"
	"encoding/base64"
)

// SecretPrefix starts a signing secret.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
const SecretPrefix = "whsec_"

// newSigningSecret makes a secret of 32 random bytes: whsec_ and their base64.
func newSigningSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return SecretPrefix + base64.StdEncoding.EncodeToString(key)
}
