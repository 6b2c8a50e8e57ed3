package delivery

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/secret"
)

// sign is the webhook-signature header of Standard Webhooks: for each secret
// "v1," and the base64 of HMAC-SHA256 over id.timestamp.body, separated by spaces.
func sign(secrets []secret.Value, id string, at time.Time, body []byte) string {
	signatures := make([]string, 0, len(secrets))
	for _, s := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Reveal(), destination.SecretPrefix))
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
