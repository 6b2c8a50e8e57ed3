package ingestion

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/compact"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
)

// Holds reports whether a request's body holds what an erasure looks for; read is false for a body
// that it cannot read.
type Holds = func(req provider.Request) (found, read bool)

// selectScannedSQL looks at a bounded part of the events. The inner conditions follow an index, the
// outer ones do not.
const selectScannedSQL = `
SELECT c.id, c.webhook_event_id, c.source, c.received_at, CASE WHEN s.erased_at IS NULL%s THEN 1 ELSE 0 END AS matches
FROM  (SELECT e.id, e.webhook_event_id, e.source, e.received_at, e.subject
       FROM   normalized_events e
       WHERE  (e.received_at, e.id) > ($1, $2) AND e.received_at <= $3%s
       ORDER  BY e.received_at, e.id
       LIMIT  $4) AS c
LEFT   JOIN event_states s ON s.event_id = c.id
ORDER  BY c.received_at, c.id`

type scannedRow struct {
	ID         string     `db:"id"`
	WebhookID  string     `db:"webhook_event_id"`
	Source     string     `db:"source"`
	ReceivedAt clock.Time `db:"received_at"`
	Matches    int        `db:"matches"`
}

// ErasurePage looks at most at limit events after a position, received up to a time, and returns
// those that match: by their source and subject, and by what holds says of their content, unless it
// is nil. It ends between two webhooks, as far as the limit allows, and earlier where the contents
// are large.
func (m *Module) ErasurePage(ctx context.Context, want contract.ErasureScan, holds Holds, after contract.ReplayPosition, upTo time.Time, limit int) (contract.ErasurePage, error) {
	if want.ReceivedTo != nil && want.ReceivedTo.Before(upTo) {
		upTo = *want.ReceivedTo
	}
	query, args := m.scanStatement(want, after, upTo, limit)
	var rows []scannedRow
	if err := m.d.DB.Select(ctx, &rows, query, args...); err != nil {
		return contract.ErasurePage{}, fmt.Errorf("look for events to erase: %w", err)
	}
	page := contract.ErasurePage{Last: after, End: len(rows) < limit}
	if !page.End {
		rows = wholeWebhooks(rows)
	}
	if page.Looked = len(rows); page.Looked == 0 {
		return page, nil
	}
	last := rows[len(rows)-1]
	page.Last = contract.ReplayPosition{At: last.ReceivedAt.Time, EventID: last.ID}
	rows = slices.DeleteFunc(rows, func(r scannedRow) bool { return r.Matches == 0 })
	matching, unreadable, rest, err := m.holding(ctx, rows, holds)
	if rest > 0 {
		last = rows[len(rows)-rest-1]
		page.Last, page.End, page.Looked = contract.ReplayPosition{At: last.ReceivedAt.Time, EventID: last.ID}, false, page.Looked-rest
	}
	page.Unreadable = unreadable
	for _, r := range matching {
		page.Events = append(page.Events, contract.ErasureEvent{EventID: r.ID, Source: r.Source, ReceivedAt: r.ReceivedAt.Time})
	}
	return page, err
}

func (m *Module) scanStatement(want contract.ErasureScan, after contract.ReplayPosition, upTo time.Time, limit int) (query string, args []any) {
	args = []any{after.At, after.EventID, upTo, limit}
	arg := func(value any) string {
		args = append(args, value)
		return "$" + strconv.Itoa(len(args))
	}
	var inner, outer strings.Builder
	switch {
	case len(want.Sources) == 1:
		inner.WriteString(" AND e.source = " + arg(want.Sources[0]))
	case want.Sources != nil:
		outer.WriteString(" AND c.source IN (''")
		for _, source := range want.Sources {
			outer.WriteString(", " + arg(source))
		}
		outer.WriteString(")")
	}
	if want.Subject != "" {
		outer.WriteString(" AND c.subject = " + arg(provider.Clean(want.Subject)))
	}
	return fmt.Sprintf(selectScannedSQL, outer.String(), inner.String()), args
}

// wholeWebhooks leaves out the events of the last webhook, which may have more, unless there is no
// other.
func wholeWebhooks(rows []scannedRow) []scannedRow {
	whole := len(rows)
	for whole > 0 && rows[whole-1].WebhookID == rows[len(rows)-1].WebhookID {
		whole--
	}
	if whole == 0 {
		return rows
	}
	return rows[:whole]
}

const (
	// contentBatch is how many events' contents are read at once, as far as they are small.
	contentBatch = 50
	// maxSearched bounds what one page reads, in bytes, so that it ends in time.
	maxSearched = 64 << 20
)

const selectHeldSQL = `
SELECT e.id, e.webhook_event_id, ` + payloadSizeSQL + `, %s,
       w.request_headers, h.headers AS header_set, COALESCE(length(w.raw_body), 0) AS body_size, %s
FROM   v
JOIN   normalized_events e ON e.id = v.id
LEFT   JOIN webhook_events w ON w.id = e.webhook_event_id AND w.body_state <> 'erased'
LEFT   JOIN header_sets h ON h.id = w.header_set_id`

type heldRow struct {
	ID          string `db:"id"`
	WebhookID   string `db:"webhook_event_id"`
	PayloadSize int    `db:"payload_size"`
	Payload     []byte `db:"normalized_payload"`
	Headers     []byte `db:"request_headers"`
	Set         []byte `db:"header_set"`
	BodySize    int    `db:"body_size"`
	Body        []byte `db:"raw_body"`
}

