package delivery

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/id"
	"integration-gateway/platform/telemetry"
)

// The error kinds of attempts, besides those of egress.
const (
	failedStatus   = "http_status" // an answer other than 2xx
	failedRedirect = "redirect"
	failedToken    = "token"  // the token endpoint returned no token
	failedUnsent   = "unsent" // there was nothing to send
)

// failureKinds lists all kinds, for validation.
var failureKinds = []string{failedStatus, failedRedirect, failedToken, failedUnsent, string(egress.KindRefused), string(egress.KindProxy),
	string(egress.KindDNS), string(egress.KindTimeout), string(egress.KindTLS), string(egress.KindNoListener), string(egress.KindUnreachable),
	string(egress.KindLost), string(egress.KindProtocol), string(egress.KindOther)}

// refusedPrefix is the prefix of a stored refusal; its reason follows.
const refusedPrefix = string(egress.KindRefused) + ":"

// failureOf returns the stored kind of an error.
func failureOf(err error) string {
	var refusal egress.Refusal
	var token destination.TokenError
	switch {
	case errors.As(err, &refusal):
		return refusedPrefix + refusal.Reason()
	case errors.As(err, &token):
		return failedToken
	}
	return string(egress.KindOf(err))
}

// kind returns the attempt's error kind as it is stored; nil if it succeeded.
func (r response) kind() *string {
	kind := r.failure
	switch {
	case r.received():
		return nil
	case kind != "":
	case r.status >= 300 && r.status < 400:
		kind = failedRedirect
	default:
		kind = failedStatus
	}
	return &kind
}

// wording returns the stored text of an error that prevented an answer.
func (m *Module) wording(d *destination.Destination, err error) string {
	var f *egress.Failure
	if errors.As(err, &f) && f.Overdue && !errors.As(err, new(destination.TokenError)) {
		return "no answer within " + d.Timeout(m.cfg.Timeout).String() + ": " + f.Error()
	}
	return err.Error()
}

// countAttempts adds recorded attempts to the metrics.
func (m *Module) countAttempts(list []decided) {
	now := m.now()
	for _, d := range list {
		a := contract.CountedAttempt{Source: d.event.Source, DestinationID: d.destination.ID,
			DestinationName: d.event.Source + "/" + strconv.Itoa(m.destinations.Number(d.destination)),
			Outcome:         d.outcome.String(), At: now, Took: d.response.duration, TraceID: m.traces.TraceID(d.EventID)}
		if k := d.response.kind(); k != nil {
			a.ErrorKind, _, _ = strings.Cut(*k, ":") // without the reason of a refusal
		}
		if a.ErrorKind == "" && d.ReplayRequestID == nil {
			a.EndToEnd = max(time.Nanosecond, now.Sub(id.Time(d.EventID))) // clocks may differ
		}
		m.metrics.Attempted(a)
	}
}

// logged returns the fields of every log line about a job: its event's source and id, its
// destination and the number of its attempt, as far as it has them.
func (c claimed) logged() []any {
	fields := []any{telemetry.EventField, c.EventID, "job_id", c.ID, "attempt", c.AttemptNo}
	if c.source != "" {
		fields = append([]any{"source", c.source}, fields...)
	}
	if c.DestinationID != nil {
		fields = append(fields, "destination_id", *c.DestinationID)
	}
	return fields
}

// logAttempt logs how an attempt ended; err says that its outcome could not be stored.
func (m *Module) logAttempt(a attempt, r response, err error) {
	ctx := a.lines(context.Background())
	fields := append(a.logged(), "http_status", r.status, "duration_ms", r.duration.Milliseconds())
	switch {
	case err != nil:
		m.log.ErrorContext(ctx, "could not store an attempt's outcome", append(fields, "error", err)...)
	case r.received():
		m.log.InfoContext(ctx, "delivered", fields...)
	default:
		fields = append(fields, "error", *r.problem())
		if r.detail != "" {
			fields = append(fields, "detail", r.detail)
		}
		m.log.WarnContext(ctx, "not delivered", fields...)
	}
}
