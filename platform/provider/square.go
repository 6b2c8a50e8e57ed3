package provider

import "crypto/sha256"

var _ = register(square)

// square signs the notification URL and the raw body.
//
// https://developer.squareup.com/docs/webhooks/step3validate
func square() Spec {
	return Spec{
		Name:  "square",
		Title: "Square",
		Help:  "x-square-hmacsha256-signature is the HMAC-SHA256 of the notification URL and the body, keyed with the subscription's signature key.",
		Guide: Guide{
			Docs: "https://developer.squareup.com/docs/webhooks/step3validate",
			Steps: []string{
				"In the Developer Console open the application, then Webhooks, then Subscriptions, then Add subscription.",
				"Notification URL: <URL>, exactly as the integration's publicUrl has it. Choose the events and save.",
				"Copy the subscription's Signature key into the integration.",
			},
			Paste: "the subscription's Signature key",
		},
		Verify: HMAC{Hash: sha256.New, Signed: Signed{
			Header: "X-Square-Hmacsha256-Signature", Encoding: Base64, Over: over("{url}{body}"),
		}},
		SignsURL: true,
		Events: Mapping{
			ID: field("event_id"), Type: field("type"), Subject: field("data.id"), Time: at(RFC3339, field("created_at")),
		},
		Samples: []Sample{{
			Type: "payment.updated",
			Body: `{"merchant_id":"6SSW7HV8K2ST5","type":"payment.updated","event_id":"$ID","created_at":"$NOW","data":{"type":"payment","id":"KkAkhdMsgzn59SM8A89WgKwekxLZY","object":{"payment":{"id":"KkAkhdMsgzn59SM8A89WgKwekxLZY","status":"COMPLETED","amount_money":{"amount":100,"currency":"USD"}}}}}`,
		}},
	}
}