// holding returns the rows whose events hold what is looked for, and how many rows at the end it has
// not looked at.
func (m *Module) holding(ctx context.Context, rows []scannedRow, holds Holds) (matching []scannedRow, unreadable, rest int, err error) {
	if holds == nil {
		return rows, 0, 0, nil
	}
	rest = len(rows)
	s := contentSearch{m: m, holds: holds, bodies: map[string]bool{}}
	for part := range slices.Chunk(rows, contentBatch) {
		ids := make([]string, len(part))
		for i, r := range part {
			ids[i] = r.ID
		}
		held, err := s.read(ctx, ids)
		if err != nil {
			return nil, 0, 0, err
		}
		for _, r := range part {
			switch found, err := s.event(ctx, held[r.ID]); {
			case errors.Is(err, compact.ErrDamaged):
				unreadable++
			case err != nil:
				return nil, 0, 0, err
			case found:
				matching = append(matching, r)
			}
		}
		if rest -= len(part); s.bytes > maxSearched {
			break
		}
	}
	return matching, unreadable, rest, nil
}

// contentSearch looks into the contents of events, in the order of their webhooks.
type contentSearch struct {
	m      *Module
	holds  Holds
	bodies map[string]bool // what was found of webhooks' bodies
	bytes  int             // that were searched
}

func (s *contentSearch) read(ctx context.Context, eventIDs []string) (map[string]heldRow, error) {
	var rows []heldRow
	if err := s.m.d.DB.SelectRows(ctx, &rows, database.IDs(eventIDs), fmt.Sprintf(selectHeldSQL, payloadSQL, bodySQL)); err != nil {
		return nil, fmt.Errorf("read the contents of events: %w", err)
	}
	held := make(map[string]heldRow, len(rows))
	for _, r := range rows {
		held[r.ID] = r
	}
	return held, nil
}

// event reports whether an event holds it: in its payload, or else in its webhook's body, if no
// other event of the webhook has it in its payload. So a path that means one item of a batch finds
// that item's event alone.
func (s *contentSearch) event(ctx context.Context, r heldRow) (bool, error) {
	found, err := s.payload(ctx, r)
	if found || err != nil {
		return found, err
	}
	known, looked := s.bodies[r.WebhookID]
	if !looked {
		if known, err = s.body(ctx, r); err != nil {
			return false, err
		}
		s.bodies[r.WebhookID] = known
	}
	return known, nil
}

func (s *contentSearch) payload(ctx context.Context, r heldRow) (bool, error) {
	one := content{db: s.m.d.DB} // each alone fits
	payload, _, err := one.payload(ctx, r.ID, r.PayloadSize, r.Payload, r.Body)
	if err != nil || len(payload) == 0 {
		return false, err
	}
	s.bytes += len(payload)
	found, _ := s.holds(provider.Request{Header: http.Header{"Content-Type": {"application/json"}}, Body: payload})
	return found, nil
}

// body reports whether the body of an event's webhook holds it, and no payload of the webhook's
// events does.
func (s *contentSearch) body(ctx context.Context, r heldRow) (bool, error) {
	if r.BodySize == 0 {
		return false, nil
	}
	one := content{db: s.m.d.DB}
	body, _, err := one.body(ctx, r.ID, r.WebhookID, r.BodySize, r.Body)
	if err != nil {
		return false, err
	}
	s.bytes += len(body)
	header, err := openHeader(r)
	if err != nil {
		return false, err
	}
	if found, _ := s.holds(provider.Request{Header: header, Body: body}); !found {
		return false, nil
	}
	others, err := othersOf([]string{r.WebhookID}, []string{r.ID}, func(rows *database.Rows) (ids []string, err error) {
		return ids, s.m.d.DB.SelectRows(ctx, &ids, rows, selectEventsOfSQL)
	})
	if err != nil {
		return false, err
	}
	for part := range slices.Chunk(others, contentBatch) {
		held, err := s.read(ctx, part)
		if err != nil {
			return false, err
		}
		for _, other := range held {
			if found, err := s.payload(ctx, other); found || err != nil && !errors.Is(err, compact.ErrDamaged) {
				return false, err
			}
		}
	}
	return true, nil
}

const selectErasableSQL = `
SELECT e.id, e.source, e.received_at
FROM   normalized_events e
JOIN   v ON v.id = e.id`

// ErasureEvents returns those of these events that exist, erased or not, in no particular order.
func (m *Module) ErasureEvents(ctx context.Context, eventIDs []string) ([]contract.ErasureEvent, error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	var rows []struct {
		ID         string     `db:"id"`
		Source     string     `db:"source"`
		ReceivedAt clock.Time `db:"received_at"`
	}
	if err := m.d.DB.SelectRows(ctx, &rows, database.IDs(eventIDs), selectErasableSQL); err != nil {
		return nil, fmt.Errorf("look up events: %w", err)
	}
	events := make([]contract.ErasureEvent, len(rows))
	for i, r := range rows {
		events[i] = contract.ErasureEvent{EventID: r.ID, Source: r.Source, ReceivedAt: r.ReceivedAt.Time}
	}
	return events, nil
}
