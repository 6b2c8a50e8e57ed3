package ingestion

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
)

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
			match, err := q.matches(literal(text), holds)
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

func (q quarantined) matches(text sought, holds Holds) (bool, error) {
	req, err := q.request(&source{Source: &provider.Source{}}, nothingKnown{})
	if err != nil {
		return false, err
	}
	if holds != nil {
		found, read := holds(req)
		return found || !read && text.within(req.Body), nil
	}
	return mentions(req, text), nil
}

func mentions(req provider.Request, text sought) bool {
	if text.in(req.URL) || provider.Mentions(req, text.is, text.within) {
		return true
	}
	for _, values := range req.Header {
		for _, value := range values {
			if text.in(value) {
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

// sought is a text that is looked for: known, or by its keyed hash.
type sought struct {
	size   int // in bytes
	is     func(text string) bool
	within func(text []byte) bool // true if it cannot be told
}

func literal(text string) sought {
	return sought{len(text), func(one string) bool { return one == text }, func(one []byte) bool { return bytes.Contains(one, []byte(text)) }}
}

// in reports whether a header or a URL has it: as a whole, or within if it is not short.
func (s sought) in(value string) bool {
	return s.is(value) || s.size >= shortestSecret && len(value) >= s.size && s.within([]byte(value))
}
