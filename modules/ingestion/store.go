package ingestion

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// SQLite parses INSERT … SELECT with ON CONFLICT only with a WHERE, and v may have rows of
// NULL.
const insertKeysSQL = `
INSERT INTO idempotency_keys (idempotency_key, event_id)
SELECT idempotency_key, event_id FROM v WHERE idempotency_key IS NOT NULL
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING idempotency_key`

// The event's row has the correlation id. Where retention is about to remove the key of an
// event that is gone, the event's id stands in for it.
const selectKeysSQL = `
SELECT k.idempotency_key, k.event_id, COALESCE(` + id.CorrelationSQL + `, CAST(k.event_id AS text)) AS correlation_id
FROM   idempotency_keys k
JOIN   v ON v.idempotency_key = k.idempotency_key
LEFT   JOIN normalized_events e ON e.id = k.event_id`

type keyRow struct {
	Key           string `db:"idempotency_key"`
	EventID       string `db:"event_id"`
	CorrelationID string `db:"correlation_id"`
}

// keyClaims holds the owner of each idempotency key in a group, and which keys are new.
type keyClaims struct {
	owner map[string]keyOwner
	won   map[string]bool
}

// claimKeys assigns each new key to the first draft that has it. It waits for keys that
// another transaction is about to commit, so that no answer names an event that is then
// rolled back. If fresh is set, an existing key fails the transaction.
func claimKeys(ctx context.Context, tx *database.Tx, webhooks []verifiedWebhook, fresh bool) (keyClaims, error) {
	claims := keyClaims{owner: map[string]keyOwner{}, won: map[string]bool{}}
	if len(webhooks) == 0 {
		return claims, nil
	}
	var keys []string
	for _, w := range webhooks {
		for _, e := range w.events {
			if _, ok := claims.owner[e.key]; !ok {
				claims.owner[e.key] = keyOwner{e.id, w.correlationID}
				keys = append(keys, e.key)
			}
		}
	}
	slices.Sort(keys) // locking the same keys in different orders would deadlock
	rows := database.NewRows("idempotency_key text", "event_id uuid").Expect(len(keys))
	for _, key := range keys {
		rows.Add(key, claims.owner[key].eventID)
	}
	var won []string
	if fresh {
		if err := tx.Insert(ctx, "idempotency_keys", rows); err != nil {
			return claims, err
		}
		won = keys
	} else if err := tx.SelectRows(ctx, &won, rows, insertKeysSQL); err != nil {
		return claims, fmt.Errorf("claim idempotency keys: %w", err)
	}
	for _, key := range won {
		claims.won[key] = true
	}
	return claims, claims.lookUp(ctx, tx, keys)
}

// lookUp finds the owners of the keys that were not won.
func (c keyClaims) lookUp(ctx context.Context, tx *database.Tx, keys []string) error {
	lost := database.NewRows("idempotency_key text")
	for _, key := range keys {
		if !c.won[key] {
			lost.Add(key)
		}
	}
	if lost.Len() == 0 {
		return nil
	}
	var first []keyRow
	if err := tx.SelectRows(ctx, &first, lost, selectKeysSQL); err != nil {
		return fmt.Errorf("look up idempotency keys: %w", err)
	}
	if len(first) != lost.Len() { // deleted by retention meanwhile; the sender's retry claims it
		return fault.Unavailable.New("key_vanished", "The event was removed while its duplicate was received.")
	}
	for _, f := range first {
		c.owner[f.Key] = keyOwner{f.EventID, f.CorrelationID}
	}
	return nil
}

// newWebhooks returns the webhooks with new events, without their known events, which become
// their repeats.
func (c keyClaims) newWebhooks(webhooks []verifiedWebhook) []verifiedWebhook {
	var newWebhooks []verifiedWebhook
	for _, w := range webhooks {
		all := w.events
		w.events = slices.DeleteFunc(slices.Clone(all), func(d draft) bool { return !c.isNew(d) })
		if len(w.events) == 0 {
			continue
		}
		for _, d := range all {
			owner := c.owner[d.key].eventID
			own := slices.ContainsFunc(w.events, func(e draft) bool { return e.id == owner })
			if !own && !slices.Contains(w.repeats, owner) {
				w.repeats = append(w.repeats, owner)
			}
		}
		newWebhooks = append(newWebhooks, w)
	}
	return newWebhooks
}

