package ingestion

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

const (
	eventColumns = `e.id, e.webhook_event_id, e.integration_id, e.source, e.provider, e.external_event_id, e.event_type,
	e.subject, e.occurred_at, ` + payloadSizeSQL + `, %s, %s,
	s.status, s.processing_attempts, s.last_error, s.last_processed_at,
	s.erased_at, ` + id.CorrelationSQL + ` AS correlation_id, e.received_at, e.created_at, s.updated_at`
	eventsOnly  = `normalized_events e` // each of them has a state
	statesOnly  = `event_states s`      // and the other way round
	eventTables = `normalized_events e JOIN event_states s ON s.event_id = e.id`
)

// eventOrder is a sort order of GET /events. Orders by time have cursors.
type eventOrder struct {
	name     string // the value of sortBy
	received string // the column of receivedAt
	columns  []string
	at       func(eventRow) time.Time // nil: no cursors
	desc     bool
}

func eventOrderOf(q *httpapi.Query) eventOrder {
	received := receivedColumn(q)
	orders := []eventOrder{
		{name: "receivedAt", columns: []string{received}, at: func(e eventRow) time.Time { return e.ReceivedAt.Time }},
		{name: "createdAt", at: func(e eventRow) time.Time { return e.CreatedAt.Time }}, // ids contain the time of creation
		{name: "occurredAt", columns: []string{"e.occurred_at"}, at: func(e eventRow) time.Time { return e.OccurredAt.Time }},
		{name: "status", columns: []string{"s.status", "s.received_at"}},
	}
	by, desc := q.Enum("sortBy"), q.Enum("sortOrder") == "desc"
	for _, o := range orders {
		if o.name == by {
			o.desc, o.received = desc, received
			return o
		}
	}
	return orders[0] // q holds the error
}

// receivedColumn is the column of receivedAt, which both tables have: the one in the table
// whose index fits the query's conditions.
func receivedColumn(q *httpapi.Query) string {
	others := q.Text("correlationId") != "" || slices.ContainsFunc(exactly, func(e exact) bool { return q.Text(e.parameter) != "" })
	if q.Enum("status") == "" || others || q.Text("provider") != "" {
		return "e.received_at"
	}
	return "s.received_at"
}

// cursorName names this order in its cursors; "" if it has none.
func (o eventOrder) cursorName() string {
	switch {
	case o.at == nil:
		return ""
	case o.desc:
		return "-" + o.name
	}
	return o.name
}

// eventColumnsOf renders eventColumns.
func eventColumnsOf(d database.Dialect) string {
	return fmt.Sprintf(eventColumns, payloadSQL, baseSQL(d, "(SELECT w.raw_body FROM webhook_events w WHERE w.id = e.webhook_event_id)"))
}

func (o eventOrder) listing(d database.Dialect) database.Listing[eventRow] {
	l := database.Listing[eventRow]{Columns: eventColumnsOf(d), From: eventTables, Sort: o.columns, ID: "e.id", Desc: o.desc}
	if o.at != nil {
		l.Key = func(e eventRow) database.Position {
			return database.Position{Value: database.TimeValue(o.at(e)), ID: e.ID}
		}
	}
	return l
}

const selectEventSQL = `
SELECT %s
FROM   ` + eventTables + `
WHERE  e.id = $1`

// event returns an event. Events outside the caller's scope are not found.
func (m *Module) event(ctx context.Context, eventID string) (eventRow, error) {
	var e eventRow
	switch err := m.d.DB.Get(ctx, &e, fmt.Sprintf(selectEventSQL, eventColumnsOf(m.d.DB.Dialect)), eventID); {
	case errors.Is(err, sql.ErrNoRows):
		return e, noEvent(eventID)
	case err != nil:
		return e, fmt.Errorf("read event %s: %w", eventID, err)
	case !httpapi.SeesSource(ctx, e.Source):
		return e, noEvent(eventID)
	}
	return e, e.open(ctx, &content{db: m.d.DB})
}

