package provider

import "crypto/sha1" //nolint:gosec // Intercom's choice; HMAC-SHA1 is not broken

var _ = register(intercom)

// intercom signs the raw body.
//
// https://developers.intercom.com/docs/webhooks/setting-up-webhooks
func intercom() Spec {
	return Spec{
		Name:  "intercom",
		Title: "Intercom",
		Help:  "X-Hub-Signature is the HMAC-SHA1 of the body, keyed with the app's client secret. After 1,000 errors in 15 minutes Intercom pauses a subscription.",
		Guide: Guide{
			Docs: "https://developers.intercom.com/docs/webhooks/setting-up-webhooks",
			Steps: []string{
				"In the Developer Hub open the app, then Configure, then Webhooks.",
				"Endpoint URL: <URL>, which Intercom tries by a HEAD request. Choose the topics and save.",
				"Copy the client secret from Basic information into the integration.",
			},
			Paste: "the app's client secret",
		},
		Verify:        HMAC{Hash: sha1.New, Signed: Signed{Header: "X-Hub-Signature", Prefix: "sha1="}},
		Probes:        true,
		Deduplication: Deduplication{WindowSeconds: 3600}, // every ping looks alike
		Events: Mapping{
			ID:   field("id"), // a ping has none
			Type: field("topic"), Subject: field("data.item.id"), Time: at(Seconds, field("created_at")),
		},
		Samples: []Sample{{
			Type: "conversation.user.created",
			Body: `{"type":"notification_event","app_id":"a86dr8yl","data":{"type":"notification_event_data","item":{"type":"conversation","id":"1911149811"}},"topic":"conversation.user.created","id":"notif_$ID","delivery_attempts":1,"first_sent_at":$UNIX,"created_at":$UNIX}`,
		}},
	}
}