// isNew reports whether the draft's key is its own.
func (c keyClaims) isNew(d draft) bool { return c.won[d.key] && c.owner[d.key].eventID == d.id }

func insertWebhooks(ctx context.Context, tx *database.Tx, newWebhooks []verifiedWebhook) error {
	rows := database.NewRows("id uuid", "external_event_id text", "idempotency_key text", "header_set_id bigint", "request_headers bytea",
		"raw_body bytea", "body_state text", "possible_replay boolean", "source_ip text", "marks text").Expect(len(newWebhooks))
	for _, w := range newWebhooks {
		externalID, key := w.ownKey()
		rows.Add(w.webhookID, externalID, key, w.headerSet, w.compactHeaders, w.compactBody, w.bodyState(), w.possibleReplay, w.sourceIP, w.ownMarks())
	}
	if err := tx.Insert(ctx, "webhook_events", rows); err != nil {
		return err
	}
	return insertRepeats(ctx, tx, newWebhooks)
}

// ownKey returns the id and key of the first event as the webhook's row stores them: neither,
// where the row of its only event yields both (see webhookRow.complete).
func (w verifiedWebhook) ownKey() (externalID, key *string) {
	first := w.events[0]
	if len(w.events) == 1 && ownDigest(w.source.Name, first.ID, first.key) == nil {
		return nil, nil
	}
	return first.ID, &first.key
}

// ownMarks returns the marks as the webhook's row stores them: none, if there are none.
func (w verifiedWebhook) ownMarks() *string {
	if len(w.marks) == 0 {
		return nil
	}
	text, _ := json.Marshal(w.marks) // strings always marshal
	stored := string(text)
	return &stored
}

// ownCorrelation returns the correlation id as an event's row stores it: none, where the
// event's id was made from it.
func ownCorrelation(eventID, correlationID string) *string {
	if correlationID == id.OfEvent(eventID) {
		return nil
	}
	return &correlationID
}

// ownHops returns the number of gateways as an event's row stores it.
func ownHops(hops int) *int {
	if hops == 0 {
		return nil
	}
	return &hops
}

// insertEvents stores the events. created_at is the time in the id, so that lists in that
// order need no index of their own.
func insertEvents(ctx context.Context, tx *database.Tx, newWebhooks []verifiedWebhook) error {
	rows := database.NewRows("id uuid", "webhook_event_id uuid", "integration_id uuid", "source text", "provider text",
		"external_event_id text", "key_digest text", "event_type text", "subject text", "occurred_at timestamptz", "normalized_payload bytea",
		"correlation_id text", "hops bigint", "received_at timestamptz", "created_at timestamptz").Expect(len(newWebhooks))
	for _, w := range newWebhooks {
		for _, e := range w.events {
			if len(e.compactPayload) == 0 { // it would pass for an erased event
				return fmt.Errorf("store event %s: it has no payload", e.id)
			}
			rows.Add(e.id, w.webhookID, w.source.IntegrationID, w.source.Name, w.source.Spec.Name,
				e.ID, ownDigest(w.source.Name, e.ID, e.key), e.Type, e.Subject, e.OccurredAt, e.compactPayload, ownCorrelation(e.id, w.correlationID), ownHops(w.hops), w.receivedAt, id.Time(e.id))
		}
	}
	return tx.Insert(ctx, "normalized_events", rows)
}

// insertStates stores the events' states: pending, or processed with a reason if there are no
// jobs.
func insertStates(ctx context.Context, tx *database.Tx, newWebhooks []verifiedWebhook, scheduled map[string]contract.Scheduled) error {
	rows := database.NewRows("event_id uuid", "status text", "processing_attempts bigint", "last_error text", "last_processed_at timestamptz",
		"received_at timestamptz", "updated_at timestamptz").Expect(len(newWebhooks))
	for _, w := range newWebhooks {
		for _, e := range w.events {
			if to := scheduled[e.id]; len(to.Jobs) == 0 {
				rows.Add(e.id, string(contract.EventProcessed), 0, &to.Reason, tx.Now, w.receivedAt, tx.Now)
			} else {
				rows.Add(e.id, string(contract.EventPending), 0, nil, nil, w.receivedAt, tx.Now)
			}
		}
	}
	return tx.Insert(ctx, "event_states", rows)
}
