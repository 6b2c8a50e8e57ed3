package provider

import (
	"crypto/sha256"
	"strings"
	"time"
)

var _ = register(zendesk)

// zendesk signs the time and the raw body, in this order; an older page of its documentation
// has them the other way round. The operator writes the body that a trigger sends; it may
// have neither an id nor a type.
//
// https://developer.zendesk.com/documentation/webhooks/verifying/
func zendesk() Spec {
	return Spec{
		Name:  "zendesk",
		Title: "Zendesk",
		Help:  "X-Zendesk-Webhook-Signature is the HMAC-SHA256 of the time and the body, keyed with the webhook's signing secret.",
		Guide: Guide{
			Docs: "https://developer.zendesk.com/documentation/webhooks/verifying/",
			Steps: []string{
				"In the Admin Center open Apps and integrations, then Webhooks, then Create webhook.",
				"Choose the Zendesk events, or a trigger or automation. Endpoint URL: <URL>. Request method: POST. Request format: JSON.",
				"On the webhook's page choose Reveal secret and copy it into the integration.",
			},
			Paste: "the webhook's signing secret, as it is shown",
		},
		Verify: HMAC{Hash: sha256.New, Signed: Signed{
			Header: "X-Zendesk-Webhook-Signature", Encoding: Base64, Over: over("{timestamp}{body}"),
			Time: Timestamp{Header: "X-Zendesk-Webhook-Signature-Timestamp", Unit: RFC3339},
		}},
		Tolerance: 300 * time.Second,
		Events: Mapping{
			ID:      firstOf(zendeskEvent, header("X-Zendesk-Webhook-Invocation-Id")),
			Type:    firstOf(field("type"), constant("webhook")),
			Subject: firstOf(field("subject"), field("detail.id")),
			Time:    at(RFC3339, field("time")),
		},
		Samples: []Sample{{
			Type: "zen:event-type:user.created",
			Body: `{"account_id":22129848,"detail":{"id":"6596848315901","email":"jane@example.com","role":"end-user"},"event":{},"id":"$ID","subject":"zen:user:6596848315901","time":"$NOW","type":"zen:event-type:user.created","zendesk_event_version":"2022-06-20"}`,
		}},
	}
}

// zendeskEvent finds the id of one of Zendesk's own events. In a trigger's body, id may be
// the ticket's, which is the same for all of its events.
var zendeskEvent = finder{where: "$.id", find: func(in input) token {
	if !strings.HasPrefix(field("type").find(in).text, "zen:event-type:") {
		return token{}
	}
	return field("id").find(in)
}}
