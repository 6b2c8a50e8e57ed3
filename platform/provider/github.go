package provider

import "crypto/sha256"

var _ = register(github)

// github signs the raw body, which is JSON or a form with the JSON in it. It never retries a
// webhook.
//
// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
func github() Spec {
	return Spec{
		Name:  "github",
		Title: "GitHub",
		Help:  "GitHub signs each body with the webhook's secret: X-Hub-Signature-256 is its HMAC-SHA256. GitHub does not retry a refused webhook.",
		Guide: Guide{
			Docs: "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
			Steps: []string{
				"Open the repository's or organization's Settings, then Webhooks, then Add webhook.",
				"Payload URL: <URL>. Content type: application/json. Secret: a long random text of your own, the same as the integration's.",
				"Choose the events and save; GitHub sends a ping at once, which becomes an event of the type ping.",
			},
			Paste: "the webhook's Secret, which you make up",
		},
		Verify:       HMAC{Hash: sha256.New, Signed: Signed{Header: "X-Hub-Signature-256", Prefix: "sha256="}},
		ContentTypes: []string{formType},
		MaxBodyBytes: 26 << 20, // it sends up to 25 MB, and never again
		Events: Mapping{
			ID:   header("X-GitHub-Delivery"),
			Type: joined(".", header("X-GitHub-Event"), field("action")),
			Subject: firstOf(field("repository.full_name"), field("organization.login"), field("marketplace_purchase.account.login"),
				field("installation.account.login"), field("enterprise.slug"), field("sender.login")),
		},
		Samples: []Sample{
			{
				Type:   "pull_request.opened",
				Header: map[string]string{"X-GitHub-Event": "pull_request", "X-GitHub-Delivery": "$ID", "User-Agent": "GitHub-Hookshot/sample"},
				Body:   `{"action":"opened","number":1,"pull_request":{"id":1,"title":"Add a file","state":"open"},"repository":{"id":186853002,"full_name":"Codertocat/Hello-World"},"sender":{"login":"Codertocat"}}`,
			},
			{
				Type:   "push",
				Header: map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": "$ID", "User-Agent": "GitHub-Hookshot/sample"},
				Body:   `{"ref":"refs/heads/main","repository":{"id":186853002,"full_name":"Codertocat/Hello-World"},"commits":[],"pusher":{"name":"Codertocat"}}`,
			},
			{
				Type:   "ping",
				Header: map[string]string{"X-GitHub-Event": "ping", "X-GitHub-Delivery": "$ID", "User-Agent": "GitHub-Hookshot/sample"},
				Body:   `{"zen":"Keep it logically awesome.","hook_id":1,"repository":{"full_name":"Codertocat/Hello-World"}}`,
			},
		},
	}
}
