package ingestion

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

const selectDeliverablesSQL = `
SELECT e.id, e.integration_id, e.source, e.provider, e.event_type, e.correlation_id, e.normalized_payload,
       COALESCE(i.is_active, false) AS active
FROM   normalized_events e
JOIN   v ON v.id = e.id
LEFT   JOIN integrations i ON i.id = e.integration_id`

// Deliverables gives what is sent of these events, in no particular order. Events that are
// unknown or were erased are left out.
func (m *Module) Deliverables(ctx context.Context, eventIDs []string) ([]contract.Deliverable, error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	var rows []struct {
		ID            string `db:"id"`
		IntegrationID string `db:"integration_id"`
		Source        string `db:"source"`
		Provider      string `db:"provider"`
		EventType     string `db:"event_type"`
		CorrelationID string `db:"correlation_id"`
		Payload       []byte `db:"normalized_payload"`
		Active        bool   `db:"active"`
	}
	if err := m.d.DB.SelectRows(ctx, &rows, database.IDs(eventIDs), selectDeliverablesSQL); err != nil {
		return nil, fmt.Errorf("read deliverables: %w", err)
	}
	found := make([]contract.Deliverable, 0, len(rows))
	for _, r := range rows {
		if len(r.Payload) == 0 { // erased
			continue
		}
		found = append(found, contract.Deliverable{
			EventID: r.ID, IntegrationID: r.IntegrationID, Source: r.Source, Provider: r.Provider, EventType: r.EventType,
			CorrelationID: r.CorrelationID, Payload: r.Payload, Active: r.Active,
		})
	}
	return found, nil
}

const selectOriginalsSQL = `
SELECT e.id, w.request_headers, w.raw_body, w.body_state
FROM   normalized_events e
JOIN   v ON v.id = e.id
JOIN   webhook_events w ON w.id = e.webhook_event_id
WHERE  w.body_state <> 'erased'`

// Originals gives the webhook that each of these events came with, in no particular order.
// Events whose webhook is no longer kept are left out.
func (m *Module) Originals(ctx context.Context, eventIDs []string) ([]contract.Original, error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	var rows []struct {
		ID      string `db:"id"`
		Headers []byte `db:"request_headers"`
		Body    []byte `db:"raw_body"`
		State   string `db:"body_state"`
	}
	if err := m.d.DB.SelectRows(ctx, &rows, database.IDs(eventIDs), selectOriginalsSQL); err != nil {
		return nil, fmt.Errorf("read webhooks: %w", err)
	}
	found := make([]contract.Original, len(rows))
	for i, r := range rows {
		found[i] = contract.Original{EventID: r.ID, Headers: r.Headers, Body: r.Body, Redacted: r.State == bodyRedacted}
	}
	return found, nil
}

type stateRow struct {
	EventID            string      `db:"event_id"`
	Status             string      `db:"status"`
	ProcessingAttempts int         `db:"processing_attempts"`
	LastError          *string     `db:"last_error"`
	LastProcessedAt    *clock.Time `db:"last_processed_at"`
	UpdatedAt          clock.Time  `db:"updated_at"`
	Erased             bool        `db:"erased"`
}

const selectStatesSQL = `
SELECT s.event_id, s.status, s.processing_attempts, s.last_error, s.last_processed_at, s.updated_at, s.erased_at IS NOT NULL AS erased
FROM   event_states s
WHERE  s.event_id IN (SELECT id FROM v)
ORDER  BY s.event_id`

// LockStates reads these events' states and locks them until the transaction ends, in
// the order of their ids. Unknown events are left out.
func (m *Module) LockStates(ctx context.Context, tx *database.Tx, eventIDs []string) ([]contract.EventState, error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	var rows []stateRow
	if err := tx.SelectRows(ctx, &rows, database.IDs(eventIDs), selectStatesSQL+tx.Dialect.ForUpdate); err != nil {
		return nil, fmt.Errorf("lock event states: %w", err)
	}
	states := make([]contract.EventState, len(rows))
	for i, r := range rows {
		states[i] = contract.EventState{
			EventID: r.EventID, Status: contract.EventStatus(r.Status), ProcessingAttempts: r.ProcessingAttempts,
			LastError: r.LastError, LastProcessedAt: plainTime(r.LastProcessedAt), UpdatedAt: r.UpdatedAt.Time, Erased: r.Erased,
		}
	}
	return states, nil
}

func plainTime(t *clock.Time) *time.Time {
	if t == nil {
		return nil
	}
	return &t.Time
}

const updateStatesSQL = `
UPDATE event_states
SET    status = v.status, processing_attempts = v.processing_attempts, last_error = v.last_error,
       last_processed_at = v.last_processed_at, updated_at = v.updated_at
FROM   v
WHERE  event_states.event_id = v.event_id`

// SaveStates writes states that LockStates locked in the same transaction.
func (m *Module) SaveStates(ctx context.Context, tx *database.Tx, states []contract.EventState) error {
	if len(states) == 0 {
		return nil
	}
	rows := database.NewRows("event_id uuid", "status text", "processing_attempts bigint", "last_error text",
		"last_processed_at timestamptz", "updated_at timestamptz").Expect(len(states))
	for _, s := range states {
		rows.Add(s.EventID, string(s.Status), s.ProcessingAttempts, s.LastError, s.LastProcessedAt, s.UpdatedAt)
	}
	if err := tx.Write(ctx, rows, updateStatesSQL); err != nil {
		return fmt.Errorf("save event states: %w", err)
	}
	return nil
}

const selectIntegrationOfSQL = `
SELECT e.integration_id, e.correlation_id, e.source, s.erased_at IS NOT NULL AS erased
FROM   normalized_events e
LEFT   JOIN event_states s ON s.event_id = e.id
WHERE  e.id = $1`

// Integration gives the integration that an event belongs to and the event's
// correlation id; fault.NotFound when there is no such event, or none in the caller's scope,
// and fault.Conflict when it was erased.
func (m *Module) Integration(ctx context.Context, tx *database.Tx, eventID string) (integrationID, correlationID string, err error) {
	var row struct {
		IntegrationID string `db:"integration_id"`
		CorrelationID string `db:"correlation_id"`
		Source        string `db:"source"`
		Erased        bool   `db:"erased"`
	}
	switch err := tx.Get(ctx, &row, selectIntegrationOfSQL, eventID); {
	case errors.Is(err, sql.ErrNoRows):
		return "", "", noEvent(eventID)
	case err != nil:
		return "", "", fmt.Errorf("find the integration of event %s: %w", eventID, err)
	case !httpapi.SeesSource(ctx, row.Source):
		return "", "", noEvent(eventID)
	case row.Erased:
		return "", "", fault.Conflict.New("event_erased", "The event %s was erased, so there is nothing left to send.", eventID)
	}
	return row.IntegrationID, row.CorrelationID, nil
}

func noEvent(id string) error {
	return fault.NotFound.New("event_not_found", "There is no event %s.", id)
}
