package ingestion

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

const (
	eventColumns = `e.id, e.webhook_event_id, e.integration_id, e.source, e.provider, e.external_event_id, e.event_type,
	e.subject, e.occurred_at, e.normalized_payload, s.status, s.processing_attempts, s.last_error, s.last_processed_at,
	s.erased_at, e.correlation_id, e.received_at, e.created_at, s.updated_at`
	eventsAlone = `normalized_events e` // each of them has a state
	statesAlone = `event_states s`      // and the other way round
	eventTables = `normalized_events e JOIN event_states s ON s.event_id = e.id`
)

// eventOrder is an order of GET /events. Those by a time have cursors.
type eventOrder struct {
	name     string // as sortBy has it
	received string // the column of receivedAt
	columns  []string
	at       func(eventRow) time.Time // nil: no cursors
	desc     bool
}

func eventOrderOf(q *httpapi.Query) eventOrder {
	received := receivedColumn(q)
	orders := []eventOrder{
		{name: "receivedAt", columns: []string{received}, at: func(e eventRow) time.Time { return e.ReceivedAt.Time }},
		{name: "createdAt", at: func(e eventRow) time.Time { return e.CreatedAt.Time }}, // an id says when it was made
		{name: "occurredAt", columns: []string{"e.occurred_at"}, at: func(e eventRow) time.Time { return e.OccurredAt.Time }},
		{name: "status", columns: []string{"s.status", "s.received_at"}},
	}
	by, desc := q.Enum("sortBy", "receivedAt", "createdAt", "occurredAt", "status", "receivedAt"), q.Enum("sortOrder", "desc", "asc", "desc") == "desc"
	for _, o := range orders {
		if o.name == by {
			o.desc, o.received = desc, received
			return o
		}
	}
	return orders[0] // q has noted the mistake
}

// receivedColumn is the column of receivedAt: both tables have it. Those of a status lie in its
// order in an index, and so do those of a source or a type in one of the other table.
func receivedColumn(q *httpapi.Query) string {
	others := slices.ContainsFunc(exactly, func(e exact) bool { return q.Text(e.parameter) != "" })
	if q.Text("status") == "" || others || q.Text("provider") != "" {
		return "e.received_at"
	}
	return "s.received_at"
}

// cursorName is what this order's cursors are marked with, "" when it has none.
func (o eventOrder) cursorName() string {
	switch {
	case o.at == nil:
		return ""
	case o.desc:
		return "-" + o.name
	}
	return o.name
}

func (o eventOrder) listing() database.Listing[eventRow] {
	l := database.Listing[eventRow]{Columns: eventColumns, From: eventTables, Sort: o.columns, ID: "e.id", Desc: o.desc}
	if o.at != nil {
		l.Key = func(e eventRow) database.Position {
			return database.Position{Value: database.TimeValue(o.at(e)), ID: e.ID}
		}
	}
	return l
}

const selectEventSQL = `
SELECT ` + eventColumns + `
FROM   ` + eventTables + `
WHERE  e.id = $1`

// event gives an event; those outside the caller's scope are not there.
func (m *Module) event(ctx context.Context, eventID string) (eventRow, error) {
	var e eventRow
	switch err := m.d.DB.Get(ctx, &e, selectEventSQL, eventID); {
	case errors.Is(err, sql.ErrNoRows):
		return e, noEvent(eventID)
	case err != nil:
		return e, fmt.Errorf("read event %s: %w", eventID, err)
	case !httpapi.SeesSource(ctx, e.Source):
		return e, noEvent(eventID)
	}
	return e, nil
}

const selectWebhookSQL = `
SELECT id, provider, external_event_id, idempotency_key, signature_valid, request_headers, raw_body, body_state, source_ip, received_at
FROM   webhook_events
WHERE  id = $1`

// webhook gives the request that an event came with; nil when it is no longer kept.
func (m *Module) webhook(ctx context.Context, webhookID string) (*webhookView, error) {
	var w webhookRow
	switch err := m.d.DB.Get(ctx, &w, selectWebhookSQL, webhookID); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil //nolint:nilnil // absent values are null
	case err != nil:
		return nil, fmt.Errorf("read webhook %s: %w", webhookID, err)
	}
	v := w.view()
	return &v, nil
}

const selectStatusSQL = `
SELECT event_id, status, processing_attempts, last_error, last_processed_at
FROM   event_states
WHERE  event_id = $1`

func (m *Module) status(ctx context.Context, eventID string) (statusView, error) {
	var s statusView
	switch err := m.d.DB.Get(ctx, &s, selectStatusSQL, eventID); {
	case errors.Is(err, sql.ErrNoRows):
		return s, noEvent(eventID)
	case err != nil:
		return s, fmt.Errorf("read the status of event %s: %w", eventID, err)
	}
	return s, nil
}
