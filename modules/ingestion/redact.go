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
	marks    []mark
	refusal  error // why its integration wants it in quarantine, unless it is known; nil to store it
}

// mark is something odd about a webhook that is stored all the same.
type mark struct {
	Mark   string `json:"mark" api:"enum=duplicate_keys|schema_mismatch"`
	Detail string `json:"detail"` // where: a path in the body; "" if the integration redacts
}

// The marks, which are also the reasons of refusals.
const (
	duplicateKeys  = "duplicate_keys"  // an object has several members of one name
	schemaMismatch = "schema_mismatch" // an event does not fit the schema of its type
)

// marksOf looks for what an integration wants to have marked. The refusal, a fault.Invalid, is about
// what it wants in quarantine instead, if that keeps it.
func (s *source) marksOf(req provider.Request, events []provider.Event, keeps bool) (marks []mark, refusal error) {
	if wanted := s.Spec.DuplicateKeys(); wanted != provider.IgnoreKeys {
		path, found := provider.DuplicateKey(req)
		if found {
			marks = append(marks, mark{duplicateKeys, s.shownPath(path)})
		}
		if found && wanted == provider.QuarantineKeys && keeps {
			refusal = fault.Invalid.New(duplicateKeys, "An object in the body has several members of one name.").At("body").Because("%s", s.located("a member stands twice in the body", path))
		}
	}
	if found := s.Spec.Mismatches(events); found != nil {
		what := found.Keyword
		if len(events) > 1 {
			what = fmt.Sprintf("%s, in event %d", what, found.Event)
		}
		marks = append(marks, mark{schemaMismatch, s.located(what, found.At)})
		if found.Quarantine && keeps && refusal == nil {
			refusal = fault.Invalid.New(schemaMismatch, "The event does not fit the schema of its type.").At("body").Because("%s", s.located("an event does not fit the schema of its type: "+what, found.At))
		}
	}
	return marks, refusal
}

// located is a sentence about a place in the body, for the operator.
func (s *source) located(what, path string) string {
	if path = s.shownPath(path); path != "" {
		return what + ", at " + path
	}
	return what
}

// shownPath is a path in the body as it may be stored: a member's name may be what is redacted.
func (s *source) shownPath(path string) string {
	if s.Redaction.None() {
		return path
	}
	return ""
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
// field that identifies the event and must be fixed. What an integration wants in quarantine is
// marked instead where that would lose it: without a quarantine, and where a redaction keeps bodies
// out of it. What an operator releases from there is marked too.
func (s *source) payload(req provider.Request, events []provider.Event, quarantines bool) (storedPayload, error) {
	drafts := drafts(s, events, req.Body)
	hops, err := hopsOf(req.Header)
	if err != nil {
		return storedPayload{}, err
	}
	marks, refusal := s.marksOf(req, events, quarantines && s.Redaction.None())
	if s.Redaction.None() {
		return storedPayload{headers: storedHeaders(req.Header, s, true), body: req.Body, hops: hops, events: drafts, marks: marks, refusal: refusal}, nil
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
	return storedPayload{headers: redactedHeaders(req.Header, s, true, clean), body: clean.Body, redacted: clean.Changed, hops: hops, events: drafts, marks: marks}, nil
}
