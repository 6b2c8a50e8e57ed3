package ingestion

import (
	"net/http"
	"slices"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// eventDetails is everything known of an event.
type eventDetails struct {
	Event            eventRow           `json:"event"`
	Webhook          *webhookView       `json:"webhook"`
	DeliveryAttempts []contract.Attempt `json:"deliveryAttempts"`
	ProcessingJobs   []contract.Job     `json:"processingJobs"`
}

// The routes of webhooks are raw: a provider's parameters and fields are its own.
var (
	webhookSpec = httpapi.Spec{
		Summary: "Receives a webhook; the request is verified as its provider prescribes.",
		Raw:     true, OwnAnswers: true,
		Answers: []httpapi.Answer{
			httpapi.Returns(http.StatusAccepted, "Acceptance", acceptance{}).If("a new event, or a batch without events: its status is empty and it names none"),
			httpapi.Returns(http.StatusOK, "Receipt", receipt{}).If("a repeat, with the first ids; or the answer that the provider expects"),
			{Status: http.StatusNoContent, Shape: httpapi.Empty, When: "as the provider expects it"},
		},
		Errors: []fault.Kind{fault.Invalid, fault.Unauthorized, fault.NotFound, fault.Conflict, fault.MethodNotAllowed, fault.TooLarge, fault.UnsupportedMedia, fault.RateLimited},
		Example: `{"eventId":"evt_1001","eventType":"order.created","occurredAt":"2026-01-05T09:00:00Z",` +
			`"data":{"id":"ord_1","total":"19.90"}}`,
	}
	putSpec = func() httpapi.Spec {
		spec := webhookSpec
		spec.Summary = "Receives a webhook from a provider that sends by PUT, as its definition says."
		return spec
	}()
	preflightSpec = httpapi.Spec{
		Summary: "Answers providers that ask by OPTIONS for permission to send, as CloudEvents prescribes.",
		Raw:     true,
		Answers: []httpapi.Answer{{Status: http.StatusOK, Shape: httpapi.Empty, When: "the permission is in its headers, as the provider expects it"}},
		Errors:  []fault.Kind{fault.Unauthorized, fault.NotFound, fault.MethodNotAllowed, fault.RateLimited},
	}
	challengeSpec = httpapi.Spec{
		Summary: "Answers the challenge with which some providers check an address.",
		Raw:     true, Media: "text/plain",
		Answers: []httpapi.Answer{{Status: http.StatusOK, Shape: httpapi.Other, When: "the challenge's answer, as its provider expects it"}},
		Errors:  []fault.Kind{fault.Unauthorized, fault.NotFound, fault.MethodNotAllowed, fault.RateLimited},
	}
	probeSpec = httpapi.Spec{
		Summary: "Answers providers that check an address by HEAD.",
		Raw:     true,
		Answers: []httpapi.Answer{{Status: http.StatusOK, Shape: httpapi.Empty, When: "the source is active"}},
		Errors:  []fault.Kind{fault.NotFound, fault.MethodNotAllowed, fault.RateLimited},
	}
)

var (
	eventsSpec = httpapi.Spec{
		Summary: "Events, the last received first.",
		Query: httpapi.PagedQuery(
			httpapi.EnumParam("sortBy", "the order: those of one status by `receivedAt`", "createdAt", "occurredAt", "status", "receivedAt").Or("receivedAt"),
			httpapi.EnumParam("sortOrder", "the direction", "asc", "desc").Or("desc"),
			httpapi.TextParam("provider", "exactly"),
			httpapi.TextParam("source", "exactly"),
			httpapi.TextParam("eventType", "exactly"),
			httpapi.TextParam("externalEventId", "exactly"),
			httpapi.TextParam("correlationId", "exactly"),
			httpapi.EnumParam("status", "what became of the event", "pending", "processing", "processed", "retrying", "failed"),
			httpapi.TextParam("subject", "contained, literally, in either case"),
			httpapi.TextParam(exactSubject, "exactly this subject, which is found faster than a part of one"),
			httpapi.TimeParam("from", "at or after this `occurredAt`"),
			httpapi.TimeParam("to", "at or before this `occurredAt`"),
			httpapi.TimeParam("receivedFrom", "at or after this `receivedAt`"),
			httpapi.TimeParam("receivedTo", "at or before this `receivedAt`"),
		),
		Order:   func(q *httpapi.Query) string { return eventOrderOf(q).cursorName() },
		Answers: []httpapi.Answer{httpapi.ReturnsPage("Event", eventRow{})},
	}
	eventSpec = httpapi.Spec{
		Summary: "An event with its webhook as it came, and every attempt and job, oldest first.",
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "EventDetails", eventDetails{})},
		Names:   map[string]any{"Webhook": webhookView{}},
	}
	statusSpec = httpapi.Spec{
		Summary: "What became of an event.",
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "EventStatus", statusView{})},
	}
)

// quarantineQuery are the conditions of a list of refused requests.
var quarantineQuery = append([]httpapi.Param{
	httpapi.TextParam("source", "exactly"),
	httpapi.TextParam("reason", "why they were refused, such as `no_match`"),
	httpapi.TextParam("externalEventId", "the event's id, as the unverified body says it"),
	httpapi.TextParam("sourceIp", "the client's address, exactly"),
}, httpapi.Between("received")...)

var (
	quarantineSpec = httpapi.Spec{
		Summary: "Requests to a known source that were refused, newest first.",
		Query:   httpapi.PagedQuery(slices.Clone(quarantineQuery)...),
		Answers: []httpapi.Answer{httpapi.ReturnsPage("Quarantined", Quarantined{})},
	}
	quarantineGroupsSpec = httpapi.Spec{
		Summary: "The newest requests in quarantine by source and reason, with how many there are, and what was refused but not kept.",
		Query:   quarantineQuery,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "", QuarantineGroups{})},
	}
	quarantineSummarySpec = httpapi.Spec{
		Summary: "What is in quarantine by source, and what was refused but not kept.",
		Query:   []httpapi.Param{httpapi.TextParam("source", "this source alone")},
		Answers: []httpapi.Answer{httpapi.ReturnsAll("QuarantineSummary", QuarantineSummary{})},
	}
	quarantinedSpec = httpapi.Spec{
		Summary: "A refused request as it came.",
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "QuarantinedRequest", QuarantinedRequest{})},
	}
	deleteQuarantinedSpec = httpapi.Spec{
		Summary: "Drops a refused request for good.",
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "Deleted", deleted{})},
	}
	releaseSpec = httpapi.Spec{
		Summary: "Verifies a refused request again, and accepts it as an ordinary webhook.",
		Answers: []httpapi.Answer{
			httpapi.Returns(http.StatusAccepted, "Released", Released{}).If("a new event"),
			httpapi.Returns(http.StatusOK, "Released", Released{}).If("its event was known"),
		},
		Errors: []fault.Kind{fault.Conflict},
	}
	releaseAllSpec = httpapi.Spec{
		Summary: "Releases all refused requests that match, oldest first. `dryRun` only counts them.",
		Body:    releaseAllBody{}, BodyName: "BulkRelease", Example: `{"source":"acme","reason":"no_match","limit":1000}`,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "BulkReleased", ReleasedAll{})},
	}
)
