package destination

import (
	"crypto/rand"
	"encoding/base64"

	"integration-gateway/platform/standardwebhooks"
)

// newSigningSecret makes a secret of 32 random bytes: whsec_ and their base64.
func newSigningSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return standardwebhooks.SecretPrefix + base64.StdEncoding.EncodeToString(key)
}
