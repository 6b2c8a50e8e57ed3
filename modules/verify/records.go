package verify

import (
	"context"
	"fmt"
	"strings"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/id"
)

// A request that goes to a URL has no job: it is due until it has ended.
const selectUnfinishedReplaysSQL = `
SELECT r.id, r.normalized_event_id AS event_id, r.status, COALESCE(e.source, '') AS source
FROM   replay_requests r
LEFT   JOIN normalized_events e ON e.id = r.normalized_event_id
WHERE  r.id > $1 AND r.id <= $2 AND r.status IN ('queued', 'dispatched') AND r.created_at < $3
AND   (r.dispatched_at IS NULL OR r.dispatched_at < $3)
AND    r.url_id IS NULL
AND    NOT EXISTS (SELECT 1 FROM processing_jobs j WHERE j.replay_request_id = r.id AND j.status IN ('queued', 'running'))
ORDER  BY r.id`

// readReplays finds requests that nothing will finish.
func (c *checker) readReplays(ctx context.Context, rng idRange) error {
	var rows []struct {
		ID      string `db:"id"`
		EventID string `db:"event_id"`
		Status  string `db:"status"`
		Source  string `db:"source"`
	}
	if err := c.m.d.DB.Select(ctx, &rows, selectUnfinishedReplaysSQL, rng.after, rng.upTo, c.m.cutoff()); err != nil {
		return err
	}
	for _, r := range rows {
		p := Problem{Source: r.Source, EventID: r.EventID, ReplayRequestID: r.ID, Detail: "it is " + r.Status}
		if err := c.record(ctx, string(contract.DamageReplay), p); err != nil {
			return err
		}
	}
	return nil
}

const selectKeysSQL = `
SELECT k.idempotency_key, k.event_id,
       (k.event_id < $3 AND (SELECT e.id FROM normalized_events e WHERE e.id = k.event_id) IS NULL) AS lost
FROM  (SELECT idempotency_key, event_id
       FROM   idempotency_keys
       WHERE  idempotency_key > $1
       ORDER  BY idempotency_key
       LIMIT  $2) AS k
ORDER  BY k.idempotency_key`

// readKeys finds keys that would answer "duplicate" for an event that does not exist. A key
// starts with its source.
func (c *checker) readKeys(ctx context.Context) error {
	after := ""
	for {
		var rows []struct {
			Key     string `db:"idempotency_key"`
			EventID string `db:"event_id"`
			Lost    bool   `db:"lost"`
		}
		if err := c.m.d.DB.Select(ctx, &rows, selectKeysSQL, after, c.m.cfg.Batch, id.Floor(c.m.cutoff())); err != nil {
			return err
		}
		for _, r := range rows {
			if !r.Lost {
				continue
			}
			p := Problem{Source: sourceOf(r.Key), EventID: r.EventID, IdempotencyKey: r.Key}
			if err := c.record(ctx, lostKey, p); err != nil {
				return err
			}
		}
		if len(rows) < c.m.cfg.Batch {
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

func (c *checker) readDeadLetters(ctx context.Context, rng idRange) error {
	var counts []struct {
		Kind   string `db:"kind"`
		Status string `db:"status"`
		N      int    `db:"n"`
	}
	if err := c.m.d.DB.Select(ctx, &counts, countDeadLettersSQL, rng.after, rng.upTo); err != nil {
		return fmt.Errorf("count dead letters: %w", err)
	}
	for _, n := range counts {
		d := c.dead[n.Kind]
		switch n.Status {
		case "open":
			d.Open += n.N
		case "requeued":
			d.Requeued += n.N
		case "resolved":
			d.Resolved += n.N
		}
		c.dead[n.Kind] = d
	}
	return nil
}

const selectRewindsSQL = `
SELECT id, lost_from, lost_until
FROM   database_rewinds
WHERE  acknowledged_at IS NULL
ORDER  BY id`

// everySource stands for all sources, for problems that concern no single one.
const everySource = "(every source)"

// readRewinds finds unacknowledged periods whose commits the database has lost. Providers
// have to resend what was accepted in them.
func (c *checker) readRewinds(ctx context.Context) error {
	var rows []struct {
		ID    string     `db:"id"`
		From  clock.Time `db:"lost_from"`
		Until clock.Time `db:"lost_until"`
	}
	if err := c.m.d.DB.Select(ctx, &rows, selectRewindsSQL); err != nil {
		return err
	}
	for _, r := range rows {
		p := Problem{Source: everySource, RewindID: r.ID,
			Detail: fmt.Sprintf("commits from %s to %s may be lost; have providers resend their webhooks, then run gateway verify --repair", r.From, r.Until)}
		if err := c.record(ctx, string(contract.DamageRewind), p); err != nil {
			return err
		}
	}
	return nil
}

// The audit trail shows which events seed created, so that no sender can disguise an event as an
// example.
const countExamplesSQL = `
SELECT e.source, count(*) AS n
FROM   audit_entries a
JOIN   normalized_events e ON e.id = a.entity_id
WHERE  a.action = 'event.seeded'
GROUP  BY e.source`

// readExamples counts the events that no webhook brought.
func (c *checker) readExamples(ctx context.Context) error {
	var counts []struct {
		Source string `db:"source"`
		N      int    `db:"n"`
	}
	if err := c.m.d.DB.Select(ctx, &counts, countExamplesSQL); err != nil {
		return err
	}
	for _, n := range counts {
		c.source(n.Source).Examples = n.N
	}
	return nil
}
