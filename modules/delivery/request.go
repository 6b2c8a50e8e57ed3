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

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/modules/delivery/destination/expression"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/standardwebhooks"
)

// errNoOriginal is returned for a raw delivery, or a transformation that needs headers, after
// the webhook's original was erased together with another event of it.
var errNoOriginal = errors.New("the webhook's own body and headers are gone with an erasure, and this destination needs them")

// errRedacted is returned for a raw delivery of a redacted webhook.
var errRedacted = errors.New("the webhook's body was redacted before it was stored, and this destination is in raw mode")

// errUnreadable is returned for an event whose stored payload, body or headers are damaged. It
// becomes a dead letter, from which it can be sent again once they are mended.
var errUnreadable = errors.New("what is stored of the event is damaged")

// errFormless is returned for an event that the mapping of now makes no canonical form of. It
// becomes a dead letter, from which the form of its receipt can be sent.
var errFormless = errors.New("the event cannot be normalized again")

// neverSendable reports whether a retry is useless.
func neverSendable(err error) bool {
	return errors.Is(err, errNoOriginal) || errors.Is(err, errRedacted) || errors.Is(err, errUnreadable) || errors.Is(err, errFormless)
}

// readable returns errUnreadable if what is stored of an attempt's event is.
func (a attempt) readable() error {
	switch {
	case a.original != nil && a.original.Unreadable != nil:
		return fmt.Errorf("%w: %w", errUnreadable, a.original.Unreadable)
	case a.event.Unreadable != nil && a.destination.Mode != contract.ModeRaw:
		return fmt.Errorf("%w: %w", errUnreadable, a.event.Unreadable)
	case a.destination.Mode != contract.ModeRaw:
		return a.formless
	}
	return nil
}

// contents are what is stored of jobs' events.
type contents struct {
	events       map[string]contract.Deliverable  // by event
	originals    map[string]*contract.Original    // by event; those that a destination needs
	renormalized map[string]contract.Renormalized // by job; those whose replay orders it
}

func (m *Module) contentsOf(ctx context.Context, jobs []claimed, destinations map[string]*destination.Destination) (c contents, err error) {
	events, err := m.events.Deliverables(ctx, eventIDs(jobs, func(c claimed) string { return c.EventID }))
	if err != nil {
		return c, err
	}
	c.events = make(map[string]contract.Deliverable, len(events))
	for _, e := range events {
		c.events[e.EventID] = e
	}
	if c.originals, err = m.originals(ctx, jobs, destinations); err != nil {
		return c, err
	}
	now := slices.DeleteFunc(slices.Clone(jobs), func(j claimed) bool { return c.events[j.EventID].Deferred })
	c.renormalized, err = m.renormalized(ctx, now)
	return c, err
}

// renormalized makes the canonical form by the mapping of now for those jobs whose replay orders
// it. It is made for each attempt and never stored.
func (m *Module) renormalized(ctx context.Context, jobs []claimed) (map[string]contract.Renormalized, error) {
	var requests []string
	for _, c := range jobs {
		if c.ReplayRequestID != nil {
			requests = append(requests, *c.ReplayRequestID)
		}
	}
	if len(requests) == 0 {
		return nil, nil
	}
	ordered, err := m.replays.Renormalized(ctx, requests)
	if err != nil || len(ordered) == 0 {
		return nil, err
	}
	jobs = slices.DeleteFunc(slices.Clone(jobs), func(c claimed) bool { return c.ReplayRequestID == nil || !ordered[*c.ReplayRequestID] })
	list, err := m.events.Renormalize(ctx, eventIDs(jobs, func(c claimed) string { return c.EventID }))
	if err != nil {
		return nil, err
	}
	byEvent := make(map[string]contract.Renormalized, len(list))
	for _, r := range list {
		byEvent[r.EventID] = r
	}
	byJob := make(map[string]contract.Renormalized, len(jobs))
	for _, c := range jobs {
		if r, is := byEvent[c.EventID]; is {
			byJob[c.ID] = r
		}
	}
	return byJob, nil
}

// renormalize replaces the canonical form of the event by the one of now, if its job has one.
func (a *attempt) renormalize(byJob map[string]contract.Renormalized) {
	r, ordered := byJob[a.ID]
	switch {
	case !ordered:
	case r.Problem == nil:
		a.event.Payload, a.event.EventType, a.event.Unreadable = r.Payload, r.EventType, nil
	case fault.Is(r.Problem, fault.Unavailable) || fault.Is(r.Problem, fault.NotFound): // that may pass
		a.formless = r.Problem
	default:
		a.formless = fmt.Errorf("%w: %w", errFormless, r.Problem)
	}
}

