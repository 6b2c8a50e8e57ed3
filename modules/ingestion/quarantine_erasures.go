package ingestion

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
)

// An erasure searches the quarantine in the database. What is refused shortly before waits in the
// memory of a process, and is written after the search. So the erasure leaves its time, and what
// was refused before that time is written without its content.

const markErasureSQL = `
INSERT INTO quarantine_erasures (source, erased_at) VALUES ($1, $2)
ON CONFLICT (source) DO UPDATE SET erased_at = excluded.erased_at`

// MarkErasure says that an erasure is about to search the quarantine of a source, or of all (""). It
// waits for the requests that are being written.
func (m *Module) MarkErasure(ctx context.Context, source string) error {
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.Exec(ctx, markErasureSQL, source, tx.Now)
		return err
	})
	if err != nil {
		return fmt.Errorf("mark an erasure: %w", err)
	}
	return nil
}

// The rows must exist to be locked. Erasures wait for the lock, other writers do not.
const (
	insertMarksSQL = `
INSERT INTO quarantine_erasures (source, erased_at)
SELECT source, at FROM v
WHERE  source IS NOT NULL
ON CONFLICT (source) DO NOTHING`
	selectMarksSQL = `
SELECT e.source, e.erased_at
FROM   quarantine_erasures e
WHERE  e.source IN (SELECT source FROM v)
ORDER  BY e.source`
)

// clockSlack is more than the processes' clocks differ by.
const clockSlack = 2 * time.Second

// withoutErasedBodies removes the content of requests that an erasure may have missed.
func withoutErasedBodies(ctx context.Context, tx *database.Tx, all []quarantined) error {
	if len(all) == 0 {
		return nil
	}
	sources := map[string]bool{"": true}
	for _, q := range all {
		sources[q.Source] = true
	}
	rows := database.NewRows("source text", "at timestamptz")
	for _, source := range slices.Sorted(maps.Keys(sources)) {
		rows.Add(source, time.Unix(0, 0).UTC())
	}
	if _, err := tx.ExecRows(ctx, rows, insertMarksSQL); err != nil {
		return fmt.Errorf("prepare the erasures of the quarantine: %w", err)
	}
	var marks []struct {
		Source string     `db:"source"`
		At     clock.Time `db:"erased_at"`
	}
	if err := tx.SelectRows(ctx, &marks, rows, selectMarksSQL+tx.Dialect.ForShare); err != nil {
		return fmt.Errorf("read the erasures of the quarantine: %w", err)
	}
	last := map[string]time.Time{}
	for _, mark := range marks {
		last[mark.Source] = mark.At.Time
	}
	for i, q := range all {
		received := q.ReceivedAt.Add(-clockSlack)
		if received.Before(last[""]) || received.Before(last[q.Source]) {
			all[i].removeContent()
		}
	}
	return nil
}

// removeContent leaves what identifies no person. The request counts as redacted: it cannot be
// released.
func (q *quarantined) removeContent() {
	q.Redacted, q.Packed = true, false
	q.Body, q.Headers, q.Digests, q.URL, q.SourceIP, q.ExternalEventID = []byte{}, "{}", "{}", "", "", nil
	q.CorrelationID = erasureSafe(q.CorrelationID)
}
