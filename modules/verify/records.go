package verify

import (
	"context"
	"fmt"
	"strings"

	"integration-gateway/platform/contract"
)

const selectEndlessSQL = `
SELECT r.id, r.normalized_event_id AS event_id, r.status, COALESCE(e.source, '') AS source
FROM   replay_requests r
LEFT   JOIN normalized_events e ON e.id = r.normalized_event_id
WHERE  r.id > $1 AND r.id <= $2 AND r.status IN ('queued', 'dispatched') AND r.created_at < $3
AND   (r.dispatched_at IS NULL OR r.dispatched_at < $3)
AND    NOT EXISTS (SELECT 1 FROM processing_jobs j WHERE j.replay_request_id = r.id AND j.status IN ('queued', 'running'))
ORDER  BY r.id`

// readReplays finds requests that nothing will end.
func (t *tally) readReplays(ctx context.Context, s span) error {
	var rows []struct {
		ID      string `db:"id"`
		EventID string `db:"event_id"`
		Status  string `db:"status"`
		Source  string `db:"source"`
	}
	if err := t.m.d.DB.Select(ctx, &rows, selectEndlessSQL, s.after, s.upTo, t.m.cutoff()); err != nil {
		return err
	}
	for _, r := range rows {
		p := Problem{Source: r.Source, EventID: r.EventID, ReplayRequestID: r.ID, Detail: "it is " + r.Status}
		if err := t.found(ctx, string(contract.DamageReplay), p); err != nil {
			return err
		}
	}
	return nil
}

const selectKeysSQL = `
SELECT k.idempotency_key, k.event_id,
       (k.created_at < $3 AND (SELECT e.id FROM normalized_events e WHERE e.id = k.event_id) IS NULL) AS lost
FROM  (SELECT idempotency_key, event_id, created_at
       FROM   idempotency_keys
       WHERE  idempotency_key > $1
       ORDER  BY idempotency_key
       LIMIT  $2) AS k
ORDER  BY k.idempotency_key`

// readKeys finds keys that would have a sender told "duplicate" of an event that is not
// there. A key starts with its source.
func (t *tally) readKeys(ctx context.Context) error {
	after := ""
	for {
		var rows []struct {
			Key     string `db:"idempotency_key"`
			EventID string `db:"event_id"`
			Lost    bool   `db:"lost"`
		}
		if err := t.m.d.DB.Select(ctx, &rows, selectKeysSQL, after, t.m.cfg.Batch, t.m.cutoff()); err != nil {
			return err
		}
		for _, r := range rows {
			if !r.Lost {
				continue
			}
			p := Problem{Source: sourceOf(r.Key), EventID: r.EventID, IdempotencyKey: r.Key}
			if err := t.found(ctx, lostKey, p); err != nil {
				return err
			}
		}
		if len(rows) < t.m.cfg.Batch {
			return nil
		}
		after = rows[len(rows)-1].Key
	}
}

func sourceOf(key string) string {
	source, _, _ := strings.Cut(key, ":")
	return source
}

const countDeadLettersSQL = `
SELECT kind, status, count(*) AS n
FROM   dead_letters
WHERE  id > $1 AND id <= $2
GROUP  BY kind, status`

func (t *tally) readDeadLetters(ctx context.Context, s span) error {
	var counts []struct {
		Kind   string `db:"kind"`
		Status string `db:"status"`
		N      int    `db:"n"`
	}
	if err := t.m.d.DB.Select(ctx, &counts, countDeadLettersSQL, s.after, s.upTo); err != nil {
		return fmt.Errorf("count dead letters: %w", err)
	}
	for _, c := range counts {
		d := t.dead[c.Kind]
		switch c.Status {
		case "open":
			d.Open += c.N
		case "requeued":
			d.Requeued += c.N
		case "resolved":
			d.Resolved += c.N
		}
		t.dead[c.Kind] = d
	}
	return nil
}
