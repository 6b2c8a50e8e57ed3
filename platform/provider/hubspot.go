package provider

import (
	"crypto/sha256"
	"strings"
	"time"
)

var _ = register(hubspot)

// hubspot signs the method, the URL, the raw body and the time (version 3). A body is an
// array of events, whose eventId alone is not unique.
//
// https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation
func hubspot() Spec {
	return Spec{
		Name:  "hubspot",
		Title: "HubSpot",
		Help: "X-HubSpot-Signature-v3 is the HMAC-SHA256 of the method, the URL, the body and the time, keyed with the app's client secret. " +
			"One request holds up to 100 events.",
		Guide: Guide{
			Docs: "https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation",
			Steps: []string{
				"In the developer account open the app, then Webhooks. Target URL: <URL>, exactly as the integration's publicUrl has it.",
				"Create the subscriptions and activate them.",
				"Copy the client secret from the app's Auth page into the integration.",
			},
			Paste: "the app's client secret",
		},
		Verify: HMAC{Hash: sha256.New, Signed: Signed{
			Header: "X-HubSpot-Signature-v3", Encoding: Base64, Over: over("{method}{url}{body}{timestamp}"),
			Time: Timestamp{Header: "X-HubSpot-Request-Timestamp", Unit: Milliseconds}, URL: hubspotURL.Replace,
		}},
		Tolerance: 5 * time.Minute,
		SignsURL:  true,
		Events: Mapping{
			ID: joined(":", field("eventId"), field("subscriptionType"), field("occurredAt")),
			Identity: together(field("eventId"), field("subscriptionType"), field("occurredAt"), field("objectId"), field("propertyName"),
				field("fromObjectId"), field("toObjectId")), // an id may be that of several objects
			Type:    field("subscriptionType"),
			Subject: firstOf(field("objectId"), field("fromObjectId"), field("toObjectId")),
			Time:    at(Milliseconds, field("occurredAt")),
			Items:   true,
		},
		Samples: []Sample{{
			Type: "contact.creation",
			Body: `[{"eventId":$MILLIS,"subscriptionId":12345,"portalId":62515,"occurredAt":$MILLIS,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54321,"sample":"$ID"},` +
				`{"eventId":$MILLIS,"subscriptionId":12346,"portalId":62515,"occurredAt":$MILLIS,"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":123,"propertyName":"name","propertyValue":"$ID","appId":54321}]`,
		}},
	}
}

// hubspotURL decodes the escapes that HubSpot decodes before it signs.
var hubspotURL = strings.NewReplacer(
	"%3A", ":", "%2F", "/", "%3F", "?", "%40", "@", "%21", "!", "%24", "$",
	"%27", "'", "%28", "(", "%29", ")", "%2A", "*", "%2C", ",", "%3B", ";",
)
