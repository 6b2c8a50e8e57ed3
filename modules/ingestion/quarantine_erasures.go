package ingestion

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
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

const (
	refusedBatch = 10 // whole bodies are read
	firstID      = "00000000-0000-0000-0000-000000000000"
)

const selectRefusedSQL = `
SELECT ` + quarantineColumns + `, method, url, request_headers, header_digests, raw_body, packed
FROM   quarantine`

// ErasureRefused looks at about limit requests in quarantine after an id, "" for the first, and
// returns those that match. With holds, it decides on the body, and a body that it cannot read
// matches if it contains the text; without it, a request matches that mentions the text: as a
// text, number or name in the body, as a header, or anywhere in a body that is not JSON.
func (m *Module) ErasureRefused(ctx context.Context, want contract.ErasureScan, text string, holds Holds, after string, limit int) (contract.ErasureRefused, error) {
	found := contract.ErasureRefused{Last: after}
	if after == "" {
		found.Last = firstID
	}
	for looked := 0; looked < limit && !found.End; {
		rows, err := m.refusedAfter(ctx, want, found.Last)
		if err != nil {
			return found, err
		}
		for _, q := range rows {
			if err := q.unpack(); err != nil {
				return found, err
			}
			match, err := q.matches(text, holds)
			if err != nil {
				return found, err
			}
			if match {
				found.IDs = append(found.IDs, q.ID)
			}
			found.Last = q.ID
		}
		looked, found.End = looked+len(rows), len(rows) < refusedBatch
	}
	return found, nil
}

func (m *Module) refusedAfter(ctx context.Context, want contract.ErasureScan, after string) (rows []quarantined, err error) {
	f := QuarantineFilter{ReceivedFrom: want.ReceivedFrom, ReceivedTo: want.ReceivedTo}.conditions()
	f.Add("id > ?", after)
	if want.Sources != nil {
		f.Among("source", want.Sources)
	}
	where, args := f.Where()
	args = append(args, refusedBatch)
	if err := m.d.DB.Select(ctx, &rows, fmt.Sprintf("%s%s ORDER BY id LIMIT $%d", selectRefusedSQL, where, len(args)), args...); err != nil {
		return nil, fmt.Errorf("look through the quarantine: %w", err)
	}
	return rows, nil
}

func (q quarantined) matches(text string, holds Holds) (bool, error) {
	req, err := q.request(&source{Source: &provider.Source{}}, func(string, string) bool { return false })
	if err != nil {
		return false, err
	}
	if holds != nil {
		found, read := holds(req)
		return found || !read && bytes.Contains(req.Body, []byte(text)), nil
	}
	return mentions(req, text), nil
}

func mentions(req provider.Request, text string) bool {
	if holds(req.URL, text) || provider.Mentions(req, text) {
		return true
	}
	for _, values := range req.Header {
		for _, value := range values {
			if holds(value, text) {
				return true
			}
		}
	}
	return false
}

// openHeader returns a webhook's stored headers.
func openHeader(r heldRow) (http.Header, error) {
	text, err := openHeaders("event", r.ID, r.Headers, r.Set)
	if err != nil {
		return nil, err
	}
	var stored map[string][]string
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, fmt.Errorf("read the headers of event %s: %w", r.ID, err)
	}
	header := make(http.Header, len(stored))
	for name, values := range stored {
		for _, value := range values {
			header.Add(name, value)
		}
	}
	return header, nil
}

// RemoveRefused deletes requests from quarantine in tx, and returns their number.
func (m *Module) RemoveRefused(ctx context.Context, tx *database.Tx, quarantineIDs []string) (n int, err error) {
	if len(quarantineIDs) == 0 {
		return 0, nil
	}
	var removed []Quarantined
	if err := tx.SelectRows(ctx, &removed, database.IDs(quarantineIDs), removeRefusedSQL); err != nil {
		return 0, fmt.Errorf("remove from quarantine: %w", err)
	}
	for _, q := range removed {
		err := m.auditChange(ctx, tx, entityQuarantine, q.ID, "quarantine.deleted", quarantineDetails{
			Source: q.Source, IntegrationID: q.IntegrationID, Reason: q.Reason, CorrelationID: erasureSafe(q.CorrelationID)})
		if err != nil {
			return 0, err
		}
	}
	return len(removed), nil
}

const removeRefusedSQL = `
DELETE FROM quarantine WHERE id IN (SELECT id FROM v)
RETURNING id, source, integration_id, reason, correlation_id`
