package provider

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"time"
)

var _ = register(slack)

// slack signs the time and the raw body of the Events API (JSON), slash commands and
// interactivity (forms).
//
// https://docs.slack.dev/authentication/verifying-requests-from-slack
func slack() Spec {
	return Spec{
		Name:  "slack",
		Title: "Slack",
		Help: "X-Slack-Signature is the HMAC-SHA256 of the time and the body, keyed with the app's signing secret. " +
			"The gateway answers the check of the request URL. It acknowledges commands and interactions with an empty 200; the app answers through response_url.",
		Guide: Guide{
			Docs: "https://docs.slack.dev/authentication/verifying-requests-from-slack",
			Steps: []string{
				"At api.slack.com/apps open the app's Basic Information and copy the Signing Secret into the integration.",
				"Event Subscriptions: turn events on, enter <URL> as the Request URL (Slack tries it at once), choose the bot events and save.",
				"Slash Commands and Interactivity: enter the same URL.",
			},
			Paste: "the app's Signing Secret",
		},
		Verify: HMAC{Hash: sha256.New, Signed: Signed{
			Header: "X-Slack-Signature", Prefix: "v0=", Over: over("v0:{timestamp}:{body}"), Time: Timestamp{Header: "X-Slack-Request-Timestamp"},
		}},
		Tolerance:    300 * time.Second,
		ContentTypes: []string{formType},
		Events: Mapping{
			ID:   firstOf(field("event_id"), field("trigger_id")),
			Type: firstOf(field("event.type"), slashCommand, field("type")),
			Subject: firstOf(field("event.channel"), field("event.channel.id"), field("event.channel_id"), field("event.item.channel"),
				field("event.user"), field("event.user.id"), field("event.user_id"), field("event.file_id"), field("event.file.id"),
				field("command"), field("callback_id"), field("channel.id"), field("user.id")),
			Time: at(AnyTime, firstOf(field("event_time"), field("event.event_ts"), field("action_ts"))),
		},
		Handshake:   slackChallenge,
		Acknowledge: slackAcknowledge,
		Samples: []Sample{
			{
				Type: "app_mention",
				Body: `{"token":"z26uFbvR1xHJEdHE1OQiO6t8","team_id":"T123ABC456","api_app_id":"A123ABC456","event":{"type":"app_mention","user":"U123ABC456","text":"What is the hour of the pearl, <@U0LAN0Z89>?","ts":"1515449522.000016","channel":"C123ABC456","event_ts":"1515449522000016"},"type":"event_callback","event_id":"Ev$ID","event_time":$UNIX}`,
			},
			{
				Type:        "slash_command",
				ContentType: formType,
				Body:        `team_id=T0001&team_domain=example&channel_id=C2147483705&channel_name=test&user_id=U2147483697&user_name=Steve&command=%2Fweather&text=94070&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2F1234%2F5678&trigger_id=$ID`,
			},
		},
	}
}

// slashCommand finds the type of a form that a command sends.
var slashCommand = finder{where: "$.command", find: func(in input) token {
	if field("command").find(in).text == "" {
		return token{}
	}
	return quoted("slash_command")
}}

// slackChallenge answers the URL check, {"type":"url_verification", "challenge":"…"}, and the
// certificate check, a form with ssl_check.
func slackChallenge(req Request) *Reply {
	if isForm(req.Header) {
		if fields, err := parseForm(req.Body); err == nil && fields.get("ssl_check") == "1" {
			return &Reply{Status: http.StatusOK, What: "ssl_check"}
		}
		return nil
	}
	body, err := parseObject(req.Body)
	if err != nil || body.identifier("type").text != "url_verification" {
		return nil
	}
	answer, _ := json.Marshal(map[string]string{"challenge": body.identifier("challenge").text}) // strings always marshal
	return &Reply{Status: http.StatusOK, ContentType: jsonType, Body: answer, What: "url_verification"}
}

// slackAcknowledge answers forms with an empty body: Slack would show it to the user.
func slackAcknowledge(req Request) *Reply {
	if !isForm(req.Header) {
		return nil
	}
	return &Reply{Status: http.StatusOK}
}
