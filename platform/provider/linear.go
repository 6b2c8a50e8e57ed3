package provider

import (
	"crypto/sha256"
	"time"
)

var _ = register(linear)

// linear signs the raw body, which holds the time of sending.
//
// https://linear.app/developers/webhooks
func linear() Spec {
	return Spec{
		Name:  "linear",
		Title: "Linear",
		Help:  "Linear-Signature is the HMAC-SHA256 of the body, and the body's webhookTimestamp says when it was sent. Linear waits 5 seconds and retries three times.",
		Guide: Guide{
			Docs: "https://linear.app/developers/webhooks",
			Steps: []string{
				"Open Settings, then API, then New webhook.",
				"URL: <URL>. Choose what to be told of and save.",
				"Copy the signing secret (lin_wh_…) into the integration.",
			},
			Paste: "the webhook's signing secret (lin_wh_…)",
		},
		Verify: HMAC{Hash: sha256.New, Signed: Signed{
			Header: "Linear-Signature", Time: Timestamp{Field: "webhookTimestamp", Unit: Milliseconds},
		}},
		Tolerance: 60 * time.Second,
		Events: Mapping{
			ID:   header("Linear-Delivery"),
			Type: joined(".", firstOf(field("type"), header("Linear-Event")), field("action")),
			Subject: firstOf(field("data.identifier"), field("data.id"), field("notification.issue.identifier"), field("notification.issueId"),
				field("notification.id"), field("agentSession.issue.identifier"), field("agentSession.issueId"), field("agentSession.id")),
			Time: at(AnyTime, firstOf(field("createdAt"), field("webhookTimestamp"))),
		},
		Samples: []Sample{{
			Type:   "Issue.update",
			Header: map[string]string{"Linear-Delivery": "$ID", "Linear-Event": "Issue"},
			Body:   `{"action":"update","type":"Issue","createdAt":"$NOW","data":{"id":"2174add1-f7c8-44e3-bbf3-2d60b5ea8bc9","identifier":"LIN-1778","title":"Foo bar"},"url":"https://linear.app/issue/LIN-1778/foo-bar","webhookTimestamp":$MILLIS,"webhookId":"000042e3-d123-4980-b49f-8e140eef9329"}`,
		}},
	}
}
