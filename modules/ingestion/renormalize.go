package ingestion

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/compact"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
)

// Why an event has no canonical form by the mapping of now. They stay true.
var (
	errNoWebhook  = errors.New("the webhook's own body and headers are gone with an erasure, so the event cannot be normalized again")
	errUnreadable = errors.New("its redacted body cannot be read")
	errMethod     = errors.New("the mapping reads the method, which is not stored with a webhook, and this provider's webhooks come by POST and by PUT")
	errOtherItems = errors.New("the mapping of now makes other events of the webhook, and which of them this one is cannot be told")
)

const selectRenormalizedSQL = `
SELECT e.id, e.source, e.external_event_id, e.key_digest, e.webhook_event_id, e.received_at, ` + payloadSizeSQL + `, %s,
       COALESCE(length(w.raw_body), 0) AS body_size, %s, w.request_headers, COALESCE(w.body_state, 'erased') AS body_state, h.headers AS header_set
FROM   normalized_events e
JOIN   v ON v.id = e.id
LEFT   JOIN webhook_events w ON w.id = e.webhook_event_id
LEFT   JOIN header_sets h ON h.id = w.header_set_id
ORDER  BY e.id`

// storedEvent is an event with its webhook, as they are stored.
type storedEvent struct {
	ID              string     `db:"id"`
	Source          string     `db:"source"`
	ExternalEventID *string    `db:"external_event_id"`
	KeyDigest       *string    `db:"key_digest"`
	WebhookID       string     `db:"webhook_event_id"`
	ReceivedAt      clock.Time `db:"received_at"`
	PayloadSize     int        `db:"payload_size"`
	Payload         []byte     `db:"normalized_payload"`
	BodySize        int        `db:"body_size"`
	Body            []byte     `db:"raw_body"` // nil if it is large
	Headers         []byte     `db:"request_headers"`
	State           string     `db:"body_state"`
	HeaderSet       []byte     `db:"header_set"`
}

// renormalizedWebhook is what the mapping of now makes of a webhook.
type renormalizedWebhook struct {
	events []provider.Event
	keys   []string // of the events, in the same order
	err    error
}

// Renormalize returns the canonical form that each of these events has now by its source's
// mapping and redaction of now, in the order of their ids. It stores nothing. It omits unknown and
// erased events.
//
// An event of several in one webhook is found again by its idempotency key; where the mapping
// of the key has changed, by its place among the webhook's events.
func (m *Module) Renormalize(ctx context.Context, eventIDs []string) ([]contract.Renormalized, error) {
	return m.renormalize(ctx, eventIDs, m.activeSource)
}

// activeSource finds a source that is not disabled.
func (m *Module) activeSource(ctx context.Context, name string) (*provider.Source, error) {
	s, err := m.d.Sources.Source(ctx, name)
	if err == nil && s.Disabled {
		return nil, provider.NoSource()
	}
	return s, err
}

// sourceFinder finds a source by its name.
type sourceFinder func(ctx context.Context, name string) (*provider.Source, error)

