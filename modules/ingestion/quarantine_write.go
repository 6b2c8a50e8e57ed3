package ingestion

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
)

// flushTimeout bounds one flush of the quarantine buffer.
const flushTimeout = 5 * time.Second

// flushQuarantine writes the buffered requests and drop counts, trims each source to its
// bounds and purges expired requests.
func (m *Module) flushQuarantine(ctx context.Context) error {
	if m.cfg.Quarantine.Retention == 0 {
		return nil
	}
	waiting, drops := m.quarantine.take()
	purge := m.quarantine.purgeDue(m.d.Now())
	if len(waiting) == 0 && len(drops) == 0 && !purge {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	taken, written := m.withinBudget(waiting), []quarantined(nil)
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		if err := m.withoutErasedRefused(ctx, tx, taken); err != nil {
			return err
		}
		if err := insertQuarantined(ctx, tx, taken); err != nil {
			return err
		}
		return m.purgeQuarantine(ctx, tx, purge)
	})
	if err == nil {
		err = m.d.DB.InTx(ctx, func(tx *database.Tx) error { return insertDrops(ctx, tx, drops) })
		written, taken = taken, nil
	}
	if err == nil {
		drops, err = nil, m.trimQuarantine(ctx, written, purge)
	}
	switch {
	case fault.Is(err, fault.Unavailable):
		m.quarantine.putBack(taken, drops)
	case err != nil:
		m.quarantine.notWritten(taken) // trying again cannot help
	}
	if err != nil {
		return fmt.Errorf("write %d refused requests: %w", len(taken), err)
	}
	return nil
}

// withinBudget compresses the waiting requests and returns those that fit their sources'
// budgets of the minute.
func (m *Module) withinBudget(waiting []quarantined) []quarantined {
	taken := make([]quarantined, 0, len(waiting))
	for _, q := range waiting {
		if q.stored == 0 { // otherwise it is already charged: an earlier write failed
			if q.pack(); !m.quarantine.spend(q) {
				continue
			}
		}
		taken = append(taken, q)
	}
	return taken
}

// A stored request may arrive again, also through another process.
const insertQuarantinedSQL = `
INSERT INTO quarantine (id, source, integration_id, provider, reason, detail, method, url, request_headers, header_digests, raw_body, packed,
       size, redacted, fingerprint, repeats, stored, external_event_id, source_ip, correlation_id, received_at, last_received_at)
SELECT id, source, integration_id, provider, reason, detail, method, url, request_headers, header_digests, raw_body, packed,
       size, redacted, fingerprint, repeats, stored, external_event_id, source_ip, correlation_id, received_at, last_received_at
FROM   v
WHERE  id IS NOT NULL
ON     CONFLICT (source, fingerprint) DO UPDATE
SET    repeats = quarantine.repeats + excluded.repeats + 1, last_received_at = COALESCE(excluded.last_received_at, excluded.received_at)`

// quarantineBatch is the number of requests in one statement.
const quarantineBatch = 256

func insertQuarantined(ctx context.Context, tx *database.Tx, all []quarantined) error {
	for piece := range slices.Chunk(mergeRepeats(all), quarantineBatch) {
		rows := database.NewRows("id uuid", "source text", "integration_id uuid", "provider text", "reason text", "detail text", "method text",
			"url text", "request_headers text", "header_digests text", "raw_body bytea", "packed boolean", "size bigint", "redacted boolean",
			"fingerprint text", "repeats bigint", "stored bigint", "external_event_id text", "source_ip text", "correlation_id text", "received_at timestamptz",
			"last_received_at timestamptz")
		for _, q := range piece {
			var last *time.Time
			if q.LastReceivedAt != nil {
				last = &q.LastReceivedAt.Time
			}
			rows.Add(q.ID, q.Source, q.IntegrationID, q.Provider, q.Reason, q.Detail, q.Method, q.URL, q.Headers, q.Digests, q.Body, q.Packed,
				q.Size, q.Redacted, q.fingerprint, q.Repeats, q.stored, q.ExternalEventID, q.SourceIP, q.CorrelationID, q.ReceivedAt.Time, last)
		}
		if _, err := tx.ExecRows(ctx, rows, insertQuarantinedSQL); err != nil {
			return fmt.Errorf("write refused requests: %w", err)
		}
	}
	return nil
}

// mergeRepeats merges repeats, since one statement must not write the same row twice: a
// request put back after a failed write may wait beside a newer repeat.
func mergeRepeats(all []quarantined) []quarantined {
	first := map[string]int{}
	folded := make([]quarantined, 0, len(all))
	for _, q := range all {
		key := q.Source + "\x00" + q.fingerprint
		n, known := first[key]
		if !known {
			first[key] = len(folded)
			folded = append(folded, q)
			continue
		}
		folded[n].Repeats += q.Repeats
		folded[n].again(q.ReceivedAt.Time)
	}
	return folded
}

const insertDropsSQL = `
INSERT INTO quarantine_drops (source, hour, cause, requests, bytes)
SELECT source, hour, cause, requests, bytes
FROM   v
WHERE  source IS NOT NULL
ON     CONFLICT (source, hour, cause) DO UPDATE
SET    requests = quarantine_drops.requests + excluded.requests, bytes = quarantine_drops.bytes + excluded.bytes`

func insertDrops(ctx context.Context, tx *database.Tx, drops map[drop]dropped) error {
	if len(drops) == 0 {
		return nil
	}
	rows := database.NewRows("source text", "hour timestamptz", "cause text", "requests bigint", "bytes bigint")
	for _, key := range slices.SortedFunc(maps.Keys(drops), func(a, b drop) int {
		return cmp.Or(strings.Compare(a.source, b.source), cmp.Compare(a.hour, b.hour), strings.Compare(a.cause, b.cause))
	}) {
		rows.Add(key.source, time.Unix(key.hour, 0).UTC(), key.cause, drops[key].requests, drops[key].bytes)
	}
	if _, err := tx.ExecRows(ctx, rows, insertDropsSQL); err != nil {
		return fmt.Errorf("count dropped requests: %w", err)
	}
	return nil
}
