package ingestion

import (
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
)

// What is stored of a body.
const (
	bodyExact    = "exact"    // byte for byte
	bodyRedacted = "redacted" // without the fields that its integration redacts
	bodyErased   = "erased"   // removed, together with the headers
)

// brokenRetryAfter is the Retry-After for senders to a source with a broken redaction.
const brokenRetryAfter = 30 * time.Second

// redactionBroken is the reason of refusals that only the operator can fix.
const redactionBroken = "redaction_broken"

// storedPayload is the part of a verified request that is stored.
type storedPayload struct {
	headers  []byte
	body     []byte
	redacted bool
	erased   bool // the body and the headers are not stored
	hops     int  // gateways that it passed through
	events   []draft
}

func (p storedPayload) bodyState() string {
	switch {
	case p.erased:
		return bodyErased
	case p.redacted:
		return bodyRedacted
	}
	return bodyExact
}

// payload applies the integration's redaction. Keys are computed from the received request,
// so that they recognise a duplicate. A fault.Unavailable says that the redaction removes a
// field that identifies the event and must be fixed.
func (s *source) payload(req provider.Request, events []provider.Event) (storedPayload, error) {
	drafts := drafts(s, events, req.Body)
	hops, err := hopsOf(req.Header)
	if err != nil {
		return storedPayload{}, err
	}
	if s.Redaction.None() {
		return storedPayload{headers: storedHeaders(req.Header, s, true), body: req.Body, hops: hops, events: drafts}, nil
	}
	clean, read := provider.Redact(req, s.Redaction)
	left, err := s.Spec.RedactedEvents(clean, events)
	if err == nil && !read {
		err = errors.New("cannot read the body")
	}
	if err != nil {
		err = fmt.Errorf("the redaction of integration %s %w", s.IntegrationID, err)
		return storedPayload{}, fault.Unavailable.Wrap(err, redactionBroken, "This source cannot accept this webhook until its operator fixes its redaction.").
			After(brokenRetryAfter).Because("%s", err)
	}
	for i := range drafts {
		drafts[i].Event = left[i]
	}
	return storedPayload{headers: redactedHeaders(req.Header, s, true, clean), body: clean.Body, redacted: clean.Changed, hops: hops, events: drafts}, nil
}
