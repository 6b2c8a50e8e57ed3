package erasure

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/provider/redaction"
)

const (
	maxText            = provider.MaxText - 1 // the longest subject that the searched column stores uncut
	maxEvents          = 1000                 // ids in one order
	maxPaths           = 20
	maxLimit           = 1_000_000
	defaultRequestedBy = "api-user"
)

// Order says what to erase: the events of a subject, events by their ids, or the events that hold
// a value at one of some JSON paths; one of the three.
type Order struct {
	Subject      *string     `json:"subject" api:"chars=1-499"` // the events', exactly
	EventIDs     []string    `json:"eventIds"`                  // at most 1,000
	Value        *string     `json:"value" api:"chars=1-499"`   // a text or a number as it is sent, exactly
	Paths        []string    `json:"paths"`                     // where the value is: in the event as destinations receive it, or in the webhook's body
	Source       *string     `json:"source"`                    // only its records
	ReceivedFrom *clock.Time `json:"receivedFrom"`              // only records received from then on
	ReceivedTo   *clock.Time `json:"receivedTo"`
	All          *bool       `json:"all"`                                   // needed for a value without source and window: every event is read
	Limit        *int        `json:"limit" api:"minimum=1,maximum=1000000"` // events to erase at most
	DryRun       *bool       `json:"dryRun"`
	Reason       *string     `json:"reason" api:"chars=5-500"` // required unless it is a dry run
	RequestedBy  *string     `json:"requestedBy" api:"chars=2-120"`
}

// Mistakes returns every invalid field.
func (o Order) Mistakes() []fault.Field {
	faults := o.kindMistakes()
	faults = append(faults, lengths("subject", o.Subject, 1, maxText)...)
	faults = append(faults, lengths("value", o.Value, 1, maxText)...)
	for i, eventID := range o.EventIDs {
		if !id.Valid(strings.ToLower(eventID)) {
			faults = append(faults, wrong(fmt.Sprintf("eventIds[%d]", i), "must be the UUID of an event"))
		}
	}
	for i, path := range o.Paths {
		if _, err := redaction.ParsePath(path); err != nil {
			faults = append(faults, wrong(fmt.Sprintf("paths[%d]", i), "%s", err))
		}
	}
	if o.Source != nil && !provider.ValidSourceName(*o.Source) {
		faults = append(faults, wrong("source", "must be the name of a source"))
	}
	faults = append(faults, o.windowMistakes()...)
	if o.Limit != nil && (*o.Limit < 1 || *o.Limit > maxLimit) {
		faults = append(faults, wrong("limit", "must be a whole number from 1 to %d", maxLimit))
	}
	if o.Reason == nil && !isTrue(o.DryRun) {
		faults = append(faults, wrong("reason", "is required"))
	}
	faults = append(faults, lengths("reason", o.Reason, 5, 500)...)
	return append(faults, lengths("requestedBy", o.RequestedBy, 2, 120)...)
}

func (o Order) kindMistakes() (faults []fault.Field) {
	kinds := 0
	for _, given := range []bool{o.Subject != nil, o.EventIDs != nil, o.Value != nil} {
		if given {
			kinds++
		}
	}
	narrowed := o.Source != nil || o.ReceivedFrom != nil || o.ReceivedTo != nil
	switch {
	case kinds != 1:
		faults = append(faults, wrong("subject", "give one of subject, eventIds and value: it says what is erased"))
	case o.EventIDs != nil && (len(o.EventIDs) == 0 || len(o.EventIDs) > maxEvents):
		faults = append(faults, wrong("eventIds", "must have from 1 to %d ids", maxEvents))
	case o.EventIDs != nil && (narrowed || o.Limit != nil):
		faults = append(faults, wrong("eventIds", "cannot be combined with source, receivedFrom, receivedTo or limit"))
	case o.Value != nil && (len(o.Paths) == 0 || len(o.Paths) > maxPaths):
		faults = append(faults, wrong("paths", "must have from 1 to %d JSON paths, such as $.data.email", maxPaths))
	case o.Value != nil && !narrowed && !isTrue(o.All):
		faults = append(faults, wrong("all", `every event would be read: give source, receivedFrom or receivedTo, or set "all": true`))
	}
	if o.Value == nil && o.Paths != nil {
		faults = append(faults, wrong("paths", "are for a value"))
	}
	if isTrue(o.All) && (o.Value == nil || narrowed) {
		faults = append(faults, wrong("all", "is for a value without source and window"))
	}
	return faults
}

