package provider

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"integration-gateway/platform/secret"
)

var _ = register(mailgun)

// mailgun puts a signature into the body: {"signature": {"timestamp", "token",
// "signature"}, "event-data": {…}}. It authenticates the token and not the rest, so each
// token is accepted with one body only.
//
// https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
func mailgun() Spec {
	return Spec{
		Name:  "mailgun",
		Title: "Mailgun",
		Help: "The body's signature.signature is the HMAC-SHA256 of the timestamp and token beside it, keyed with the HTTP webhook signing key. " +
			"Mailgun retries for 8 hours.",
		Guide: Guide{
			Docs: "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks",
			Steps: []string{
				"Open Sending, then Webhooks, choose the domain, then Add webhook with <URL> for each event.",
				"Copy the HTTP webhook signing key from Settings, API security, into the integration.",
			},
			Paste: "the HTTP webhook signing key",
		},
		Verify:    mailgunSignature{},
		Tolerance: 12 * time.Hour,
		Unsigned:  "The signature covers only the timestamp and the token beside it, not the event itself. A token is therefore accepted with one body only, for as long as the cache remembers it.",
		Events: Mapping{
			ID: field("event-data.id"), Type: field("event-data.event"),
			Subject: firstOf(field("event-data.recipient"), field("event-data.message.headers.message-id")),
			Time:    at(Seconds, field("event-data.timestamp")),
		},
		Samples: []Sample{{
			Type: "delivered",
			Body: `{"event-data":{"event":"delivered","id":"$ID","timestamp":$UNIX.083,"recipient":"alice@example.com","log-level":"info"}}`,
		}},
	}
}

// mailgunSignature is Mailgun's signature scheme.
type mailgunSignature struct{}

// Verify checks the body's signature with every secret.
func (mailgunSignature) Verify(req Request, secrets []Secret) (Match, error) {
	body, err := members(req.Body, "signature")
	if err != nil {
		return Match{}, refuse(MissingSignature, "the body, which should hold the signature, is not a JSON object")
	}
	signature, err := members(body["signature"], "timestamp", "token", "signature")
	if err != nil {
		return Match{}, refuse(MissingSignature, "no timestamp, token and signature at $.signature")
	}
	timestamp, nonce := signature.identifier("timestamp").text, signature.identifier("token").text
	sent := signature.identifier("signature").text
	if timestamp == "" || nonce == "" || sent == "" {
		return Match{}, refuse(MissingSignature, "no timestamp, token and signature at $.signature")
	}
	sum, err := hex.DecodeString(sent)
	at, ok := Seconds.parse(timestamp)
	if err != nil || len(sum) != sha256.Size || !ok || len(timestamp) != mailgunDigits {
		return Match{}, refuse(MalformedSignature, "$.signature holds no well-formed signature")
	}
	match, err := matchAny(secrets, func(key secret.Value) bool { return hmac.Equal(mailgunSum(key, timestamp+nonce), sum) })
	match.SignedAt, match.SingleUse = at, timestamp+nonce
	return match, err
}

// SignRequest inserts a signature before the body's other members.
func (mailgunSignature) SignRequest(req *Request, key secret.Value) error {
	if len(req.Body) == 0 || req.Body[0] != '{' {
		return fmt.Errorf("a webhook of Mailgun is a JSON object")
	}
	timestamp := strconv.FormatInt(req.ReceivedAt.Unix(), 10)
	digest := sha256.Sum256(append([]byte(timestamp), req.Body...))
	nonce := hex.EncodeToString(digest[:])[:50]
	signature := fmt.Sprintf(`{"signature":{"timestamp":"%s","token":"%s","signature":"%x"},`, timestamp, nonce, mailgunSum(key, timestamp+nonce))
	req.Body = append([]byte(signature), req.Body[1:]...)
	return nil
}

// mailgunDigits is the length of a time in seconds until the year 2286. The time and the
// token are signed as one text, so that digits could be moved from one to the other.
const mailgunDigits = 10

func mailgunSum(key secret.Value, message string) []byte {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte(message))
	return mac.Sum(nil)
}
