// Package standardwebhooks signs what the gateway sends, by the specification of Standard
// Webhooks. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
package standardwebhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/secret"
)

// SecretPrefix begins a signing secret; the rest is the key in base64.
const SecretPrefix = "whsec_"

// Sign returns the header webhook-signature: for each secret "v1," and the base64 of
// HMAC-SHA256 over id.timestamp.body, separated by spaces.
func Sign(secrets []secret.Value, id string, at time.Time, body []byte) string {
	signatures := make([]string, 0, len(secrets))
	for _, s := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Reveal(), SecretPrefix))
		if err != nil {
			key = []byte(s.Reveal())
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(signatures, " ")
}