func (o Order) windowMistakes() (faults []fault.Field) {
	for _, bound := range []struct {
		field string
		at    *clock.Time
	}{{"receivedFrom", o.ReceivedFrom}, {"receivedTo", o.ReceivedTo}} {
		if bound.at != nil && (bound.at.UTC().Year() < 1 || bound.at.UTC().Year() > 9999) {
			faults = append(faults, wrong(bound.field, "must be an RFC 3339 time such as 2026-01-31T00:00:00Z"))
		}
	}
	if o.ReceivedFrom != nil && o.ReceivedTo != nil && o.ReceivedTo.Before(o.ReceivedFrom.Time) {
		faults = append(faults, wrong("receivedTo", "must not be before receivedFrom"))
	}
	return faults
}

func wrong(field, format string, args ...any) fault.Field {
	return fault.Field{Field: field, Message: fmt.Sprintf(format, args...)}
}

// lengths checks a text that may be absent, as it is.
func lengths(field string, value *string, low, high int) []fault.Field {
	if value == nil {
		return nil
	}
	return httpapi.CheckText(field, *value, low, high)
}

func isTrue(flag *bool) bool { return flag != nil && *flag }

// target is what an erasure removes, as it is stored. What it looks for is removed when it ends.
type target struct {
	Subject      string      `json:"subject,omitempty"`
	EventIDs     []string    `json:"eventIds,omitempty"` // in order
	Value        string      `json:"value,omitempty"`
	Paths        []string    `json:"paths,omitempty"`
	Source       *string     `json:"source,omitempty"`
	ReceivedFrom *clock.Time `json:"receivedFrom,omitempty"`
	ReceivedTo   *clock.Time `json:"receivedTo,omitempty"`
}

// The kinds of erasures.
const (
	bySubject = "subject"
	byEvents  = "events"
	byValue   = "value"
)

func (t target) kind() string {
	switch {
	case len(t.Paths) > 0:
		return byValue
	case len(t.EventIDs) > 0:
		return byEvents
	}
	return bySubject
}

// text is what the erasure looks for; "" of events.
func (t target) text() string { return t.Subject + t.Value }

// scan selects the records of some sources, nil for all.
func (t target) scan(sources []string) contract.ErasureScan {
	return contract.ErasureScan{Sources: sources, Subject: t.Subject, ReceivedFrom: timeOf(t.ReceivedFrom), ReceivedTo: timeOf(t.ReceivedTo)}
}

// holds looks for the value at the paths; nil for an erasure that is not by value.
func (t target) holds() (func(provider.Request) (found, read bool), error) {
	if t.kind() != byValue {
		return nil, nil //nolint:nilnil // contents do not matter
	}
	var paths redaction.Paths
	for _, text := range t.Paths {
		one, err := redaction.ParsePath(text)
		if err != nil {
			return nil, fmt.Errorf("the path %s %w", text, err)
		}
		paths = paths.And(one)
	}
	return func(req provider.Request) (found, read bool) {
		return provider.Holds(req, paths, func(text string) bool { return text == t.Value })
	}, nil
}

func timeOf(t *clock.Time) *time.Time {
	if t == nil {
		return nil
	}
	at := t.UTC()
	return &at
}

// resolve makes what is stored of an order without mistakes, within what ctx's credential may
// see, and returns the sources that it is restricted to; nil for all.
func (m *Module) resolve(ctx context.Context, o Order) (t target, sources []string, err error) {
	t = target{Paths: o.Paths, Source: o.Source, ReceivedFrom: o.ReceivedFrom, ReceivedTo: o.ReceivedTo}
	if o.Subject != nil {
		t.Subject = *o.Subject
	}
	if o.Value != nil {
		t.Value = *o.Value
	}
	if scope := httpapi.ScopeOf(ctx); scope != nil {
		sources = append([]string{}, scope.Sources...)
	}
	if o.Source != nil {
		if !httpapi.SeesSource(ctx, *o.Source) {
			return t, nil, httpapi.Invalid([]fault.Field{wrong("source", "names no source that there is")})
		}
		sources = []string{*o.Source}
	}
	for _, eventID := range o.EventIDs {
		t.EventIDs = append(t.EventIDs, strings.ToLower(eventID))
	}
	slices.Sort(t.EventIDs)
	t.EventIDs = slices.Compact(t.EventIDs)
	return t, sources, m.checkEvents(ctx, o, t.EventIDs)
}

// checkEvents rejects the ids of events that do not exist or belong to sources that ctx's
// credential may not see.
func (m *Module) checkEvents(ctx context.Context, o Order, eventIDs []string) error {
	known, err := m.d.Events.ErasureEvents(ctx, eventIDs)
	if err != nil {
		return err
	}
	visible := map[string]bool{}
	for _, e := range known {
		visible[e.EventID] = httpapi.SeesSource(ctx, e.Source)
	}
	var faults []fault.Field
	for i, eventID := range o.EventIDs {
		if !visible[strings.ToLower(eventID)] {
			faults = append(faults, wrong(fmt.Sprintf("eventIds[%d]", i), "names no event that there is"))
		}
	}
	if len(faults) > 0 {
		return httpapi.Invalid(faults)
	}
	return nil
}
