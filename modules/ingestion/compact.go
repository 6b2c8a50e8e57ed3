package ingestion

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"integration-gateway/platform/compact"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// The wide columns are stored compactly: a body on its own, a canonical payload as what differs
// from its webhook's body, and headers as what differs from a set of headers of the source. This
// file writes them and reads them back, as the exact bytes.

// payloadFrame is the text of canonical events around their values. Payloads that are stored
// need it as it is, and the body right after it: never change it. Another frame needs another
// format byte.
const payloadFrame = `{"provider":"","eventType":"","externalEventId":null,"externalEventId":"","occurredAt":"","subject":null,"data":{"},"subject":"","data":},"resource":{".000Z","`

// muchLarger is how many times a payload's size its body may have to be its base, and
// smallBody a size that every base may have. Whoever reads an event of a large batch would read
// all of the batch otherwise.
const (
	muchLarger = 4
	smallBody  = 16 << 10
)

// compactPayload returns what is stored of an event's canonical payload. It needs the body only
// if retention removes both at once, and an erasure finds the event by the webhook's id.
func compactPayload(payload, body []byte, webhookID, eventID string) []byte {
	apart := id.Time(webhookID).Sub(id.Time(eventID)).Abs()
	if len(body) == 0 || len(body) > max(smallBody, muchLarger*len(payload)) || apart >= maxIDSpread || !database.SameRange(webhookID, eventID) {
		return compact.Alone(payload)
	}
	return compact.Against(payload, []byte(payloadFrame), body)
}

// compact makes what is stored of the webhook's wide columns.
func (w *verifiedWebhook) compact(set *headerSet) {
	w.compactBody = compact.Alone(w.body)
	w.compactHeaders, w.headerSet = set.compact(w.headers)
	for i, e := range w.events {
		w.events[i].compactPayload = compactPayload(e.Payload, w.body, w.webhookID, e.id)
	}
}

// openPayload returns the canonical payload of an event as destinations receive it, from what is
// stored of it and of its webhook's body.
func openPayload(eventID string, stored, storedBody []byte) ([]byte, error) {
	if !compact.NeedsBase(stored) {
		payload, err := compact.Open(stored)
		return payload, unreadable(err, "the payload of event", eventID)
	}
	body, err := compact.Open(storedBody)
	if err != nil {
		return nil, unreadable(err, "the body of event", eventID)
	}
	payload, err := compact.Open(stored, []byte(payloadFrame), body)
	return payload, unreadable(err, "the payload of event", eventID)
}

// openBody returns a webhook's body; name says whose it is, such as "event" and its id.
func openBody(name, owner string, stored []byte) ([]byte, error) {
	body, err := compact.Open(stored)
	return body, unreadable(err, "the body of "+name, owner)
}

// openHeaders returns a webhook's headers as the JSON object that storedHeaders made.
func openHeaders(name, owner string, stored, set []byte) ([]byte, error) {
	headers, err := compact.Open(stored, set)
	return headers, unreadable(err, "the headers of "+name, owner)
}

func unreadable(err error, what, owner string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read %s %s: %w", what, owner, err)
}

// A read of many events must not hold the bodies of all of them. So a body is read only where the
// payload needs it, and with the event's row only where both are small. Larger ones are read one
// after another, as long as the read holds less than maxContent bytes.
const (
	inlinePayload = 32 << 10 // bytes as stored
	inlineBody    = 64 << 10
	maxContent    = 32 << 20 // bytes of opened payloads and bodies
)

var (
	payloadSQL = "CASE WHEN length(e.normalized_payload) <= " + strconv.Itoa(inlinePayload) + " THEN e.normalized_payload END AS normalized_payload"
	bodySQL    = "CASE WHEN length(w.raw_body) <= " + strconv.Itoa(inlineBody) + " THEN w.raw_body END AS raw_body"
)

const payloadSizeSQL = "length(e.normalized_payload) AS payload_size"

// leansSQL is the condition that the payload of event e needs its webhook's body.
func leansSQL(d database.Dialect) string {
	return "substr(e.normalized_payload, 1, 1) = " + d.Byte(compact.BaseMark)
}

// baseSQL reads the body, an SQL expression, that a small payload of event e needs, if it is small
// too.
func baseSQL(d database.Dialect, body string) string {
	return fmt.Sprintf("CASE WHEN length(e.normalized_payload) <= %d AND %s AND length(%s) <= %d THEN %s END AS raw_body", inlinePayload, leansSQL(d), body, inlineBody, body)
}

// selectContentSQL reads a payload, with its body if it needs that.
const selectContentSQL = `
SELECT e.normalized_payload, CASE WHEN %s THEN (SELECT w.raw_body FROM webhook_events w WHERE w.id = e.webhook_event_id) END AS raw_body
FROM   normalized_events e
WHERE  e.id = $1`

const selectBodySQL = `
SELECT raw_body FROM webhook_events WHERE id = $1 AND body_state <> 'erased'`

type storedContent struct {
	Payload []byte `db:"normalized_payload"`
	Body    []byte `db:"raw_body"`
}

// content opens the payloads and bodies of one read and counts their bytes. The first always fits.
type content struct {
	db   *database.DB
	held int
	// of and last are the last body that was opened, and its webhook: the events of a batch share one.
	of   string
	last []byte
}

func (c *content) fits(size int) bool { return c.held == 0 || c.held+size <= maxContent }

// payload returns an event's payload, nil of an erased or removed event. stored and body are what
// its row was read with, nil for what is large; size is the payload's, as stored. It returns
// fits = false, and reads nothing, if the payload is more than the read may hold.
func (c *content) payload(ctx context.Context, eventID string, size int, stored, body []byte) (payload []byte, fits bool, err error) {
	if size == 0 {
		return nil, true, nil
	}
	if len(stored) == 0 || compact.NeedsBase(stored) && body == nil {
		if !c.fits(max(size, compact.Size(stored))) {
			return nil, false, nil
		}
		var read storedContent
		switch err := c.db.Get(ctx, &read, fmt.Sprintf(selectContentSQL, leansSQL(c.db.Dialect)), eventID); {
		case errors.Is(err, sql.ErrNoRows):
			return nil, true, nil
		case err != nil:
			return nil, true, fmt.Errorf("read the payload of event %s: %w", eventID, err)
		}
		stored, body = read.Payload, read.Body
	}
	if !c.fits(compact.Size(stored)) {
		return nil, false, nil
	}
	payload, err = openPayload(eventID, stored, body)
	c.held += len(payload)
	return payload, true, err
}

// body returns the body of an event's webhook. size and stored are as in payload. The error is
// sql.ErrNoRows if the body was erased or removed meanwhile.
func (c *content) body(ctx context.Context, eventID, webhookID string, size int, stored []byte) (body []byte, fits bool, err error) {
	if c.of == webhookID {
		return c.last, true, nil
	}
	if size > 0 && len(stored) == 0 {
		if !c.fits(size) {
			return nil, false, nil
		}
		if err := c.db.Get(ctx, &stored, selectBodySQL, webhookID); err != nil {
			return nil, true, fmt.Errorf("read the body of event %s: %w", eventID, err)
		}
	}
	if !c.fits(compact.Size(stored)) {
		return nil, false, nil
	}
	if body, err = openBody("event", eventID, stored); err == nil {
		c.held, c.of, c.last = c.held+len(body), webhookID, body
	}
	return body, true, err
}
