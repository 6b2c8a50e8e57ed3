package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"integration-gateway/platform/telemetry"
)

// Kind is the role of a span.
type Kind trace.SpanKind

// The kinds of spans.
const (
	Internal = Kind(trace.SpanKindInternal)
	Server   = Kind(trace.SpanKindServer)
	Client   = Kind(trace.SpanKindClient)
	Producer = Kind(trace.SpanKindProducer)
	Consumer = Kind(trace.SpanKindConsumer)
)

// Span is a step of an event's way. The zero Span is that of an event that is not traced: its
// methods do nothing and allocate nothing.
type Span struct {
	ctx    context.Context // holds the span, for its children
	span   trace.Span
	tracer *Tracer
}

// Recording reports whether the span is sent once it has ended.
func (s Span) Recording() bool { return s.span != nil }

// Begin begins a span below this one.
func (s Span) Begin(name string, kind Kind, at time.Time) Span {
	if s.span == nil {
		return Span{}
	}
	return s.tracer.begin(s.ctx, name, kind, at, nil)
}

// Text sets an attribute, unless its value is empty.
func (s Span) Text(key, value string) Span {
	if s.span != nil && value != "" {
		s.span.SetAttributes(attribute.String(key, value))
	}
	return s
}

// Number sets an attribute.
func (s Span) Number(key string, value int) Span {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int(key, value))
	}
	return s
}

// Fail marks the span as failed. kind is one of a fixed set of identifiers, and no text of
// anybody else's; an empty one means that it did not fail.
func (s Span) Fail(kind string) Span {
	if s.span != nil && kind != "" {
		s.span.SetAttributes(attribute.String(ErrorType, kind))
		s.span.SetStatus(codes.Error, kind)
	}
	return s
}

// End ends the span. Afterwards nothing of it can be changed.
func (s Span) End(at time.Time) {
	if s.span != nil {
		s.span.End(trace.WithTimestamp(at))
	}
}

// Traceparent returns the header by which others continue after this span; "" for the zero Span.
func (s Span) Traceparent() string {
	if s.span == nil {
		return ""
	}
	return traceparent(s.span.SpanContext())
}

// Context returns a context whose log lines carry the ids of the trace and the span.
func (s Span) Context(ctx context.Context) context.Context {
	if s.span == nil {
		return ctx
	}
	c := s.span.SpanContext()
	return telemetry.WithTrace(ctx, c.TraceID().String(), c.SpanID().String())
}
