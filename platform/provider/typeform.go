package provider

import "crypto/sha256"

var _ = register(typeform)

// typeform signs the raw body, in base64, where others with this prefix use hex.
//
// https://www.typeform.com/developers/webhooks/secure-your-webhooks/
func typeform() Spec {
	return Spec{
		Name:  "typeform",
		Title: "Typeform",
		Help:  "Typeform-Signature is the HMAC-SHA256 of the body in base64, keyed with the webhook's secret.",
		Guide: Guide{
			Docs: "https://www.typeform.com/developers/webhooks/secure-your-webhooks/",
			Steps: []string{
				"Open the form, then Connect, then Webhooks, then Add a webhook with <URL>.",
				"Edit the webhook, enter a long random Secret of your own, the same as the integration's, and turn the webhook on.",
			},
			Paste: "the webhook's Secret, which you make up",
		},
		Verify: HMAC{Hash: sha256.New, Signed: Signed{Header: "Typeform-Signature", Prefix: "sha256=", Encoding: Base64}},
		Events: Mapping{
			ID: field("event_id"), Type: field("event_type"),
			Subject: field("form_response.form_id"), Time: at(RFC3339, field("form_response.submitted_at")),
		},
		Samples: []Sample{{
			Type: "form_response",
			Body: `{"event_id":"$ID","event_type":"form_response","form_response":{"form_id":"lT4Z3j","token":"a3a12ec67a1365927098a606107fac15","submitted_at":"$NOW","landed_at":"$NOW","answers":[{"type":"text","text":"It's cold right now!","field":{"id":"DlXFaesGBpoF","type":"long_text"}}]}}`,
		}},
	}
}
