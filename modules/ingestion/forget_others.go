package ingestion

import (
	"context"
	"fmt"
	"slices"

	"integration-gateway/platform/compact"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// Webhooks are locked before their events are read, so that two erasures in one webhook do not
// write each other's payloads.
const lockWebhooksSQL = `
SELECT w.id
FROM   webhook_events w
WHERE  w.id IN (SELECT e.webhook_event_id FROM normalized_events e JOIN v ON v.id = e.id) AND w.body_state <> 'erased'
ORDER  BY w.id`

const selectEventsOfSQL = `
SELECT e.id
FROM   v
JOIN   normalized_events e ON e.id >= v.first AND e.id < v.last AND e.webhook_event_id = v.id
ORDER  BY e.id`

const selectPayloadsSQL = `
SELECT e.id, e.normalized_payload, w.raw_body
FROM   normalized_events e
JOIN   v ON v.id = e.id
JOIN   webhook_events w ON w.id = e.webhook_event_id`

const updatePayloadsSQL = `
UPDATE normalized_events SET normalized_payload = v.normalized_payload
FROM   v
WHERE  normalized_events.id = v.id`

// detachBatch is the number of payloads that are rewritten at once, with their bodies.
const detachBatch = 10

// detachOthers rewrites the payloads of the other events of these events' webhooks, so that they
// can be read without the bodies that are about to be erased.
func (m *Module) detachOthers(ctx context.Context, tx *database.Tx, eventIDs []string) error {
	var webhooks, others []string
	if err := tx.SelectRows(ctx, &webhooks, database.IDs(eventIDs), lockWebhooksSQL+tx.Dialect.ForUpdate); err != nil {
		return fmt.Errorf("lock webhooks: %w", err)
	}
	if len(webhooks) == 0 {
		return nil
	}
	near := database.NewRows("id uuid", "first uuid", "last uuid").Expect(len(webhooks))
	for _, w := range webhooks {
		near.Add(w, id.Floor(id.Time(w).Add(-maxIDSpread)), id.Floor(id.Time(w).Add(maxIDSpread)))
	}
	if err := tx.SelectRows(ctx, &others, near, selectEventsOfSQL); err != nil {
		return fmt.Errorf("look for the events of webhooks: %w", err)
	}
	forgotten := make(map[string]bool, len(eventIDs))
	for _, eventID := range eventIDs {
		forgotten[eventID] = true
	}
	others = slices.DeleteFunc(others, func(eventID string) bool { return forgotten[eventID] })
	for piece := range slices.Chunk(others, detachBatch) {
		if err := detach(ctx, tx, piece); err != nil {
			return err
		}
	}
	return nil
}

func detach(ctx context.Context, tx *database.Tx, eventIDs []string) error {
	var stored []struct {
		ID      string `db:"id"`
		Payload []byte `db:"normalized_payload"`
		Body    []byte `db:"raw_body"`
	}
	if err := tx.SelectRows(ctx, &stored, database.IDs(eventIDs), selectPayloadsSQL); err != nil {
		return fmt.Errorf("read payloads: %w", err)
	}
	rows := database.NewRows("id uuid", "normalized_payload bytea")
	for _, s := range stored {
		if !compact.NeedsBase(s.Payload) {
			continue
		}
		payload, err := openPayload(s.ID, s.Payload, s.Body)
		if err != nil {
			return err
		}
		rows.Add(s.ID, compact.Alone(payload))
	}
	if rows.Len() == 0 {
		return nil
	}
	if _, err := tx.ExecRows(ctx, rows, updatePayloadsSQL); err != nil {
		return fmt.Errorf("rewrite payloads: %w", err)
	}
	return nil
}
