package ingestion

import (
	"context"
	"encoding/json"
	"fmt"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// received holds the details of a webhook's audit entry. It omits the sender's address, which an
// erasure removes.
type received struct {
	Source          string   `json:"source"`
	Provider        string   `json:"provider"`
	IntegrationID   string   `json:"integrationId"`
	SecretID        string   `json:"secretId,omitempty"`
	ExternalEventID *string  `json:"externalEventId"`
	EventIDs        []string `json:"eventIds"`
	CorrelationID   string   `json:"correlationId,omitempty"`
	PossibleReplay  bool     `json:"possibleReplay,omitempty"`
	Marks           []string `json:"marks,omitempty"`   // without where they are: the trail outlives an erasure
	Spooled         bool     `json:"spooled,omitempty"` // it was received while the database was away
}

// normalized holds the details of an event's entry. It omits the subject: the trail outlives
// an erasure.
type normalized struct {
	WebhookEventID  string     `json:"webhookEventId"`
	ExternalEventID *string    `json:"externalEventId"`
	EventType       string     `json:"eventType"`
	OccurredAt      clock.Time `json:"occurredAt"`
	CorrelationID   string     `json:"correlationId,omitempty"`
}

// queued holds the details of the entry about an event's first jobs.
type queued struct {
	Jobs          int    `json:"jobs"`
	Reason        string `json:"reason,omitempty"`
	CorrelationID string `json:"correlationId,omitempty"`

	// The answers of destinations' filters, except a plain match.
	Filters []contract.FilterNote `json:"filters,omitempty"`
}

// auditEntries returns the entries of new webhooks: received, and for each event normalized,
// then queued, or processed if it has no destination.
func auditEntries(newWebhooks []verifiedWebhook, scheduled map[string]contract.Scheduled) []contract.AuditEntry {
	var entries []contract.AuditEntry
	for _, w := range newWebhooks {
		traced := erasureSafe(w.correlationID)
		r := received{Source: w.source.Name, Provider: w.source.Spec.Name, IntegrationID: w.source.IntegrationID, SecretID: w.secretID,
			ExternalEventID: w.events[0].ID, CorrelationID: traced, PossibleReplay: w.possibleReplay, Spooled: w.spooled}
		for _, e := range w.events {
			r.EventIDs = append(r.EventIDs, e.id)
		}
		entries = append(entries, entry(contract.EntityWebhookEvent, w.webhookID, "webhook.received", r))
		for _, one := range w.marks {
			r.Marks = append(r.Marks, one.Mark)
		}
		if len(r.Marks) > 0 {
			entries = append(entries, entry(contract.EntityWebhookEvent, w.webhookID, "webhook.marked", r))
		}
		if w.possibleReplay {
			entries = append(entries, entry(contract.EntityWebhookEvent, w.webhookID, "webhook.possible_replay", r))
		}
		for _, e := range w.events {
			action, q := "event.queued", queued{Jobs: len(scheduled[e.id].Jobs), CorrelationID: traced, Filters: scheduled[e.id].Filters}
			if q.Jobs == 0 {
				action, q.Reason = "event.processed", scheduled[e.id].Reason
			}
			entries = append(entries,
				entry(contract.EntityNormalizedEvent, e.id, "event.normalized", normalized{WebhookEventID: w.webhookID, ExternalEventID: e.ID,
					EventType: e.Type, OccurredAt: clock.At(e.OccurredAt), CorrelationID: traced}),
				entry(contract.EntityNormalizedEvent, e.id, action, q))
		}
	}
	return entries
}

// repeated holds the details of the entry about an event that was accepted while the database was
// away, and turned out to be a repeat when it was to be stored.
type repeated struct {
	EventID        string `json:"eventId"` // of the event that it repeats
	WebhookEventID string `json:"webhookEventId"`
	Source         string `json:"source"`
	CorrelationID  string `json:"correlationId,omitempty"`
}

// repeatEntries returns an entry for each spooled event whose key belongs to another one.
func (c keyClaims) repeatEntries(webhooks []verifiedWebhook) []contract.AuditEntry {
	var entries []contract.AuditEntry
	for _, w := range webhooks {
		for _, e := range w.events {
			if owner := c.owner[e.key].eventID; w.spooled && owner != e.id {
				entries = append(entries, w.repeatEntry(e, owner))
			}
		}
	}
	return entries
}

func (w verifiedWebhook) repeatEntry(e draft, owner string) contract.AuditEntry {
	return entry(contract.EntityNormalizedEvent, e.id, "event.repeated", repeated{EventID: owner, WebhookEventID: w.webhookID,
		Source: w.source.Name, CorrelationID: erasureSafe(w.correlationID)})
}

// erased holds the details of the entry about an event that was accepted while the database was away
// and is not stored, because an erasure that was ordered later is of it.
type erased struct {
	ErasureID      string `json:"erasureId"`
	WebhookEventID string `json:"webhookEventId"`
	Source         string `json:"source"`
}

// erasureSafe returns a correlation id that may outlive an erasure, or "": an id that a sender
// chose may name a person.
func erasureSafe(correlationID string) string {
	if id.Generated(correlationID) {
		return correlationID
	}
	return ""
}

func entry(entityType, entityID, action string, details any) contract.AuditEntry {
	text, _ := json.Marshal(details) // strings always marshal
	return contract.AuditEntry{EntityType: entityType, EntityID: &entityID, Action: action, Actor: contract.ActorGateway, Details: text}
}

// auditChange records an operator's change under the caller's credential.
func (m *Module) auditChange(ctx context.Context, tx *database.Tx, entityType, entityID, action string, details any) error {
	e := entry(entityType, entityID, action, details)
	e.Actor = httpapi.Actor(ctx)
	if err := m.d.Audit.Record(ctx, tx, []contract.AuditEntry{e}); err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return nil
}
