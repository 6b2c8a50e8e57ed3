// Package tracing makes the spans of an event's way through the gateway and sends them to an
// OpenTelemetry collector. It chooses which events are traced and how their traces are named;
// what the spans are is for their modules to say.
//
// An event's trace id is its own id, without hyphens, and the id of its first span is the second
// half of that: a retry on the next day, a replay and another process find both without being
// told. Whether an event is traced follows from its id alone, so that all processes with the same
// sampler agree.
package tracing

import (
	"context"
	"log/slog"
	"maps"
	"time"

	otel "go.opentelemetry.io/otel/sdk"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config says which events are traced, and where their spans go.
type Config struct {
	Exporter Exporter
	Sampler  Sampler
	Batch    Batch
	Resource map[string]string // what describes this process, by the names of the conventions

	Database, Broker string // their names in the conventions, such as postgresql and rabbitmq
}

// Batch bounds the spans that wait to be sent. Beyond Queue they are dropped.
type Batch struct {
	Queue   int           // spans
	Size    int           // spans of one request, at most
	Delay   time.Duration // how long a span waits for others
	Timeout time.Duration // of a request, with its repeats
}

// scope names this instrumentation in every span.
const scope = "integration-gateway"

// Tracer makes spans. A nil Tracer is off: its methods do nothing and allocate nothing.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	sampler  Sampler

	database, broker string
}

// New starts sending spans. Its error says which file of the exporter cannot be used.
func New(cfg Config, log *slog.Logger) (*Tracer, error) {
	resource := map[string]string{sdkName: "opentelemetry", sdkLanguage: "go", sdkVersion: otel.Version()}
	maps.Copy(resource, cfg.Resource)
	out, err := newExporter(cfg.Exporter, resource, log)
	if err != nil {
		return nil, err
	}
	return newTracer(cfg, out), nil
}

func newTracer(cfg Config, out sdk.SpanExporter) *Tracer {
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.AlwaysSample()), // a span that is not sampled is not begun
		sdk.WithIDGenerator(ids{}),
		sdk.WithResource(resource.Empty()), // the exporter has it
		sdk.WithRawSpanLimits(sdk.SpanLimits{AttributeValueLengthLimit: 1024, AttributeCountLimit: 64, EventCountLimit: 16, LinkCountLimit: 128,
			AttributePerEventCountLimit: 16, AttributePerLinkCountLimit: 16}),
		sdk.WithBatcher(out, sdk.WithMaxQueueSize(cfg.Batch.Queue), sdk.WithMaxExportBatchSize(cfg.Batch.Size),
			sdk.WithBatchTimeout(cfg.Batch.Delay), sdk.WithExportTimeout(cfg.Batch.Timeout)))
	return &Tracer{provider: provider, tracer: provider.Tracer(scope, trace.WithSchemaURL(schema)), sampler: cfg.Sampler,
		database: cfg.Database, broker: cfg.Broker}
}

// Close sends what waits, until ctx ends.
func (t *Tracer) Close(ctx context.Context) {
	if t != nil {
		_ = t.provider.Shutdown(ctx) // what could not be sent is logged by the exporter
	}
}

// On reports whether any event is traced. Nothing has to be measured for spans if not.
func (t *Tracer) On() bool { return t != nil }

// Database returns the value of DBSystem.
func (t *Tracer) Database() string {
	if t == nil {
		return ""
	}
	return t.database
}

// Broker returns the value of MessagingSystem.
func (t *Tracer) Broker() string {
	if t == nil {
		return ""
	}
	return t.broker
}

// Sampled reports whether an event is traced.
func (t *Tracer) Sampled(eventID string) bool { return t != nil && t.sampler.samples(eventID) }

// TraceID returns the id of an event's trace, in hex; "" if the event is not traced.
func (t *Tracer) TraceID(eventID string) string {
	if !t.Sampled(eventID) {
		return ""
	}
	return root(eventID, true).TraceID().String()
}

// Traceparent returns the header of W3C's Trace Context by which others continue an event's
// trace; "" if nothing is traced. The header of an event that is not sampled says so.
// https://www.w3.org/TR/trace-context-2/
func (t *Tracer) Traceparent(eventID string) string {
	if t == nil {
		return ""
	}
	return traceparent(root(eventID, t.sampler.samples(eventID)))
}

// First begins the first span of an event's trace. It is the parent of all others that Begin
// begins. links are traceparent headers; invalid ones are left out.
func (t *Tracer) First(eventID, name string, kind Kind, at time.Time, links ...string) Span {
	if !t.Sampled(eventID) {
		return Span{}
	}
	return t.begin(context.WithValue(context.Background(), rootKey{}, root(eventID, true)), name, kind, at, links)
}

// Begin begins a span below the first one of an event's trace.
func (t *Tracer) Begin(eventID, name string, kind Kind, at time.Time, links ...string) Span {
	if !t.Sampled(eventID) {
		return Span{}
	}
	return t.begin(trace.ContextWithRemoteSpanContext(context.Background(), root(eventID, true)), name, kind, at, links)
}

func (t *Tracer) begin(ctx context.Context, name string, kind Kind, at time.Time, links []string) Span {
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKind(kind)), trace.WithTimestamp(at)}
	for _, link := range links {
		if to, ok := parse(link); ok {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: to}))
		}
	}
	ctx, span := t.tracer.Start(ctx, name, options...)
	return Span{ctx: ctx, span: span, tracer: t}
}
