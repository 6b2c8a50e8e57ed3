package ingestion

import (
	"fmt"

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
