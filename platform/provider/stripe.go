package provider

import (
	"crypto/sha256"
	"time"
)

var _ = register(stripe)

// stripe signs the time and the raw body. Its header has one signature for each of the
// endpoint's secrets.
//
// https://docs.stripe.com/webhooks#verify-manually
func stripe() Spec {
	return Spec{
		Name:  "stripe",
		Title: "Stripe",
		Help:  "Stripe-Signature holds the time (t) and the HMAC-SHA256 of the time and the body (v1), keyed with the whole whsec_… text.",
		Guide: Guide{
			Docs: "https://docs.stripe.com/webhooks",
			Steps: []string{
				"Open the Stripe Dashboard, then Developers (Workbench), then Webhooks, then Add destination.",
				"Choose the events, then Webhook endpoint, and enter <URL> as the endpoint URL.",
				"Copy the signing secret (whsec_…) into the integration.",
			},
			Paste: "the endpoint's signing secret (whsec_…), all of it",
		},
		Verify: HMAC{Hash: sha256.New, Signed: Signed{
			Header: "Stripe-Signature", Separator: ",", Prefix: "v1=", Over: over("{timestamp}.{body}"), Time: Timestamp{Item: "t="},
		}},
		Tolerance: 300 * time.Second,
		Events: Mapping{
			ID:      field("id"),
			Type:    field("type"),
			Subject: firstOf(field("data.object.id"), field("related_object.id")),
			Time: func(in input) (time.Time, bool) {
				if t, ok := at(RFC3339, field("created"))(in); ok { // thin events
					return t, ok
				}
				return at(Seconds, field("created"))(in)
			},
		},
		Samples: []Sample{
			{
				Type: "payment_intent.succeeded",
				Body: `{"id":"evt_$ID","object":"event","api_version":"2025-03-31.basil","created":$UNIX,"type":"payment_intent.succeeded","livemode":false,"data":{"object":{"id":"pi_$ID","object":"payment_intent","amount":2000,"currency":"usd","status":"succeeded"}}}`,
			},
			{
				Type: "customer.created",
				Body: `{"id":"evt_$ID","object":"event","api_version":"2025-03-31.basil","created":$UNIX,"type":"customer.created","livemode":false,"data":{"object":{"id":"cus_$ID","object":"customer","email":"jenny@example.com"}}}`,
			},
		},
	}
}
