package ingestion

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/compact"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

const selectDeliverablesSQL = `
SELECT e.id, e.integration_id, e.source, e.provider, e.event_type, ` + id.CorrelationSQL + ` AS correlation_id, COALESCE(e.hops, 0) AS hops, e.external_event_id, e.key_digest, ` + payloadSizeSQL + `,
       %s,
       %s
FROM   normalized_events e
JOIN   v ON v.id = e.id
LEFT   JOIN webhook_events w ON w.id = e.webhook_event_id`

// Deliverables returns the deliverable content of these events, in no particular order. It
// omits unknown and erased events. Beyond maxContent bytes it defers the payloads, but not all of
// them.
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
		Hops          int    `db:"hops"`
		PayloadSize   int    `db:"payload_size"`
		Payload       []byte `db:"normalized_payload"`
		Body          []byte `db:"raw_body"`

		ExternalEventID *string `db:"external_event_id"`
		KeyDigest       *string `db:"key_digest"`
	}
	query := fmt.Sprintf(selectDeliverablesSQL, payloadSQL, baseSQL(m.d.DB.Dialect, "w.raw_body"))
	if err := m.d.DB.SelectRows(ctx, &rows, database.IDs(eventIDs), query); err != nil {
		return nil, fmt.Errorf("read deliverables: %w", err)
	}
	var integrations []string
	for _, r := range rows {
		if !slices.Contains(integrations, r.IntegrationID) { // few
			integrations = append(integrations, r.IntegrationID)
		}
	}
	active, err := m.d.Sources.ActiveIntegrations(ctx, integrations)
	if err != nil {
		return nil, err
	}
	found := make([]contract.Deliverable, 0, len(rows))
	content := content{db: m.d.DB}
	for i := range rows {
		r := &rows[i]
		payload, fits, err := content.payload(ctx, r.ID, r.PayloadSize, r.Payload, r.Body)
		if err != nil && !errors.Is(err, compact.ErrDamaged) {
			return nil, err
		}
		if err == nil && fits && len(payload) == 0 { // erased
			continue
		}
		r.Payload, r.Body = nil, nil
		found = append(found, contract.Deliverable{
			Unreadable: err, // its own failure, and not that of the events that are read with it
			Deferred:   !fits,
			EventID:    r.ID, IntegrationID: r.IntegrationID, Source: r.Source, Provider: r.Provider, EventType: r.EventType,
			CorrelationID: r.CorrelationID, Hops: r.Hops, Payload: payload, Active: active[r.IntegrationID],
			IdempotencyKey: keyDigest(r.Source, r.ExternalEventID, r.KeyDigest),
		})
	}
	return found, nil
}

const selectOriginalsSQL = `
SELECT e.id, w.id AS webhook_id, w.request_headers, length(w.raw_body) AS body_size, %s, w.body_state, h.headers AS header_set
FROM   normalized_events e
JOIN   v ON v.id = e.id
JOIN   webhook_events w ON w.id = e.webhook_event_id
LEFT   JOIN header_sets h ON h.id = w.header_set_id
WHERE  w.body_state <> 'erased'
ORDER  BY w.id`

// Originals returns the original webhook of each of these events, in no particular order. It
// omits events whose webhook is no longer stored. Beyond maxContent bytes it defers the bodies, but
// not all of them.
func (m *Module) Originals(ctx context.Context, eventIDs []string) ([]contract.Original, error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	var rows []struct {
		ID       string `db:"id"`
		Webhook  string `db:"webhook_id"`
		Headers  []byte `db:"request_headers"`
		Set      []byte `db:"header_set"`
		BodySize int    `db:"body_size"`
		Body     []byte `db:"raw_body"`
		State    string `db:"body_state"`
	}
	if err := m.d.DB.SelectRows(ctx, &rows, database.IDs(eventIDs), fmt.Sprintf(selectOriginalsSQL, bodySQL)); err != nil {
		return nil, fmt.Errorf("read webhooks: %w", err)
	}
	found := make([]contract.Original, 0, len(rows))
	content := content{db: m.d.DB}
	for i := range rows {
		r := &rows[i]
		headers, err := openHeaders("event", r.ID, r.Headers, r.Set)
		body, fits, bodyErr := content.body(ctx, r.ID, r.Webhook, r.BodySize, r.Body)
		r.Body = nil
		switch err = cmp.Or(err, bodyErr); {
		case errors.Is(bodyErr, sql.ErrNoRows): // erased meanwhile
		case bodyErr != nil && !errors.Is(bodyErr, compact.ErrDamaged):
			return nil, bodyErr
		case err != nil:
			found = append(found, contract.Original{EventID: r.ID, Unreadable: err})
		default:
			found = append(found, contract.Original{EventID: r.ID, Headers: headers, Body: body, Redacted: r.State == bodyRedacted, Deferred: !fits})
		}
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

// LockStates reads these events' states and locks them until the transaction ends, in the
// order of their ids. It omits unknown events.
func (m *Module) LockStates(ctx context.Context, tx *database.Tx, eventIDs []string) ([]contract.EventState, error) {
	return lockStates(ctx, tx, eventIDs, tx.Dialect.ForUpdate)
}

// LockFreeStates is LockStates without the events whose states another transaction holds: it
// waits for none.
func (m *Module) LockFreeStates(ctx context.Context, tx *database.Tx, eventIDs []string) ([]contract.EventState, error) {
	return lockStates(ctx, tx, eventIDs, tx.Dialect.SkipLocked)
}

func lockStates(ctx context.Context, tx *database.Tx, eventIDs []string, locking string) ([]contract.EventState, error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	var rows []stateRow
	if err := tx.SelectRows(ctx, &rows, database.IDs(eventIDs), selectStatesSQL+locking); err != nil {
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
SELECT e.integration_id, e.source, s.erased_at IS NOT NULL AS erased
FROM   normalized_events e
LEFT   JOIN event_states s ON s.event_id = e.id
WHERE  e.id = $1`

// Integration returns an event's integration. It returns fault.NotFound
// if the event does not exist in the caller's scope, and fault.Conflict if it was erased. Retention
// does not remove the event before tx ends, and sees then what tx made of it.
func (m *Module) Integration(ctx context.Context, tx *database.Tx, eventID string) (integrationID string, err error) {
	var row struct {
		IntegrationID string `db:"integration_id"`
		Source        string `db:"source"`
		Erased        bool   `db:"erased"`
	}
	switch err := tx.Get(ctx, &row, selectIntegrationOfSQL+tx.Dialect.KeepEvent, eventID); {
	case errors.Is(err, sql.ErrNoRows):
		return "", noEvent(eventID)
	case err != nil:
		return "", fmt.Errorf("find the integration of event %s: %w", eventID, err)
	case !httpapi.SeesSource(ctx, row.Source):
		return "", noEvent(eventID)
	case row.Erased:
		return "", fault.Conflict.New("event_erased", "The event %s was erased, so there is nothing left to send.", eventID)
	}
	return row.IntegrationID, nil
}

// SourceOfEvent returns an event's source; "" if there is no such event.
func (m *Module) SourceOfEvent(ctx context.Context, eventID string) (source string, err error) {
	err = m.d.DB.Get(ctx, &source, `SELECT source FROM normalized_events WHERE id = $1`, eventID)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("find the source of event %s: %w", eventID, err)
	}
	return source, nil
}

func noEvent(eventID string) error {
	return fault.NotFound.New("event_not_found", "There is no event %s.", eventID)
}
