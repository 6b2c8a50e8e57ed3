package ingestion

import (
	"encoding/json"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// received is what the audit entry of a webhook says.
type received struct {
	Source          string   `json:"source"`
	Provider        string   `json:"provider"`
	IntegrationID   string   `json:"integrationId"`
	SecretID        string   `json:"secretId,omitempty"`
	SourceIP        string   `json:"sourceIp,omitempty"`
	ExternalEventID *string  `json:"externalEventId"`
	EventIDs        []string `json:"eventIds"`
	CorrelationID   string   `json:"correlationId"`
}

// normalized is what the entry of an event says. It leaves out the subject: the trail stays
// when a person is erased.
type normalized struct {
	WebhookEventID  string     `json:"webhookEventId"`
	ExternalEventID *string    `json:"externalEventId"`
	EventType       string     `json:"eventType"`
	OccurredAt      clock.Time `json:"occurredAt"`
	CorrelationID   string     `json:"correlationId"`
}

// queued is what the entry of its first jobs says, or of there being none.
type queued struct {
	Jobs          int    `json:"jobs"`
	Reason        string `json:"reason,omitempty"`
	CorrelationID string `json:"correlationId"`

	// What destinations' filters said, but for a plain yes.
	Filters []contract.FilterNote `json:"filters,omitempty"`
}

// auditEntries tell the story of new webhooks: received, and each event normalized,
// then queued, or processed when there is nobody to deliver to.
func auditEntries(news []arrival, scheduled map[string]contract.Scheduled) []contract.AuditEntry {
	var entries []contract.AuditEntry
	for _, a := range news {
		r := received{Source: a.source.name, Provider: a.source.spec.Name, IntegrationID: a.source.integrationID, SecretID: a.secretID,
			SourceIP: a.sourceIP, ExternalEventID: a.events[0].ID, CorrelationID: a.correlationID}
		for _, e := range a.events {
			r.EventIDs = append(r.EventIDs, e.id)
		}
		entries = append(entries, entry(contract.EntityWebhookEvent, a.webhookID, "webhook.received", r))
		for _, e := range a.events {
			action, q := "event.queued", queued{Jobs: len(scheduled[e.id].Jobs), CorrelationID: a.correlationID, Filters: scheduled[e.id].Filters}
			if q.Jobs == 0 {
				action, q.Reason = "event.processed", scheduled[e.id].Reason
			}
			entries = append(entries,
				entry(contract.EntityNormalizedEvent, e.id, "event.normalized", normalized{WebhookEventID: a.webhookID, ExternalEventID: e.ID,
					EventType: e.Type, OccurredAt: clock.At(e.OccurredAt), CorrelationID: a.correlationID}),
				entry(contract.EntityNormalizedEvent, e.id, action, q))
		}
	}
	return entries
}

func entry(entityType, entityID, action string, details any) contract.AuditEntry {
	text, _ := json.Marshal(details) // strings always marshal
	return contract.AuditEntry{EntityType: entityType, EntityID: &entityID, Action: action, Actor: contract.ActorGateway, Details: text}
}
