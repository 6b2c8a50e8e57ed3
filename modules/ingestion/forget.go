package ingestion

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// maxSubject is how long a subject may be to be told apart in the column that is searched.
const maxSubject = provider.MaxText - 1

// CheckSubject refuses, by fault.Invalid, a subject that no event can have or that would
// mean others too.
func CheckSubject(s contract.Subject) error {
	switch {
	case s.Text == "" || len([]rune(s.Text)) > maxSubject:
		return fault.Invalid.New("wrong_subject", "It must have from 1 to %d characters.", maxSubject).At("subject")
	case s.Source != "" && !validSource(s.Source):
		return fault.Invalid.New("wrong_source", "It must be the name of a source.").At("source")
	}
	return nil
}

const (
	lastID        = "ffffffff-ffff-ffff-ffff-ffffffffffff"
	subjectPiece  = 5000 // events in one statement: not every database has an index of subjects
	refusedPiece  = 10   // whole bodies are read
	firstEventID  = "00000000-0000-0000-0000-000000000000"
	selectNextSQL = `
SELECT id FROM normalized_events WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2`
	selectOfSubjectSQL = `
SELECT id
FROM   normalized_events
WHERE  id > $1 AND id <= $2 AND subject = $3 AND ($4 = '' OR source = $4)
ORDER  BY id`
)

// EventsOf walks the events from behind an id, "" for the first, for a while. It gives those
// of a subject and the id that it came to; done says that it came to the end.
func (m *Module) EventsOf(ctx context.Context, s contract.Subject, after string) (ids []string, upTo string, done bool, err error) {
	if after == "" {
		after = firstEventID
	}
	switch err = m.d.DB.Get(ctx, &upTo, selectNextSQL, after, subjectPiece-1); {
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

// together is how far apart the ids of one webhook's events are at most: they are made in one
// go. By their webhook alone no index would find them.
const together = time.Second

const selectOthersSQL = `
SELECT s.id
FROM   normalized_events s
WHERE  s.id >= $1 AND s.id < $2 AND COALESCE(s.subject, '') <> $3
AND    s.webhook_event_id IN (
       SELECT w.id FROM normalized_events e JOIN v ON v.id = e.id JOIN webhook_events w ON w.id = e.webhook_event_id
       WHERE  w.body_state <> 'erased')`

// OthersOf gives the events that came with some of a subject, in the same webhooks, and are
// not of it: once these are forgotten, the others have no original body any more.
func (m *Module) OthersOf(ctx context.Context, s contract.Subject, eventIDs []string) (ids []string, err error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	from := id.Floor(id.Time(slices.Min(eventIDs)).Add(-together))
	to := id.Floor(id.Time(slices.Max(eventIDs)).Add(together))
	if err := m.d.DB.SelectRows(ctx, &ids, database.IDs(eventIDs), selectOthersSQL, from, to, provider.Clean(s.Text)); err != nil {
		return nil, fmt.Errorf("look for the events of others: %w", err)
	}
	return ids, nil
}

// A body may hold the events of others too; theirs stay, without it.
const forgetWebhooksSQL = `
UPDATE webhook_events SET raw_body = $1, request_headers = '{}', body_state = 'erased'
WHERE  id IN (SELECT e.webhook_event_id FROM normalized_events e JOIN v ON v.id = e.id) AND body_state <> 'erased'`

const forgetEventsSQL = `
UPDATE normalized_events SET subject = NULL, normalized_payload = $1
FROM   v
WHERE  normalized_events.id = v.id`

const forgetStatesSQL = `
UPDATE event_states SET erased_at = $1, updated_at = $1
FROM   v
WHERE  event_states.event_id = v.id`

// Forget removes what events say of anybody, and the webhooks that they came with, of which
// it gives the number. Their states are locked in tx. What stays is that there was such an
// event: a sender's repeat is known by its key still.
func (m *Module) Forget(ctx context.Context, tx *database.Tx, eventIDs []string) (webhooks int, err error) {
	if len(eventIDs) == 0 {
		return 0, nil
	}
	ids, nothing := database.IDs(eventIDs), []byte{}
	n, err := tx.ExecRows(ctx, ids, forgetWebhooksSQL, nothing)
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
SELECT ` + quarantineColumns + `, method, url, request_headers, header_digests, raw_body
FROM   quarantine
WHERE  id > $1 AND ($2 = '' OR source = $2)
ORDER  BY id
LIMIT  $3`

// RefusedOf gives the ids of the requests in quarantine that mention a subject: a text,
// number or name in the body, or a header, that is just it, or a body that is no JSON and holds it.
func (m *Module) RefusedOf(ctx context.Context, s contract.Subject) (ids []string, err error) {
	after := firstEventID
	for {
		var rows []quarantined
		if err := m.d.DB.Select(ctx, &rows, selectRefusedSQL, after, s.Source, refusedPiece); err != nil {
			return nil, fmt.Errorf("look for a subject in quarantine: %w", err)
		}
		for _, q := range rows {
			mentioned, err := q.mentions(s.Text)
			if err != nil {
				return nil, err
			}
			if mentioned {
				ids = append(ids, q.ID)
			}
		}
		if len(rows) < refusedPiece {
			return ids, nil
		}
		after = rows[len(rows)-1].ID
	}
}

func (q quarantined) mentions(subject string) (bool, error) {
	req, err := q.request(&source{}, func(string, string) bool { return false })
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
