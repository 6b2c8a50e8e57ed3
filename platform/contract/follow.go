package contract

import (
	"encoding/json"

	"integration-gateway/platform/clock"
)

// TrailRow is a stored row of the audit trail: an entry, or a group of entries.
type TrailRow struct {
	ID    string `db:"id"`
	Group bool   `db:"is_group"`
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
	ID              string      `db:"id" json:"id"`
	Source          string      `db:"source" json:"source"`
	Provider        string      `db:"provider" json:"provider"`
	ExternalEventID *string     `db:"external_event_id" json:"externalEventId"`
	EventType       string      `db:"event_type" json:"eventType"`
	Subject         *string     `db:"subject" json:"subject"`
	OccurredAt      clock.Time  `db:"occurred_at" json:"occurredAt"`
	ReceivedAt      clock.Time  `db:"received_at" json:"receivedAt"`
	CorrelationID   string      `db:"correlation_id" json:"correlationId"`
	Status          EventStatus `db:"status" json:"status"`
}
