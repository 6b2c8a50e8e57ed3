package provider

import (
	"strings"
	"time"

	"integration-gateway/platform/secret"
)

var _ = register(gitlab)

// gitlab signs like Standard Webhooks if the webhook has a signing token, and otherwise sends
// its secret token verbatim.
//
// https://docs.gitlab.com/user/project/integrations/webhooks/
func gitlab() Spec {
	return Spec{
		Name:  "gitlab",
		Title: "GitLab",
		Help: "GitLab signs with the webhook's signing token (whsec_…) like Standard Webhooks. " +
			"If the webhook has a secret token instead, GitLab sends it verbatim in X-Gitlab-Token.",
		Guide: Guide{
			Docs: "https://docs.gitlab.com/user/project/integrations/webhooks/",
			Steps: []string{
				"Open the project's or group's Settings, then Webhooks, then Add new webhook.",
				"URL: <URL>. Copy the signing token (whsec_…) into the integration; an older GitLab has only the secret token, which you make up.",
				"Choose the events and save, then press Test.",
			},
			Paste: "the webhook's signing token (whsec_…), or its secret token",
		},
		Verify:    AnyOf{Standard{Prefixes: []string{"webhook-"}}, SharedToken{Header: "X-Gitlab-Token"}},
		Tolerance: 5 * time.Minute,
		Unsigned:  "A secret token, unlike a signing token, does not authenticate the body.",
		Sensitive: []string{"X-Gitlab-Token"},
		CheckSecret: func(v secret.Value) error {
			if strings.HasPrefix(v.Reveal(), sharedKey) {
				return Standard{}.CheckSecret(v)
			}
			return nil // a secret token may be any text
		},
		Events: Mapping{
			// X-Gitlab-Event-UUID is no id: webhooks that trigger each other share it.
			ID:   firstOf(signedID("the header Webhook-Id where it is signed"), header("Idempotency-Key"), header("Webhook-Id")),
			Type: firstOf(joined(".", field("object_kind"), field("object_attributes.action")), field("event_name"), header("X-Gitlab-Event")),
			Subject: firstOf(field("project.path_with_namespace"), field("group_path"), field("group.full_path"), field("path_with_namespace"),
				field("full_path"), field("project_name"), field("username"), field("user_username")),
			Time: at(AnyTime, firstOf(field("object_attributes.updated_at"), field("object_attributes.finished_at"), field("object_attributes.created_at"),
				field("build_finished_at"), field("build_started_at"), field("build_created_at"), field("status_changed_at"),
				field("updated_at"), field("created_at"))),
		},
		Samples: []Sample{
			{
				Type:   "push",
				Header: gitlabHeaders("Push Hook"),
				Body:   `{"object_kind":"push","event_name":"push","ref":"refs/heads/main","user_username":"jsmith","project":{"id":15,"path_with_namespace":"mike/diaspora"},"total_commits_count":0,"commits":[]}`,
			},
			{
				Type:   "merge_request.open",
				Header: gitlabHeaders("Merge Request Hook"),
				Body:   `{"object_kind":"merge_request","event_type":"merge_request","project":{"id":1,"path_with_namespace":"gitlabhq/gitlab-test"},"object_attributes":{"id":99,"iid":1,"title":"MS-Viewport","state":"opened","action":"open","updated_at":"$NOW"}}`,
			},
		},
	}
}

func gitlabHeaders(event string) map[string]string {
	return map[string]string{"X-Gitlab-Event": event, "X-Gitlab-Event-UUID": "$ID", "Idempotency-Key": "$ID", "Webhook-Id": "$ID"}
}
