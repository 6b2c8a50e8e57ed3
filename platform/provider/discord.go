package provider

import (
	"net/http"
	"time"
)

var _ = register(discord)

// discord signs the time and the raw body with a private key. Two kinds of requests look
// alike: webhook events, whose type 0 is a ping and 1 an event, and interactions, whose
// type 1 is a ping.
//
// https://docs.discord.com/developers/events/webhook-events
// https://docs.discord.com/developers/interactions/overview
func discord() Spec {
	scheme := PublicKey{Scheme: Ed25519{}, Signed: Signed{
		Header: "X-Signature-Ed25519", Over: over("{timestamp}{body}"), Time: Timestamp{Header: "X-Signature-Timestamp"},
	}}
	return Spec{
		Name:  "discord",
		Title: "Discord",
		Help: "X-Signature-Ed25519 is an Ed25519 signature of the time and the body; the integration holds the app's public key. " +
			"The gateway answers pings. It acknowledges interactions as deferred; the app answers them with their token.",
		Guide: Guide{
			Docs: "https://docs.discord.com/developers/events/webhook-events",
			Steps: []string{
				"In the Developer Portal open the application's General Information and copy the Public Key into the integration.",
				"Webhooks: enter <URL> as the Endpoint, turn Events on, choose them and save; Discord sends a ping at once.",
				"For interactions enter the same URL as the Interactions Endpoint URL under General Information.",
			},
			Paste: "the application's Public Key, 64 hex digits",
		},
		Verify:      scheme,
		Tolerance:   5 * time.Minute,
		Public:      true,
		CheckSecret: scheme.CheckSecret,
		Events: Mapping{
			ID:      field("id"),
			Type:    firstOf(field("event.type"), joined(".", interaction, field("data.name"))),
			Subject: firstOf(field("event.data.user.id"), field("event.data.user_id"), field("member.user.id"), field("user.id")),
			Time:    at(RFC3339, discordTime),
		},
		Handshake:   discordPing,
		Acknowledge: discordAcknowledge,
		Samples: []Sample{
			{
				Type: "APPLICATION_AUTHORIZED",
				Body: `{"version":1,"application_id":"1234560123453231555","type":1,"event":{"type":"APPLICATION_AUTHORIZED","timestamp":"$NOW","data":{"integration_type":1,"scopes":["applications.commands"],"user":{"id":"$ID","username":"test"}}}}`,
			},
			{
				Type: "interaction.2.cardsearch",
				Body: `{"version":1,"type":2,"id":"$ID","application_id":"775799577604522054","token":"A_UNIQUE_TOKEN","channel_id":"645027906669510667","member":{"user":{"id":"53908232506183680","username":"Mason"}},"data":{"type":1,"name":"cardsearch","id":"771825006014889984"}}`,
			},
		},
	}
}

// interaction finds "interaction." and the number of its kind.
var interaction = finder{where: "$.type", find: func(in input) token {
	kind := field("type").find(in).text
	if kind == "" {
		return token{}
	}
	return quoted("interaction." + kind)
}}

// discordTime finds an event's time, which is in UTC and may lack the Z.
var discordTime = finder{where: "$.event.timestamp", find: func(in input) token {
	text := field("event.timestamp").find(in).text
	if _, ok := parseTime(text); !ok && text != "" {
		text += "Z"
	}
	return quoted(text)
}}

const (
	discordEventPing       = "0"
	discordInteractionPing = "1"
)

// discordPing answers URL checks.
func discordPing(req Request) *Reply {
	body, err := parseObject(req.Body)
	if err != nil || body.inner("event") != nil {
		return nil
	}
	switch body.identifier("type").text {
	case discordEventPing:
		return &Reply{Status: http.StatusNoContent, What: "ping"}
	case discordInteractionPing:
		return &Reply{Status: http.StatusOK, ContentType: jsonType, Body: []byte(`{"type":1}`), What: "ping"}
	}
	return nil
}

// discordAcknowledge answers events with 204. An interaction needs an answer within three
// seconds: type 5 defers it, 6 defers a component, and 8 returns no autocompletions.
func discordAcknowledge(req Request) *Reply {
	body, err := parseObject(req.Body)
	if err != nil || body.inner("event") != nil {
		return &Reply{Status: http.StatusNoContent}
	}
	const component, autocomplete = "3", "4"
	answer := `{"type":5}`
	switch body.identifier("type").text {
	case component:
		answer = `{"type":6}`
	case autocomplete:
		answer = `{"type":8,"data":{"choices":[]}}`
	}
	return &Reply{Status: http.StatusOK, ContentType: jsonType, Body: []byte(answer)}
}
