package ingestion

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
)

// maxSubject is the longest subject that the searched column stores uncut.
const maxSubject = provider.MaxText - 1

// CheckSubject returns fault.Invalid for a subject that no event can have, or that would also
// match others.
func CheckSubject(s contract.Subject) error {
	switch {
	case s.Text == "" || len([]rune(s.Text)) > maxSubject:
		return fault.Invalid.New("wrong_subject", "It must have from 1 to %d characters.", maxSubject).At("subject")
	case s.Source != "" && !provider.ValidSourceName(s.Source):
		return fault.Invalid.New("wrong_source", "It must be the name of a source.").At("source")
	}
	return nil
}

const (
	lastID        = "ffffffff-ffff-ffff-ffff-ffffffffffff"
	subjectBatch  = 5000 // events in one statement: not every database has an index of subjects
	refusedBatch  = 10   // whole bodies are read
	firstEventID  = "00000000-0000-0000-0000-000000000000"
	selectNextSQL = `
SELECT id FROM normalized_events WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2`
	selectOfSubjectSQL = `
SELECT id
FROM   normalized_events
WHERE  id > $1 AND id <= $2 AND subject = $3 AND ($4 = '' OR source = $4)
ORDER  BY id`
)

// EventsOf scans one batch of events after an id, or from the start if it is "". It returns
// the subject's events and the last id scanned; done reports the end of the table.
func (m *Module) EventsOf(ctx context.Context, s contract.Subject, after string) (ids []string, upTo string, done bool, err error) {
	if after == "" {
		after = firstEventID
	}
	switch err = m.d.DB.Get(ctx, &upTo, selectNextSQL, after, subjectBatch-1); {
	case errors.Is(err, sql.ErrNoRows):
		upTo, done = lastID, true
	case err != nil:
		return nil, "", false, fmt.Errorf("walk the events: %w", err)
	}
	if err := m.d.DB.Select(ctx, &ids, selectOfSubjectSQL, after, upTo, provider.Clean(s.Text), s.Source); err != nil {
		return nil, "", false, fmt.Errorf("look for a subject: %w", err)
	}
	return ids, upTo, done, nil
}

// maxIDSpread bounds the time between the ids of one webhook's events. It limits the search,
// since no index finds events by their webhook.
const maxIDSpread = time.Second

// OthersOf returns the other events whose original body goes when these are erased.
func (m *Module) OthersOf(ctx context.Context, eventIDs []string) (ids []string, err error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	var webhooks []string
	if err := m.d.DB.SelectRows(ctx, &webhooks, database.IDs(eventIDs), selectHoldersSQL); err != nil {
		return nil, fmt.Errorf("look for webhooks: %w", err)
	}
	return othersOf(webhooks, eventIDs, func(rows *database.Rows) (ids []string, err error) {
		return ids, m.d.DB.SelectRows(ctx, &ids, rows, selectEventsOfSQL)
	})
}

// othersOf returns the events of webhooks, without some. read reads selectEventsOfSQL.
func othersOf(webhooks, eventIDs []string, read func(*database.Rows) ([]string, error)) ([]string, error) {
	if len(webhooks) == 0 {
		return nil, nil
	}
	near := database.NewRows("id uuid", "first uuid", "last uuid").Expect(len(webhooks))
	for _, w := range webhooks {
		near.Add(w, id.Floor(id.Time(w).Add(-maxIDSpread)), id.Floor(id.Time(w).Add(maxIDSpread)))
	}
	all, err := read(near)
	if err != nil {
		return nil, fmt.Errorf("look for the events of webhooks: %w", err)
	}
	without := make(map[string]bool, len(eventIDs))
	for _, eventID := range eventIDs {
		without[eventID] = true
	}
	return slices.DeleteFunc(all, func(eventID string) bool { return without[eventID] }), nil
}

// A body may hold the events of other subjects too. These events stay, without the body.
const forgetWebhooksSQL = `
UPDATE webhook_events SET raw_body = $1, request_headers = $2, header_set_id = NULL, source_ip = '', body_state = 'erased'
WHERE  id IN (` + holdersSQL + `) AND body_state <> 'erased'`

const forgetEventsSQL = `
UPDATE normalized_events SET subject = NULL, normalized_payload = $1, correlation_id = CAST(normalized_events.id AS text)
FROM   v
WHERE  normalized_events.id = v.id`

const forgetStatesSQL = `
UPDATE event_states SET erased_at = $1, updated_at = $1
FROM   v
WHERE  event_states.event_id = v.id`

// Forget erases the contents of events and of their webhooks, and returns the number of
// webhooks. The caller has locked the events' states in tx. The rows and keys stay, so that a
// sender's retry is still recognised.
func (m *Module) Forget(ctx context.Context, tx *database.Tx, eventIDs []string) (webhooks int, err error) {
	if len(eventIDs) == 0 {
		return 0, nil
	}
	ids, nothing := database.IDs(eventIDs), []byte{}
	if err := m.detachOthers(ctx, tx, eventIDs); err != nil {
		return 0, err
	}
	n, err := tx.ExecRows(ctx, ids, forgetWebhooksSQL, nothing, []byte("{}"))
	if err != nil {
		return 0, fmt.Errorf("forget webhooks: %w", err)
	}
	if _, err := tx.ExecRows(ctx, ids, forgetEventsSQL, nothing); err != nil {
		return 0, fmt.Errorf("forget events: %w", err)
	}
	if _, err := tx.ExecRows(ctx, ids, forgetStatesSQL, tx.Now); err != nil {
		return 0, fmt.Errorf("mark events as erased: %w", err)
	}
	return int(n), nil
}

const selectRefusedSQL = `
SELECT ` + quarantineColumns + `, method, url, request_headers, header_digests, raw_body, packed
FROM   quarantine
WHERE  id > $1 AND ($2 = '' OR source = $2)
ORDER  BY id
LIMIT  $3`

// RefusedOf returns the ids of the requests in quarantine that mention a subject: as a text,
// number or name in the body, as a header, or anywhere in a body that is not JSON.
func (m *Module) RefusedOf(ctx context.Context, s contract.Subject) (ids []string, err error) {
	after := firstEventID
	for {
		var rows []quarantined
		if err := m.d.DB.Select(ctx, &rows, selectRefusedSQL, after, s.Source, refusedBatch); err != nil {
			return nil, fmt.Errorf("look for a subject in quarantine: %w", err)
		}
		for _, q := range rows {
			if err := q.unpack(); err != nil {
				return nil, err
			}
			mentioned, err := q.mentions(s.Text)
			if err != nil {
				return nil, err
			}
			if mentioned {
				ids = append(ids, q.ID)
			}
		}
		if len(rows) < refusedBatch {
			return ids, nil
		}
		after = rows[len(rows)-1].ID
	}
}

func (q quarantined) mentions(subject string) (bool, error) {
	req, err := q.request(&source{Source: &provider.Source{}}, func(string, string) bool { return false })
	if err != nil {
		return false, err
	}
	if holds(q.URL, subject) || provider.Mentions(req, subject) {
		return true, nil
	}
	for _, values := range req.Header {
		for _, value := range values {
			if holds(value, subject) {
				return true, nil
			}
		}
	}
	return false, nil
}
