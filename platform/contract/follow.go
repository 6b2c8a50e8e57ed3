package contract

import (
	"encoding/json"

	"integration-gateway/platform/clock"
)

// TrailRow is a stored row of the audit trail: an entry, or a group of entries.
type TrailRow struct {
	ID    string
	Group bool
}

// TrailEntry is an entry of the audit trail as it is read.
type TrailEntry struct {
	ID         string
	Row        string // the id of the row that contains it
	EntityType string
	EntityID   *string
	Action     string
	Details    json.RawMessage // an object
	CreatedAt  clock.Time
}

// EventSummary is what lists of events are filtered by, without the payload.
type EventSummary struct {
	ID              string      `json:"id"`
	Source          string      `json:"source"`
	Provider        string      `json:"provider"`
	ExternalEventID *string     `json:"externalEventId"`
	EventType       string      `json:"eventType"`
	Subject         *string     `json:"subject"`
	OccurredAt      clock.Time  `json:"occurredAt"`
	ReceivedAt      clock.Time  `json:"receivedAt"`
	CorrelationID   string      `json:"correlationId"`
	Status          EventStatus `json:"status"`
}
