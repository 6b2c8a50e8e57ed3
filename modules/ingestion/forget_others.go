package ingestion

import (
	"context"
	"fmt"

	"integration-gateway/platform/compact"
	"integration-gateway/platform/database"
)

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