// asksHeaders reports whether an expression may use headers. They are stored with the webhook
// and read only if needed.
func asksHeaders(text string) bool { return strings.Contains(text, "headers") }

// originals reads the webhooks of those jobs whose destination needs them, by event.
func (m *Module) originals(ctx context.Context, jobs []claimed, destinations map[string]*destination.Destination) (map[string]*contract.Original, error) {
	var needing []claimed
	for _, c := range jobs {
		if d, known := destinations[*c.DestinationID]; known && (d.Mode == contract.ModeRaw || asksHeaders(d.Transform)) {
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

// fact returns a stored event as the input of expressions.
func fact(e contract.Deliverable, original *contract.Original) contract.NewEvent {
	var canonical struct {
		Subject *string `json:"subject"`
	}
	_ = json.Unmarshal(e.Payload, &canonical) // invalid JSON has no subject
	event := contract.NewEvent{EventID: e.EventID, IntegrationID: e.IntegrationID, CorrelationID: e.CorrelationID, Source: e.Source,
		Provider: e.Provider, EventType: e.EventType, Subject: canonical.Subject, Payload: e.Payload}
	if original != nil {
		event.Headers = original.Headers
	}
	return event
}

// body returns the request body for the destination. A transformation waits until its
// source's CPU budget allows it.
func (m *Module) body(ctx context.Context, a attempt) ([]byte, error) {
	if err := a.readable(); err != nil {
		return nil, err
	}
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
	body, err := m.transformed(ctx, a)
	if err != nil && a.original == nil && asksHeaders(a.destination.Transform) {
		return nil, fmt.Errorf("%w: the transformation failed: %w", errNoOriginal, err)
	}
	if err != nil {
		return nil, fmt.Errorf("the transformation failed: %w", err)
	}
	return body, nil
}

// transformed applies the destination's transformation to the event.
func (m *Module) transformed(ctx context.Context, a attempt) ([]byte, error) {
	if err := a.destination.TransformError(); err != nil {
		return nil, err
	}
	source := a.event.IntegrationID
	if err := m.shares.wait(ctx, source, expression.TransformCost); err != nil {
		return nil, errors.New(usedUp)
	}
	began, facts := m.shares.now(), expression.NewFacts(fact(a.event, a.original))
	body, err := a.destination.Body(ctx, facts)
	m.shares.settle(source, expression.TransformCost, m.shares.spent(facts.Cost(), began))
	return body, err
}

// request builds the HTTP request for a destination: the body, its Standard Webhooks
// signature, and the headers of the gateway and the destination.
func (m *Module) request(ctx context.Context, a attempt, at time.Time) (*http.Request, error) {
	body, err := m.body(ctx, a)
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
	req.Header.Set(contract.HopsHeader, strconv.Itoa(a.event.Hops+1))
	req.Header.Del("X-Idempotency-Key") // the provider's own
	if a.event.IdempotencyKey != "" {
		req.Header.Set("X-Idempotency-Key", a.event.IdempotencyKey)
	}
	prefix := signaturePrefix(req.Header)
	req.Header.Set(prefix+"Id", a.EventID)
	req.Header.Set(prefix+"Timestamp", strconv.FormatInt(at.Unix(), 10))
	req.Header.Set(prefix+"Signature", standardwebhooks.Sign(a.destination.Secrets(at), a.EventID, at, body))
	for name, value := range a.destination.Headers() {
		req.Header.Set(name, value)
	}
	return req, nil
}

// signaturePrefix returns the prefix of the gateway's signature headers. It differs if a raw
// delivery contains the provider's own Standard Webhooks headers.
func signaturePrefix(h http.Header) string {
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		if h.Get(name) != "" {
			return "X-Gateway-Webhook-"
		}
	}
	return "Webhook-"
}

// passing lists headers that describe the connection and the transfer. They are not
// forwarded: they would be meaningless or wrong, since the body is stored uncompressed.
var passing = []string{
	"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect",
	"accept-encoding", "content-encoding", "forwarded", "via", "x-real-ip", "idempotency-key", "traceparent", "tracestate",
}

// providerHeaders returns the webhook's own headers that are forwarded. Credentials were
// never stored.
func providerHeaders(stored []byte) http.Header {
	var kept map[string][]string
	_ = json.Unmarshal(stored, &kept) // valid JSON, written by ingestion
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
