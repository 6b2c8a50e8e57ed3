package ingestion

import (
	"context"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/compact"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// maxIDSpread bounds the time between the ids of one webhook's events. It limits the search,
// since no index finds events by their webhook.
const maxIDSpread = time.Second

// OthersOf returns the other events whose original body goes when these are erased.
func (m *Module) OthersOf(ctx context.Context, eventIDs []string) (ids []string, err error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	var webhooks []string
	if err := m.d.DB.SelectRows(ctx, &webhooks, database.IDs(eventIDs), selectHoldersSQL); err != nil {
		return nil, fmt.Errorf("look for webhooks: %w", err)
	}
	return othersOf(webhooks, eventIDs, func(rows *database.Rows) (ids []string, err error) {
		return ids, m.d.DB.SelectRows(ctx, &ids, rows, selectEventsOfSQL)
	})
}

// othersOf returns the events of webhooks, without some. read reads selectEventsOfSQL.
func othersOf(webhooks, eventIDs []string, read func(*database.Rows) ([]string, error)) ([]string, error) {
	if len(webhooks) == 0 {
		return nil, nil
	}
	near := database.NewRows("id uuid", "first uuid", "last uuid").Expect(len(webhooks))
	for _, w := range webhooks {
		near.Add(w, id.Floor(id.Time(w).Add(-maxIDSpread)), id.Floor(id.Time(w).Add(maxIDSpread)))
	}
	all, err := read(near)
	if err != nil {
		return nil, fmt.Errorf("look for the events of webhooks: %w", err)
	}
	without := make(map[string]bool, len(eventIDs))
	for _, eventID := range eventIDs {
		without[eventID] = true
	}
	return slices.DeleteFunc(all, func(eventID string) bool { return without[eventID] }), nil
}

// A body may hold the events of other subjects too. These events stay, without the body.
const forgetWebhooksSQL = `
UPDATE webhook_events SET raw_body = $1, request_headers = $2, header_set_id = NULL, source_ip = '', marks = NULL, body_state = 'erased'
WHERE  id IN (` + holdersSQL + `) AND body_state <> 'erased'`

const forgetEventsSQL = `
UPDATE normalized_events SET subject = NULL, normalized_payload = $1, correlation_id = CAST(normalized_events.id AS text)
FROM   v
WHERE  normalized_events.id = v.id`

const forgetStatesSQL = `
UPDATE event_states SET erased_at = $1, updated_at = $1
FROM   v
WHERE  event_states.event_id = v.id`

// Forget erases the contents of events and of their webhooks, and returns the number of
// webhooks. The caller has locked the events' states in tx. The rows and keys stay, so that a
// sender's retry is still recognised.
func (m *Module) Forget(ctx context.Context, tx *database.Tx, eventIDs []string) (webhooks int, err error) {
	if len(eventIDs) == 0 {
		return 0, nil
	}
	ids, nothing := database.IDs(eventIDs), []byte{}
	if err := m.detachOthers(ctx, tx, eventIDs); err != nil {
		return 0, err
	}
	n, err := tx.ExecRows(ctx, ids, forgetWebhooksSQL, nothing, []byte("{}"))
	if err != nil {
		return 0, fmt.Errorf("forget webhooks: %w", err)
	}
	if _, err := tx.ExecRows(ctx, ids, forgetEventsSQL, nothing); err != nil {
		return 0, fmt.Errorf("forget events: %w", err)
	}
	if _, err := tx.ExecRows(ctx, ids, forgetStatesSQL, tx.Now); err != nil {
		return 0, fmt.Errorf("mark events as erased: %w", err)
	}
	return int(n), nil
}

// Webhooks are locked before their events are read, so that two erasures in one webhook do not
// write each other's payloads.
const selectHoldersSQL = `
SELECT w.id
FROM   webhook_events w
WHERE  w.id IN (` + holdersSQL + `) AND w.body_state <> 'erased'
ORDER  BY w.id`

const selectEventsOfSQL = `
SELECT e.id
FROM   v
JOIN   normalized_events e ON e.id >= v.first AND e.id < v.last AND e.webhook_event_id = v.id
ORDER  BY e.id`

const selectLeaningSQL = `
SELECT e.id
FROM   normalized_events e
JOIN   v ON v.id = e.id
WHERE  %s`

const updatePayloadSQL = `
UPDATE normalized_events SET normalized_payload = $1 WHERE id = $2`

// detachOthers rewrites the payloads of the other events of these events' webhooks, so that they
// can be read without the bodies that are about to be erased.
func (m *Module) detachOthers(ctx context.Context, tx *database.Tx, eventIDs []string) error {
	var webhooks []string
	if err := tx.SelectRows(ctx, &webhooks, database.IDs(eventIDs), selectHoldersSQL+tx.Dialect.ForUpdate); err != nil {
		return fmt.Errorf("lock webhooks: %w", err)
	}
	others, err := othersOf(webhooks, eventIDs, func(rows *database.Rows) (ids []string, err error) {
		return ids, tx.SelectRows(ctx, &ids, rows, selectEventsOfSQL)
	})
	if err != nil || len(others) == 0 {
		return err
	}
	var leaning []string
	if err := tx.SelectRows(ctx, &leaning, database.IDs(others), fmt.Sprintf(selectLeaningSQL, leansSQL(tx.Dialect))); err != nil {
		return fmt.Errorf("look for payloads that need a body: %w", err)
	}
	for _, eventID := range leaning {
		if err := detach(ctx, tx, eventID); err != nil {
			return err
		}
	}
	return nil
}

// detach rewrites one payload. Each is read alone, since it may be large and so may its body.
func detach(ctx context.Context, tx *database.Tx, eventID string) error {
	var stored storedContent
	if err := tx.Get(ctx, &stored, fmt.Sprintf(selectContentSQL, leansSQL(tx.Dialect)), eventID); err != nil {
		return fmt.Errorf("read the payload of event %s: %w", eventID, err)
	}
	payload, err := openPayload(eventID, stored.Payload, stored.Body)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, updatePayloadSQL, compact.Alone(payload), eventID); err != nil {
		return fmt.Errorf("rewrite the payload of event %s: %w", eventID, err)
	}
	return nil
}
