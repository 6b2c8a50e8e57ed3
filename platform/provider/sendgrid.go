package provider

import "time"

var _ = register(sendgrid)

// sendgrid signs the time and the raw body with a private key. A body is an array of
// events.
//
// https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
func sendgrid() Spec {
	scheme := PublicKey{Scheme: ECDSA{}, Signed: Signed{
		Header: "X-Twilio-Email-Event-Webhook-Signature", Encoding: Base64, Over: over("{timestamp}{body}"),
		Time: Timestamp{Header: "X-Twilio-Email-Event-Webhook-Timestamp"},
	}}
	return Spec{
		Name:  "sendgrid",
		Title: "Twilio SendGrid",
		Help: "X-Twilio-Email-Event-Webhook-Signature is an ECDSA signature of the time and the body; the integration holds the public key. " +
			"One request holds many events. SendGrid retries for 24 hours.",
		Guide: Guide{
			Docs: "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features",
			Steps: []string{
				"Open Settings, then Mail Settings, then Event Webhooks, then Create new webhook with <URL> as the Post URL.",
				"Under Security features turn on Signature Verification and save; the page then shows the Verification Key.",
				"Copy the Verification Key into the integration.",
			},
			Paste: "the webhook's Verification Key, a public key in base64",
		},
		Verify:      scheme,
		Tolerance:   25 * time.Hour,
		Public:      true,
		CheckSecret: scheme.CheckSecret,
		Events: Mapping{
			ID:   field("sg_event_id"),
			Type: field("event"), Subject: firstOf(field("email"), field("sg_message_id")), Time: at(Seconds, field("timestamp")),
			Items: true,
		},
		Samples: []Sample{{
			Type: "delivered",
			Body: `[{"email":"example@test.com","timestamp":$UNIX,"event":"processed","category":["cat facts"],"sg_event_id":"processed_$ID","sg_message_id":"14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0"},` +
				`{"email":"example@test.com","timestamp":$UNIX,"event":"delivered","sg_event_id":"delivered_$ID","sg_message_id":"14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0","response":"250 OK"}]`,
		}},
	}
}
