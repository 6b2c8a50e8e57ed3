package provider

import (
	"crypto/sha256"
	"time"
)

var _ = register(paddle)

// paddle signs the time and the raw body. Its libraries use a tolerance of 5 seconds. Here
// the event's id detects replays, so clocks may differ by more.
//
// https://developer.paddle.com/webhooks/about/signature-verification
func paddle() Spec {
	return Spec{
		Name:  "paddle",
		Title: "Paddle",
		Help:  "Paddle-Signature holds the time (ts) and the HMAC-SHA256 of the time and the body (h1), keyed with the whole pdl_ntfset_… text.",
		Guide: Guide{
			Docs: "https://developer.paddle.com/webhooks/about/signature-verification",
			Steps: []string{
				"Open Paddle, then Developer tools, then Notifications, then New destination.",
				"Notification type: Webhook. URL: <URL>. Choose the events and save.",
				"Edit the destination and copy its secret key (pdl_ntfset_…) into the integration.",
			},
			Paste: "the destination's secret key (pdl_ntfset_…), all of it",
		},
		Verify: HMAC{Hash: sha256.New, Signed: Signed{
			Header: "Paddle-Signature", Separator: ";", Prefix: "h1=", Over: over("{timestamp}:{body}"), Time: Timestamp{Item: "ts="},
		}},
		Tolerance: 300 * time.Second,
		Events: Mapping{
			ID: field("event_id"), Type: field("event_type"), Subject: field("data.id"), Time: at(RFC3339, field("occurred_at")),
		},
		Samples: []Sample{{
			Type: "transaction.completed",
			Body: `{"event_id":"evt_$ID","event_type":"transaction.completed","occurred_at":"$NOW","notification_id":"ntf_$ID","data":{"id":"txn_01hv8wptq8987qeep44cyrewp9","status":"completed","currency_code":"USD"}}`,
		}},
	}
}