const selectWebhookSQL = `
SELECT w.id, w.external_event_id, w.idempotency_key, w.request_headers, h.headers AS header_set,
       w.raw_body, w.body_state, w.possible_replay, w.source_ip, w.marks
FROM   webhook_events w
LEFT   JOIN header_sets h ON h.id = w.header_set_id
WHERE  w.id = $1`

// webhook returns the request that contained an event, or nil if retention has deleted it.
func (m *Module) webhook(ctx context.Context, e eventRow) (*webhookView, error) {
	var w webhookRow
	switch err := m.d.DB.Get(ctx, &w, selectWebhookSQL, e.WebhookEventID); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil //nolint:nilnil // absent values are null
	case err != nil:
		return nil, fmt.Errorf("read webhook %s: %w", e.WebhookEventID, err)
	}
	if err := w.open(); err != nil {
		return nil, err
	}
	v := w.view(e)
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

// selectMatchedSQL finds the events that a filter matches, and how many these are up to the largest
// exact total, by one look into an index of subjects: at ten million events such a look takes
// longer than all the rest of a page, and the total would take another.
const selectMatchedSQL = `
WITH matched AS MATERIALIZED (
    SELECT e.id, e.received_at FROM normalized_events e%[1]s LIMIT %[2]d
)
SELECT id, (SELECT count(*) FROM matched) AS total
FROM   matched%[3]s
ORDER  BY received_at %[4]s, id %[4]s
LIMIT  %[5]d OFFSET %[6]d`

const selectEventsSQL = `
SELECT %s
FROM   ` + eventTables + `
WHERE  e.id IN (SELECT id FROM v)`

// readEvents reads a page of events.
func (m *Module) readEvents(ctx context.Context, q *httpapi.Query, l database.Listing[eventRow], f *database.Filter, p database.Page) (database.List[eventRow], error) {
	if q.Text("subject")+q.Text(exactSubject) != "" && q.Enum("status") == "" && q.Enum("sortBy") == "receivedAt" {
		if list, read, err := m.eventsOfSubject(ctx, l, f, p); read || err != nil {
			return list, err
		}
	}
	return database.ReadList(ctx, m.d.DB, l, f, p)
}

// eventsOfSubject reads a page of the events that match f, sorted by their receipt; false if they
// are too many for that.
func (m *Module) eventsOfSubject(ctx context.Context, l database.Listing[eventRow], f *database.Filter, p database.Page) (list database.List[eventRow], read bool, err error) {
	direction, compare := "ASC", ">"
	if l.Desc {
		direction, compare = "DESC", "<"
	}
	where, _ := f.Where()
	after, skip := f.Continue(), (p.Number-1)*p.Size
	if p.After != nil {
		received, err := time.Parse(time.RFC3339Nano, p.After.Value)
		if err != nil {
			return list, false, nil //nolint:nilerr // the list's own reading says what is wrong with the cursor
		}
		skip = 0
		after.Add("(received_at, id) "+compare+" (?, ?)", received.UTC(), p.After.ID)
	}
	from, args := after.Where()
	var found []struct {
		ID    string `db:"id"`
		Total int    `db:"total"`
	}
	query := fmt.Sprintf(selectMatchedSQL, where, database.CountedAtMost+1, from, direction, p.Size+1, skip)
	if err := m.d.DB.Select(ctx, &found, query, args...); err != nil {
		return list, false, fmt.Errorf("find events by their subject: %w", err)
	}
	list.Items = []eventRow{}
	switch {
	case len(found) == 0:
		return list, skip == 0 && p.After == nil, nil
	case found[0].Total > database.CountedAtMost:
		return list, false, nil
	}
	list.Total = found[0].Total
	places := map[string]int{}
	for i, event := range found[:min(len(found), p.Size)] {
		places[event.ID] = i
	}
	if err := m.d.DB.SelectRows(ctx, &list.Items, database.IDs(slices.Collect(maps.Keys(places))), fmt.Sprintf(selectEventsSQL, l.Columns)); err != nil {
		return list, false, fmt.Errorf("read the events of a subject: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b eventRow) int { return places[a.ID] - places[b.ID] })
	if len(found) > p.Size && len(list.Items) > 0 {
		next := l.Key(list.Items[len(list.Items)-1])
		list.Next = &next
	}
	return list, true, nil
}
