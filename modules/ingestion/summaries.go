package ingestion

import (
	"context"
	"fmt"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

const summariesSQL = `
SELECT e.id, e.source, e.provider, e.external_event_id, e.event_type, e.subject, e.occurred_at, e.received_at,
       ` + id.CorrelationSQL + ` AS correlation_id, s.status
FROM   v
JOIN   normalized_events e ON e.id = v.id
JOIN   event_states s ON s.event_id = e.id`

// summaryRow is an event without its payload.
type summaryRow struct {
	ID              string               `db:"id"`
	Source          string               `db:"source"`
	Provider        string               `db:"provider"`
	ExternalEventID *string              `db:"external_event_id"`
	EventType       string               `db:"event_type"`
	Subject         *string              `db:"subject"`
	OccurredAt      clock.Time           `db:"occurred_at"`
	ReceivedAt      clock.Time           `db:"received_at"`
	CorrelationID   string               `db:"correlation_id"`
	Status          contract.EventStatus `db:"status"`
}

// Summaries returns the events with these ids, of all sources, by id. It omits those that
// retention has deleted.
func (m *Module) Summaries(ctx context.Context, ids []string) (map[string]contract.EventSummary, error) {
	found := make(map[string]contract.EventSummary, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	var rows []summaryRow
	if err := m.d.DB.SelectRows(ctx, &rows, database.IDs(ids), summariesSQL); err != nil {
		return nil, fmt.Errorf("read %d events: %w", len(ids), err)
	}
	for _, e := range rows {
		found[e.ID] = contract.EventSummary(e)
	}
	return found, nil
}