func (m *Module) renormalize(ctx context.Context, eventIDs []string, find sourceFinder) ([]contract.Renormalized, error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	var rows []storedEvent
	if err := m.d.DB.SelectRows(ctx, &rows, database.IDs(eventIDs), fmt.Sprintf(selectRenormalizedSQL, payloadSQL, bodySQL)); err != nil {
		return nil, fmt.Errorf("read events to normalize: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(e storedEvent) bool { return e.PayloadSize == 0 }) // erased
	list := make([]contract.Renormalized, len(rows))
	webhooks := map[string]renormalizedWebhook{}
	var unplaced []int // those that are not found by their keys
	for i, e := range rows {
		list[i].EventID = e.ID
		one := content{db: m.d.DB} // each alone fits
		var err error
		if list[i].Stored, _, err = one.payload(ctx, e.ID, e.PayloadSize, e.Payload, e.Body); err != nil {
			if !errors.Is(err, compact.ErrDamaged) {
				return nil, err
			}
			list[i].Problem = err
			continue
		}
		w, done := webhooks[e.WebhookID]
		if !done {
			w = m.normalizeAgain(ctx, e, list[i].Stored, find)
			webhooks[e.WebhookID] = w
		}
		if list[i].Problem = w.err; w.err != nil {
			continue
		}
		at := slices.IndexFunc(w.keys, func(key string) bool { return hash([]byte(key)) == keyDigest(e.Source, e.ExternalEventID, e.KeyDigest) })
		if at < 0 {
			unplaced = append(unplaced, i)
			continue
		}
		take(&list[i], w.events[at])
	}
	if len(unplaced) == 0 {
		return list, nil
	}
	places, err := m.placesOf(ctx, rows, unplaced)
	if err != nil {
		return nil, err
	}
	for _, i := range unplaced {
		siblings, w := places[rows[i].WebhookID], webhooks[rows[i].WebhookID]
		if len(siblings) != len(w.events) {
			list[i].Problem = errOtherItems
			continue
		}
		take(&list[i], w.events[slices.Index(siblings, rows[i].ID)])
	}
	return list, nil
}

func take(r *contract.Renormalized, e provider.Event) {
	r.EventType, r.Payload = e.Type, e.Payload
}

// normalizeAgain makes the events of e's webhook anew. The webhook was verified when it was
// received, so that its id that was signed is the one that is stored.
func (m *Module) normalizeAgain(ctx context.Context, e storedEvent, payload []byte, find sourceFinder) (w renormalizedWebhook) {
	if e.State == bodyErased {
		return renormalizedWebhook{err: errNoWebhook}
	}
	one := content{db: m.d.DB}
	body, _, err := one.body(ctx, e.ID, e.WebhookID, e.BodySize, e.Body)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return renormalizedWebhook{err: errNoWebhook}
	case err != nil:
		return renormalizedWebhook{err: err}
	}
	src, err := find(ctx, e.Source)
	if err != nil {
		return renormalizedWebhook{err: fmt.Errorf("find the mapping of source %s: %w", e.Source, err)}
	}
	req, err := e.request(payload, body)
	if err != nil {
		return renormalizedWebhook{err: err}
	}
	method, known := src.Spec.StoredMethod()
	if !known {
		return renormalizedWebhook{err: errMethod}
	}
	req.Method = method
	if w.events, w.err = src.Spec.Normalize(req); w.err != nil {
		return renormalizedWebhook{err: fmt.Errorf("the mapping of now refuses the webhook: %w", w.err)}
	}
	w.keys = idempotencyKeys(src.Name, src.Spec.Deduplication, w.events, req.Body)
	if src.Redaction.None() {
		return w
	}
	clean, read := provider.Redact(req, src.Redaction)
	if !read {
		return renormalizedWebhook{err: errUnreadable}
	}
	if w.events, err = src.Spec.RedactedEvents(clean, w.events); err != nil {
		return renormalizedWebhook{err: fmt.Errorf("the redaction of now %w", err)}
	}
	return w
}

// request rebuilds the verified request of e's webhook, without credentials.
func (e storedEvent) request(payload, body []byte) (provider.Request, error) {
	req := provider.Request{Header: http.Header{}, Body: body, ReceivedAt: e.ReceivedAt.Time}
	headers, err := openHeaders("event", e.ID, e.Headers, e.HeaderSet)
	if err != nil {
		return req, err
	}
	var kept map[string][]string
	_ = json.Unmarshal(headers, &kept) // written by storedHeaders
	for name, values := range kept {
		for _, value := range values {
			req.Header.Add(name, value)
		}
	}
	if e.State == bodyRedacted { // a form was stored as JSON
		req.Header.Set("Content-Type", "application/json")
	}
	var canonical struct {
		ExternalEventID *string `json:"externalEventId"`
	}
	_ = json.Unmarshal(payload, &canonical) // one without an id has none that was signed
	if canonical.ExternalEventID != nil {
		req.SignedID = *canonical.ExternalEventID
	}
	return req, nil
}

const selectSiblingsSQL = `
SELECT e.webhook_event_id, e.id
FROM   normalized_events e
WHERE  e.id >= $1 AND e.id < $2 AND e.webhook_event_id IN (SELECT v.id FROM v)
ORDER  BY e.id`

// placesOf returns the events of the webhooks of some of rows, in their order in the body, by
// webhook. The ids of a webhook's events are in that order.
func (m *Module) placesOf(ctx context.Context, rows []storedEvent, some []int) (map[string][]string, error) {
	var webhooks []string
	from, to := rows[some[0]].ID, rows[some[0]].ID
	for _, i := range some {
		webhooks, from, to = append(webhooks, rows[i].WebhookID), min(from, rows[i].ID), max(to, rows[i].ID)
	}
	slices.Sort(webhooks)
	var siblings []struct {
		WebhookID string `db:"webhook_event_id"`
		ID        string `db:"id"`
	}
	err := m.d.DB.SelectRows(ctx, &siblings, database.IDs(slices.Compact(webhooks)), selectSiblingsSQL,
		id.Floor(id.Time(from).Add(-maxIDSpread)), id.Floor(id.Time(to).Add(maxIDSpread)))
	if err != nil {
		return nil, fmt.Errorf("look for the events of webhooks: %w", err)
	}
	places := make(map[string][]string, len(webhooks))
	for _, s := range siblings {
		places[s.WebhookID] = append(places[s.WebhookID], s.ID)
	}
	return places, nil
}
