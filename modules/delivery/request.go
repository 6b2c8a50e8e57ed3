package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"integration-gateway/modules/delivery/expression"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/secret"
)

// errNoOriginal is why a raw delivery, or a transformation that needs headers, cannot be
// made any more: another event of the same webhook was of somebody who was erased.
var errNoOriginal = errors.New("the webhook's own body and headers are gone with an erasure, and this destination needs them")

// errRedacted is why a raw delivery can never be made.
var errRedacted = errors.New("the webhook's body was redacted when it was stored, and this destination is sent the provider's own alone (mode raw)")

// neverSendable reports whether trying again is of no use.
func neverSendable(err error) bool {
	return errors.Is(err, errNoOriginal) || errors.Is(err, errRedacted)
}

// asksHeaders reports whether an expression may look at headers, which are stored with the
// webhook and read for those alone that do.
func asksHeaders(text string) bool { return strings.Contains(text, "headers") }

// originals reads the webhooks of those jobs whose destination needs them, by event.
func (m *Module) originals(ctx context.Context, jobs []claimed, destinations map[string]destination) (map[string]*contract.Original, error) {
	var needing []claimed
	for _, c := range jobs {
		if d := destinations[*c.DestinationID]; d.Mode == contract.ModeRaw || asksHeaders(d.Transform) {
			needing = append(needing, c)
		}
	}
	if len(needing) == 0 {
		return nil, nil
	}
	list, err := m.events.Originals(ctx, eventIDs(needing, func(c claimed) string { return c.EventID }))
	if err != nil {
		return nil, err
	}
	found := make(map[string]*contract.Original, len(list))
	for i := range list {
		found[list[i].EventID] = &list[i]
	}
	return found, nil
}

// fact is a stored event as expressions ask about it.
func fact(e contract.Deliverable, original *contract.Original) contract.NewEvent {
	var canonical struct {
		Subject *string `json:"subject"`
	}
	_ = json.Unmarshal(e.Payload, &canonical) // what is no text has no subject
	event := contract.NewEvent{EventID: e.EventID, IntegrationID: e.IntegrationID, CorrelationID: e.CorrelationID, Source: e.Source,
		Provider: e.Provider, EventType: e.EventType, Subject: canonical.Subject, Payload: e.Payload}
	if original != nil {
		event.Headers = original.Headers
	}
	return event
}

// body is what the destination is sent of the event.
func (a attempt) body() ([]byte, error) {
	switch {
	case a.destination.Mode == contract.ModeRaw && a.original == nil:
		return nil, errNoOriginal
	case a.destination.Mode == contract.ModeRaw && a.original.Redacted:
		return nil, errRedacted
	case a.destination.Mode == contract.ModeRaw:
		return a.original.Body, nil
	case a.destination.Transform == "":
		return a.event.Payload, nil
	}
	err := a.destination.transform.err
	var body []byte
	if err == nil {
		body, err = a.destination.transform.Body(expression.NewFacts(fact(a.event, a.original)))
	}
	if err != nil && a.original == nil && asksHeaders(a.destination.Transform) {
		return nil, fmt.Errorf("%w: the transformation gave no body: %w", errNoOriginal, err)
	}
	if err != nil {
		return nil, fmt.Errorf("the transformation gave no body: %w", err)
	}
	return body, nil
}

// request is an event on its way to a destination: its body, the headers of Standard
// Webhooks over just that body, the gateway's own, and the destination's.
func (m *Module) request(ctx context.Context, a attempt, at time.Time) (*http.Request, error) {
	body, err := a.body()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.destination.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "integration-gateway")
	req.Header.Set("Content-Type", "application/json")
	if a.destination.Mode == contract.ModeRaw {
		req.Header = providerHeaders(a.original.Headers)
	}
	req.Header.Set("X-Integration-Provider", a.event.Provider)
	req.Header.Set("X-Event-Id", a.EventID)
	req.Header.Set("X-Correlation-Id", a.event.CorrelationID)
	prefix := signaturePrefix(req.Header)
	req.Header.Set(prefix+"Id", a.EventID)
	req.Header.Set(prefix+"Timestamp", strconv.FormatInt(at.Unix(), 10))
	req.Header.Set(prefix+"Signature", sign(a.destination.secrets, a.EventID, at, body))
	for name, value := range a.destination.headers {
		req.Header.Set(name, value)
	}
	return req, nil
}

// signaturePrefix starts the names of the gateway's own signature headers. A provider that
// signs by Standard Webhooks itself keeps their names in a raw delivery.
func signaturePrefix(h http.Header) string {
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		if h.Get(name) != "" {
			return "X-Gateway-Webhook-"
		}
	}
	return "Webhook-"
}

// passing are headers of the connection and the way that a webhook came by. They mean
// nothing, or something false, on the next one: a body is kept as it was signed, unpacked.
var passing = []string{
	"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect",
	"accept-encoding", "content-encoding", "forwarded", "via", "x-real-ip", "idempotency-key",
}

// providerHeaders are a webhook's own headers as far as they are passed on. A credential
// was never stored.
func providerHeaders(stored []byte) http.Header {
	var kept map[string][]string
	_ = json.Unmarshal(stored, &kept) // written by whoever stored the event
	header := make(http.Header, len(kept))
	for name, values := range kept {
		if name = strings.ToLower(name); slices.Contains(passing, name) || strings.HasPrefix(name, "x-forwarded-") || strings.HasPrefix(name, "proxy-") {
			continue
		}
		for _, value := range values {
			if value != secret.Redacted {
				header.Add(name, value)
			}
		}
	}
	return header
}
