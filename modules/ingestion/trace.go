package ingestion

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/telemetry"
	"integration-gateway/platform/tracing"
)

// way holds when the steps of a webhook's way were, for the spans that are made of it once it is
// answered: whether it is traced follows from its event's id, which is not known before. While
// nothing is traced it holds no times.
type way struct {
	now clock.Now // nil while nothing is traced

	began              time.Time
	verifies, verified time.Time // zero if it did not come so far, as are the next
	stores, stored     time.Time

	receipt receipt
	drafts  []draft
	bytes   int // of the body
	read    bool
	proved  bool // its sender is verified
}

func (m *Module) newWay(began time.Time) way {
	if !m.d.Traces.On() {
		return way{}
	}
	return way{now: m.d.Now, began: began}
}

// note notes that a step begins or ends now.
func (w *way) note(at *time.Time) {
	if w.now != nil {
		*at = w.now()
	}
}

// traced is an event of a webhook. It is new unless the webhook is a repeat.
type traced struct {
	id    string
	isNew bool
}

// events returns the events that the webhook brought, new or known.
func (w *way) events() []traced {
	if w.receipt.EventID == "" {
		return nil
	}
	ids := w.receipt.EventIDs
	if len(ids) == 0 {
		ids = []string{w.receipt.EventID}
	}
	list := make([]traced, len(ids))
	for i, eventID := range ids {
		list[i] = traced{eventID, i < len(w.drafts) && w.drafts[i].id == eventID}
	}
	return list
}

// refusedTraces is how many requests without an event are traced in a second. Anybody can send
// them, and the traces of events must not be dropped for them.
const refusedTraces = 10

// refusedTracer admits them. Its counts may be off by a few where seconds meet.
type refusedTracer struct{ second, n atomic.Int64 }

func (r *refusedTracer) admits(now time.Time) bool {
	if second := now.Unix(); r.second.Swap(second) != second {
		r.n.Store(0)
	}
	return r.n.Add(1) <= refusedTraces
}

// trace makes the spans of an answered request, and names its trace in the request's log line. It
// returns the trace's id; "" if it is not traced. A request without an event has a trace of its
// own, and a repeat is in the trace of its event.
func (m *Module) trace(c echo.Context, w *way, source, outcome string, err error) string {
	if w.now == nil {
		return ""
	}
	if w.receipt.EventID != "" && len(w.receipt.EventIDs) == 0 && !m.d.Traces.Sampled(w.receipt.EventID) {
		return "" // most webhooks, where few are traced
	}
	ended, r := w.now(), c.Request()
	events := w.events()
	if len(events) == 0 {
		events = []traced{{m.traceOf(r.Context()), true}}
		if !m.d.Traces.Sampled(events[0].id) || !m.refusedTraces.admits(ended) {
			return ""
		}
	}
	for i, e := range events {
		if !m.d.Traces.Sampled(e.id) {
			continue
		}
		span := m.ingested(r, c.Path(), w, e, events[0])
		span.Text(tracing.HTTPMethod, r.Method).Text(tracing.HTTPRoute, c.Path()).Text(tracing.URLScheme, schemeOf(r)).
			Number(tracing.HTTPStatus, answeredStatus(c, err)).Number(tracing.HTTPBodySize, w.bytes).Text(tracing.Source, source).Text(tracing.Outcome, outcome)
		if source != unknownSource {
			span.Text(tracing.URLPath, withoutSegments(r.URL.Path))
		}
		if correlationID := correlation(r.Context()); id.Generated(correlationID) { // others may be names of people
			span.Text(tracing.CorrelationID, correlationID)
		}
		if w.receipt.EventID != "" {
			span.Text(tracing.EventID, e.id)
		}
		m.steps(span, w, outcome, err)
		span.End(ended)
		if i == 0 {
			c.SetRequest(r.WithContext(span.Context(r.Context())))
		}
	}
	if w.receipt.EventID == "" {
		return m.d.Traces.TraceID(events[0].id)
	}
	return m.d.Traces.TraceID(w.receipt.EventID)
}

// ingested begins the span of a webhook in the trace of one of its events. That of the first one
// links to the sender's own trace, which this one is no part of, and the others to the first.
func (m *Module) ingested(r *http.Request, route string, w *way, e, first traced) tracing.Span {
	begin := m.d.Traces.Begin
	if e.isNew {
		begin = m.d.Traces.First
	}
	if e != first {
		return begin(e.id, "event of "+r.Method+" "+route, tracing.Internal, w.began, m.d.Traces.Traceparent(first.id))
	}
	return begin(e.id, r.Method+" "+route, tracing.Server, w.began, r.Header.Get("Traceparent"))
}

// steps makes the spans below a webhook's first one, and says there why it failed.
func (m *Module) steps(span tracing.Span, w *way, outcome string, err error) {
	reason := ""
	if err != nil {
		reason = "internal"
		if f := fault.As(err); f != nil {
			reason = f.Reason
		}
		span.Text(tracing.Reason, reason)
	}
	if outcome == "failed" { // a refusal is the sender's failure
		span.Fail(reason)
	}
	if !w.verifies.IsZero() {
		verify := span.Begin("verify", tracing.Internal, w.verifies)
		ended := w.verified
		if ended.IsZero() {
			ended = w.now()
			verify.Fail(reason)
		}
		verify.End(ended)
	}
	if !w.stores.IsZero() {
		store := span.Begin("store", tracing.Client, w.stores)
		ended := w.stored
		if ended.IsZero() {
			ended = w.now()
			store.Fail(reason)
		}
		store.Text(tracing.DBSystem, m.d.Traces.Database()).Text(tracing.DBOperation, "COMMIT")
		if w.receipt.group > 1 {
			store.Number(tracing.DBBatchSize, w.receipt.group)
		}
		store.End(ended)
	}
}

// schemeOf is how the request came to this process.
func schemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// answeredStatus returns the status of a request's answer, which for an error is yet to be
// written.
func answeredStatus(c echo.Context, err error) int {
	if err == nil {
		return c.Response().Status
	}
	kind := fault.Internal
	if f := fault.As(err); f != nil {
		kind = f.Kind
	}
	return httpapi.StatusOf(kind)
}

// traceOf returns the id for the trace of a request without an event: that of the event which
// its correlation id would have made, or a new one.
func (m *Module) traceOf(ctx context.Context) string {
	if eventID := id.EventOf(telemetry.GeneratedCorrelation(ctx)); eventID != "" {
		return eventID
	}
	return id.NewEvent()
}

// traceRelease makes the spans of a request that was released from quarantine.
func (m *Module) traceRelease(w *way, source string) {
	if w.now == nil {
		return
	}
	for _, e := range w.events() {
		begin := m.d.Traces.Begin
		if e.isNew {
			begin = m.d.Traces.First
		}
		span := begin(e.id, "release from quarantine", tracing.Internal, w.began)
		span.Text(tracing.EventID, e.id).Text(tracing.Source, source)
		m.steps(span, w, "accepted", nil)
		span.End(w.now())
	}
}

// tracedOf returns the id of the first trace among a commit's webhooks, "" if none is traced.
func (m *Module) tracedOf(webhooks []verifiedWebhook) string {
	if !m.d.Traces.On() {
		return ""
	}
	for _, w := range webhooks {
		for _, e := range w.events {
			if traceID := m.d.Traces.TraceID(e.id); traceID != "" {
				return traceID
			}
		}
	}
	return ""
}
