package tracing

import (
	"encoding/binary"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of OTLP's messages that are written. Their numbers never change.
// https://github.com/open-telemetry/opentelemetry-proto/tree/main/opentelemetry/proto
const (
	requestResourceSpans protowire.Number = 1

	resourceSpansResource   protowire.Number = 1
	resourceSpansScopeSpans protowire.Number = 2
	resourceAttributes      protowire.Number = 1

	scopeSpansScope     protowire.Number = 1
	scopeSpansSpans     protowire.Number = 2
	scopeSpansSchemaURL protowire.Number = 3
	scopeName           protowire.Number = 1

	spanTraceID    protowire.Number = 1
	spanSpanID     protowire.Number = 2
	spanParentID   protowire.Number = 4
	spanName       protowire.Number = 5
	spanKind       protowire.Number = 6
	spanStart      protowire.Number = 7
	spanEnd        protowire.Number = 8
	spanAttributes protowire.Number = 9
	spanLinks      protowire.Number = 13
	spanStatus     protowire.Number = 15
	spanFlags      protowire.Number = 16

	linkTraceID protowire.Number = 1
	linkSpanID  protowire.Number = 2
	linkFlags   protowire.Number = 6

	statusMessage protowire.Number = 2
	statusCode    protowire.Number = 3

	keyValueKey   protowire.Number = 1
	keyValueValue protowire.Number = 2

	valueString protowire.Number = 1
	valueBool   protowire.Number = 2
	valueInt    protowire.Number = 3
	valueDouble protowire.Number = 4

	responsePartialSuccess protowire.Number = 1
	partialRejectedSpans   protowire.Number = 1
)

// statusError is the code of a failed span.
const statusError = 2

// The flags of a span, and of a link, say in the ninth bit that the tenth says whether the parent,
// or what is linked, is of another process.
const (
	knowsRemote = 0x100
	isRemote    = 0x200
)

// encodeResource encodes a Resource.
func encodeResource(of map[string]string) (out []byte) {
	for _, key := range sorted(of) {
		out = appendMessage(out, resourceAttributes, appendAttribute(nil, attribute.String(key, of[key])))
	}
	return out
}

// encodeRequest encodes an ExportTraceServiceRequest with spans of one resource and scope.
func encodeRequest(resource []byte, spans []sdk.ReadOnlySpan) []byte {
	scoped := appendMessage(nil, scopeSpansScope, appendText(nil, scopeName, scope))
	for _, s := range spans {
		scoped = appendMessage(scoped, scopeSpansSpans, encodeSpan(s))
	}
	scoped = appendText(scoped, scopeSpansSchemaURL, schema)
	all := appendMessage(nil, resourceSpansResource, resource)
	all = appendMessage(all, resourceSpansScopeSpans, scoped)
	return appendMessage(nil, requestResourceSpans, all)
}

func encodeSpan(s sdk.ReadOnlySpan) []byte {
	own, parent := s.SpanContext(), s.Parent()
	out := appendIDs(make([]byte, 0, 512), own, spanTraceID, spanSpanID)
	if parent.IsValid() {
		id := parent.SpanID()
		out = appendMessage(out, spanParentID, id[:])
	}
	out = appendText(out, spanName, s.Name())
	out = appendNumber(out, spanKind, uint64(s.SpanKind()))
	out = appendTime(out, spanStart, s.StartTime())
	out = appendTime(out, spanEnd, s.EndTime())
	for _, a := range s.Attributes() {
		out = appendMessage(out, spanAttributes, appendAttribute(nil, a))
	}
	for _, l := range s.Links() {
		link := appendFlags(appendIDs(nil, l.SpanContext, linkTraceID, linkSpanID), linkFlags, l.SpanContext.TraceFlags(), l.SpanContext)
		out = appendMessage(out, spanLinks, link)
	}
	if status := s.Status(); status.Code == codes.Error {
		out = appendMessage(out, spanStatus, appendNumber(appendText(nil, statusMessage, status.Description), statusCode, statusError))
	}
	return appendFlags(out, spanFlags, own.TraceFlags(), parent)
}

// appendIDs appends the two ids of a span.
func appendIDs(out []byte, of trace.SpanContext, traceField, spanField protowire.Number) []byte {
	traceID, spanID := of.TraceID(), of.SpanID()
	return appendMessage(appendMessage(out, traceField, traceID[:]), spanField, spanID[:])
}

// appendFlags appends flags, and whether of is of another process.
func appendFlags(out []byte, field protowire.Number, flags trace.TraceFlags, of trace.SpanContext) []byte {
	value := uint32(flags) | knowsRemote
	if of.IsRemote() {
		value |= isRemote
	}
	return protowire.AppendFixed32(protowire.AppendTag(out, field, protowire.Fixed32Type), value)
}

// appendAttribute appends the fields of a KeyValue.
func appendAttribute(out []byte, a attribute.KeyValue) []byte {
	var value []byte
	switch a.Value.Type() {
	case attribute.INT64:
		value = appendNumber(nil, valueInt, uint64(a.Value.AsInt64()))
	case attribute.BOOL:
		value = appendNumber(nil, valueBool, protowire.EncodeBool(a.Value.AsBool()))
	case attribute.FLOAT64:
		value = protowire.AppendFixed64(protowire.AppendTag(nil, valueDouble, protowire.Fixed64Type), math.Float64bits(a.Value.AsFloat64()))
	default:
		value = appendText(nil, valueString, a.Value.Emit())
	}
	return appendMessage(appendText(out, keyValueKey, string(a.Key)), keyValueValue, value)
}

func appendMessage(out []byte, field protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(out, field, protowire.BytesType), message)
}

func appendText(out []byte, field protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(out, field, protowire.BytesType), text)
}

func appendNumber(out []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(out, field, protowire.VarintType), n)
}

func appendTime(out []byte, field protowire.Number, at time.Time) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(out, field, protowire.Fixed64Type), uint64(max(at.UnixNano(), 0)))
}

// rejectedSpans reads from an ExportTraceServiceResponse how many spans were not taken; 0 if it
// cannot be read.
func rejectedSpans(answer []byte) int64 {
	partial, found := fieldOf(answer, responsePartialSuccess)
	if !found {
		return 0
	}
	rejected, _ := fieldOf(partial, partialRejectedSpans)
	if len(rejected) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(rejected))
}

// fieldOf returns the value of a message's field: its bytes, or a number as eight.
func fieldOf(message []byte, field protowire.Number) (value []byte, found bool) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, false
		}
		message = message[n:]
		size := protowire.ConsumeFieldValue(number, kind, message)
		if size < 0 {
			return nil, false
		}
		if number == field {
			switch kind {
			case protowire.BytesType:
				value, _ = protowire.ConsumeBytes(message)
				return value, true
			case protowire.VarintType:
				n, _ := protowire.ConsumeVarint(message)
				return binary.BigEndian.AppendUint64(nil, n), true
			}
		}
		message = message[size:]
	}
	return nil, false
}
