package tracing

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// rootKey is where ids find the first span's ids in a context.
type rootKey struct{}

// ids chooses the ids of spans: those of an event's first span are the event's.
type ids struct{}

// NewIDs returns the ids of a trace's first span.
func (i ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if first, ok := ctx.Value(rootKey{}).(trace.SpanContext); ok {
		return first.TraceID(), first.SpanID()
	}
	var id trace.TraceID
	binary.BigEndian.PutUint64(id[:8], random())
	binary.BigEndian.PutUint64(id[8:], random())
	return id, i.NewSpanID(ctx, id)
}

// NewSpanID returns the id of another span.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], random())
	return id
}

// random is not 0, which is no id.
func random() uint64 { return 1 + rand.Uint64N(math.MaxUint64) } //nolint:gosec // these ids are no secrets

// root returns the context of an event's first span. The variant of a UUID keeps its second half
// from being 0.
func root(eventID string, sampled bool) trace.SpanContext {
	var made trace.SpanContextConfig
	if _, err := hex.Decode(made.TraceID[:], []byte(strings.ReplaceAll(eventID, "-", ""))); err != nil {
		return trace.SpanContext{}
	}
	copy(made.SpanID[:], made.TraceID[8:])
	if sampled {
		made.TraceFlags = trace.FlagsSampled
	}
	return trace.NewSpanContext(made)
}

// traceparent writes a span's context as a header, "" if it is invalid.
func traceparent(c trace.SpanContext) string {
	if !c.IsValid() {
		return ""
	}
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
}

// parse reads a traceparent header. Of later versions it reads what this one has.
func parse(text string) (trace.SpanContext, bool) {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(text) < length || len(text) > length && (text[:2] == "00" || text[length] != '-') ||
		text[2] != '-' || text[35] != '-' || text[52] != '-' || strings.ToLower(text) != text {
		return trace.SpanContext{}, false
	}
	version, err := hex.DecodeString(text[:2])
	if err != nil || version[0] == math.MaxUint8 {
		return trace.SpanContext{}, false
	}
	traceID, err := trace.TraceIDFromHex(text[3:35])
	if err != nil {
		return trace.SpanContext{}, false
	}
	spanID, err := trace.SpanIDFromHex(text[36:52])
	if err != nil {
		return trace.SpanContext{}, false
	}
	flags, err := hex.DecodeString(text[53:length])
	if err != nil {
		return trace.SpanContext{}, false
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: trace.TraceFlags(flags[0]) & trace.FlagsSampled, Remote: true}), true
}
