package ingestion

import (
	"encoding/json"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// details are what audit entries of a webhook and its events say.
type details struct {
	Source          string      `json:"source"`
	Provider        string      `json:"provider"`
	IntegrationID   string      `json:"integrationId"`
	WebhookEventID  string      `json:"webhookEventId"`
	SecretID        string      `json:"secretId,omitempty"`
	SourceIP        string      `json:"sourceIp,omitempty"`
	EventIDs        []string    `json:"eventIds,omitempty"`
	ExternalEventID *string     `json:"externalEventId"`
	EventType       string      `json:"eventType"`
	Subject         *string     `json:"subject,omitempty"`
	OccurredAt      *clock.Time `json:"occurredAt,omitempty"`
	Jobs            int         `json:"jobs,omitempty"`
	Reason          string      `json:"reason,omitempty"`

	// What destinations' filters said, but for a plain yes.
	Filters       []contract.FilterNote `json:"filters,omitempty"`
	CorrelationID string                `json:"correlationId"`
}

// auditEntries tell the story of new webhooks: received, and each event normalized,
// then queued, or processed when there is nobody to deliver to.
func auditEntries(news []arrival, scheduled map[string]contract.Scheduled) []contract.AuditEntry {
	var entries []contract.AuditEntry
	for _, a := range news {
		received := a.details(a.events[0])
		received.SecretID, received.SourceIP = a.secretID, a.sourceIP
		for _, e := range a.events {
			received.EventIDs = append(received.EventIDs, e.id)
		}
		entries = append(entries, entry(contract.EntityWebhookEvent, a.webhookID, "webhook.received", received))
		for _, e := range a.events {
			normalized, outcome := a.details(e), a.details(e)
			at := clock.At(e.OccurredAt)
			normalized.Subject, normalized.OccurredAt = e.Subject, &at
			action := "event.queued"
			outcome.Filters = scheduled[e.id].Filters
			if outcome.Jobs = len(scheduled[e.id].Jobs); outcome.Jobs == 0 {
				action, outcome.Reason = "event.processed", scheduled[e.id].Reason
			}
			entries = append(entries,
				entry(contract.EntityNormalizedEvent, e.id, "event.normalized", normalized),
				entry(contract.EntityNormalizedEvent, e.id, action, outcome))
		}
	}
	return entries
}

func (a arrival) details(e draft) details {
	return details{
		Source: a.source.name, Provider: a.source.spec.Name, IntegrationID: a.source.integrationID,
		WebhookEventID: a.webhookID, ExternalEventID: e.ID, EventType: e.Type, CorrelationID: a.correlationID,
	}
}

func entry(entityType, entityID, action string, d details) contract.AuditEntry {
	text, _ := json.Marshal(d) // strings always marshal
	return contract.AuditEntry{EntityType: entityType, EntityID: &entityID, Action: action, Actor: contract.ActorGateway, Details: text}
}
