package provider

import "time"

var _ = register(standardWebhooks)

// standardWebhooks covers every sender that follows standardwebhooks.com, with its header
// names or those of Svix: Clerk, Resend, OpenAI and many others.
//
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func standardWebhooks() Spec {
	scheme := Standard{Prefixes: []string{"webhook-", "svix-"}}
	return Spec{
		Name:  "standard-webhooks",
		Title: "Standard Webhooks (Svix, Clerk, Resend, OpenAI …)",
		Help: "webhook-signature, or svix-signature, holds signatures of the id, the time and the body: " +
			"v1 with a shared secret (whsec_…), v1a with a private key whose public key (whpk_…) is the integration's secret.",
		Guide: Guide{
			Docs: "https://www.standardwebhooks.com",
			Steps: []string{
				"Where the service manages webhooks, add an endpoint with <URL>.",
				"Copy the endpoint's signing secret (whsec_…), or the service's public key (whpk_…), into the integration.",
			},
			Paste: "the endpoint's signing secret (whsec_…), or the service's public key (whpk_…)",
		},
		Verify:      scheme,
		Tolerance:   5 * time.Minute,
		CheckSecret: scheme.CheckSecret,
		Events: Mapping{
			ID:      signedID("the id that is signed, in the header Webhook-Id or Svix-Id"),
			Type:    firstOf(field("type"), field("event_type"), field("eventType"), field("event"), constant("webhook")),
			Subject: firstOf(field("data.id"), field("data.email_id")), // Resend's
			Time:    at(AnyTime, firstOf(field("timestamp"), field("created_at"), field("createdAt"), field("data.created_at"))),
		},
		Samples: []Sample{{
			Type:   "contact.created",
			Header: map[string]string{"Webhook-Id": "msg_$ID"},
			Body:   `{"type":"contact.created","timestamp":"$NOW","data":{"id":"1f81eb52-5198-4599-803e-771906343485","type":"contact","first_name":"John","last_name":"Doe"}}`,
		}},
	}
}
