package tracing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	otel "go.opentelemetry.io/otel/sdk"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	otlp "go.opentelemetry.io/proto/slim/otlp/trace/v1"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/telemetry"
	"integration-gateway/platform/testkit"
)

// output is a log that several goroutines write.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func open(t testing.TB, url string, change ...func(*Config)) (*Tracer, *output) {
	t.Helper()
	log := &output{}
	cfg := Config{Exporter: Exporter{URL: url + "/v1/traces", Timeout: 5 * time.Second}, Sampler: Sample(1),
		Batch:    Batch{Queue: 64, Size: 16, Delay: time.Millisecond, Timeout: 5 * time.Second},
		Resource: map[string]string{ServiceName: "integration-gateway"}, Database: PostgreSQL, Broker: RabbitMQ}
	for _, c := range change {
		c(&cfg)
	}
	tracer, err := New(cfg, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		tracer.Close(ended)
	})
	return tracer, log
}

func flush(t testing.TB, tracer *Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, tracer.provider.ForceFlush(ctx))
}

// TestACollectorReadsWhatIsSent: the encoding is our own, and is read here by OTLP's own package.
func TestACollectorReadsWhatIsSent(t *testing.T) {
	c := testkit.NewCollector(t)
	for _, packed := range []bool{false, true} {
		tracer, _ := open(t, c.URL, func(cfg *Config) {
			cfg.Exporter.Gzip = packed
			cfg.Exporter.Headers = map[string]secret.Value{"Authorization": secret.New("Bearer t0ken")}
		})
		eventID, at := id.NewEvent(), time.Date(2026, 1, 5, 9, 0, 0, 123456789, time.UTC)
		first := tracer.First(eventID, "POST /x", Server, at, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "nonsense")
		first.Text(Source, "acme").Number(HTTPStatus, 202).Text(Reason, "")
		child := first.Begin("store", Client, at.Add(time.Millisecond))
		child.Fail("store_slow").End(at.Add(3 * time.Millisecond))
		first.End(at.Add(5 * time.Millisecond))
		elsewhere := tracer.Begin(eventID, "process q", Consumer, at.Add(time.Second), child.Traceparent())
		elsewhere.End(at.Add(2 * time.Second))
		flush(t, tracer)

		traceID := strings.ReplaceAll(eventID, "-", "")
		spans := c.Trace(traceID)
		require.Len(t, spans, 3)
		root := testkit.Named(t, spans, "POST /x")
		require.Equal(t, traceID[16:], root.ID, "another process knows it by the event's id")
		require.Empty(t, root.ParentID)
		require.Equal(t, otlp.Span_SPAN_KIND_SERVER, root.Kind)
		require.Equal(t, map[string]string{Source: "acme", HTTPStatus: "202"}, root.Attributes)
		require.Equal(t, []string{"0af7651916cd43dd8448eb211c80319c/b7ad6b7169203331"}, root.Links)
		require.Equal(t, uint64(at.UnixNano()), root.Start)
		require.Equal(t, uint64(at.Add(5*time.Millisecond).UnixNano()), root.End)
		require.False(t, root.Failed)
		require.Equal(t, map[string]string{ServiceName: "integration-gateway", sdkName: "opentelemetry", sdkLanguage: "go", sdkVersion: otel.Version()}, root.Resource)
		require.Equal(t, semconv.SchemaURL, root.SchemaURL)

		store := testkit.Named(t, spans, "store")
		require.Equal(t, root.ID, store.ParentID)
		require.Equal(t, otlp.Span_SPAN_KIND_CLIENT, store.Kind)
		require.True(t, store.Failed)
		require.Equal(t, "store_slow", store.Attributes[ErrorType])
		process := testkit.Named(t, spans, "process q")
		require.Equal(t, root.ID, process.ParentID)
		require.Equal(t, otlp.Span_SPAN_KIND_CONSUMER, process.Kind)
		require.Equal(t, []string{traceID + "/" + store.ID}, process.Links)
		require.Equal(t, traceID, tracer.TraceID(eventID))
		require.Equal(t, "00-"+traceID+"-"+root.ID+"-01", tracer.Traceparent(eventID))
		require.Equal(t, "Bearer t0ken", c.Requests()[0].Get("Authorization"))
	}
}

// TestASpansLinesNameIt: a line that is logged with a span's context has its ids.
func TestASpansLinesNameIt(t *testing.T) {
	tracer, _ := open(t, testkit.NewCollector(t).URL)
	eventID := id.NewEvent()
	span := tracer.Begin(eventID, "process", Consumer, clock.System())
	var out bytes.Buffer
	telemetry.NewLogger(&out, slog.LevelInfo, true).InfoContext(span.Context(t.Context()), "x")
	var line map[string]string
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.Equal(t, strings.ReplaceAll(eventID, "-", ""), line["trace_id"])
	require.Equal(t, span.Traceparent()[36:52], line["span_id"])
	require.Equal(t, line["trace_id"], telemetry.TraceID(span.Context(t.Context())))
	require.Equal(t, t.Context(), Span{}.Context(t.Context()))
}

// TestWhatIsOffCostsNothing: neither a tracer that is off nor an event that is not sampled
// allocates anything.
func TestWhatIsOffCostsNothing(t *testing.T) {
	sampled, _ := open(t, testkit.NewCollector(t).URL, func(cfg *Config) { cfg.Sampler = Sample(0) })
	eventID, at := id.NewEvent(), clock.System()
	for name, tracer := range map[string]*Tracer{"off": nil, "not sampled": sampled} {
		ctx := t.Context()
		allocated := testing.AllocsPerRun(100, func() {
			span := tracer.First(eventID, "a", Server, at, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			child := span.Begin("b", Internal, at)
			child.Text(Source, "acme").Number(HTTPStatus, 200).Fail("x").End(at)
			tracer.Begin(eventID, "c", Consumer, at, "").End(at)
			if tracer.TraceID(eventID) != "" || span.Recording() || span.Traceparent() != "" || span.Context(ctx) != ctx {
				t.Fatal("it is traced")
			}
		})
		require.Zero(t, allocated, name)
	}
	require.Empty(t, (*Tracer)(nil).Traceparent(eventID))
	require.True(t, strings.HasSuffix(sampled.Traceparent(eventID), "-00"), "others are told that the event is not sampled")
}

// TestTheSamplesOfAShare: about as many events as the share says, by the id alone, and those of a
// smaller share are among those of a larger one.
func TestTheSamplesOfAShare(t *testing.T) {
	const events = 20_000
	shares := []float64{0, 0.01, 0.25, 0.5, 1}
	counts := make([]int, len(shares))
	for range events {
		eventID, before := id.NewEvent(), false
		for i, share := range shares {
			is := Sample(share).samples(eventID)
			require.Equal(t, is, Sample(share).samples(eventID))
			require.True(t, is || !before, "%s is sampled by a smaller share and not by %v", eventID, share)
			if before = is; is {
				counts[i]++
			}
		}
	}
	for i, share := range shares {
		require.InDelta(t, share*events, counts[i], 500, "share %v", share) // seven standard deviations
	}
	require.Zero(t, counts[0])
	require.Equal(t, events, counts[4])
	for _, text := range []string{"", "x", strings.Repeat("x", 36), "0196f0a0-0000-7000-8000-00000000000G"} {
		require.False(t, Sample(1).samples(text), text)
	}
}

func TestTraceparents(t *testing.T) {
	const valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for text, want := range map[string]bool{
		valid: true, strings.Replace(valid, "00-", "cc-", 1): true, strings.Replace(valid, "00-", "cc-", 1) + "-more": true,
		valid + "-more": false, strings.Replace(valid, "00-", "ff-", 1): false, strings.ToUpper(valid): false, valid[:54]: false, "": false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false, "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": false,
		strings.Replace(valid, "-b7", "_b7", 1): false, strings.Replace(valid, "-01", "-0g", 1): false, strings.Replace(valid, "0af", "0xf", 1): false,
		strings.Replace(valid, "00-", "0g-", 1): false, strings.Replace(valid, "b7ad", "b7xd", 1): false,
	} {
		got, ok := parse(text)
		require.Equal(t, want, ok, text)
		if ok {
			require.Equal(t, "0af7651916cd43dd8448eb211c80319c", got.TraceID().String())
			require.True(t, got.IsRemote() && got.IsSampled())
		}
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Fuzz(func(t *testing.T, text string) {
		if c, ok := parse(text); ok && !c.IsValid() {
			t.Fatalf("%q is taken for %v", text, c)
		}
	})
}

// TestACollectorThatIsAway: spans wait up to the bound and are dropped beyond it, nobody waits for
// them, and the log has one line when it begins and one when it ends.
func TestACollectorThatIsAway(t *testing.T) {
	c := testkit.NewCollector(t)
	c.Answer(http.StatusServiceUnavailable)
	tracer, log := open(t, c.URL, func(cfg *Config) { cfg.Batch.Timeout = 50 * time.Millisecond })
	at := clock.System()
	for range 1000 {
		tracer.First(id.NewEvent(), "a", Server, at).End(at)
	}
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "the collector answered 503") }, 10*time.Second, time.Millisecond)
	c.Answer(http.StatusOK)
	require.Eventually(t, func() bool {
		tracer.First(id.NewEvent(), "b", Server, at).End(at)
		return strings.Contains(log.String(), "works again")
	}, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, 1, strings.Count(log.String(), "sending spans failed"))
	require.Less(t, len(c.Spans()), 1000, "the queue is bounded")
}

// TestClosingDoesNotWaitForACollectorThatHangs: it ends with the caller's patience.
func TestClosingDoesNotWaitForACollectorThatHangs(t *testing.T) {
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = hole.Close() }()
	tracer, _ := open(t, "http://"+hole.Addr().String(), func(cfg *Config) { cfg.Exporter.Timeout, cfg.Batch.Timeout = time.Hour, time.Hour })
	at := clock.System()
	tracer.First(id.NewEvent(), "a", Server, at).End(at)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	closed := make(chan struct{})
	go func() { tracer.Close(ctx); close(closed) }()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for the collector")
	}
}

// TestAnswersOfACollector: which requests are repeated, and what is said of the others.
func TestAnswersOfACollector(t *testing.T) {
	for status, repeated := range map[int]bool{http.StatusBadRequest: false, http.StatusUnauthorized: false, http.StatusTooManyRequests: true,
		http.StatusBadGateway: true, http.StatusServiceUnavailable: true, http.StatusGatewayTimeout: true, http.StatusFound: false} {
		c := testkit.NewCollector(t)
		c.Answer(status)
		out, err := newExporter(Exporter{URL: c.URL + "/v1/traces", Timeout: 5 * time.Second}, nil, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		again, _, err := out.send(t.Context(), nil)
		require.Equal(t, repeated, again, status)
		require.EqualError(t, err, fmt.Sprintf("the collector answered %d", status))
	}
	// A response that refuses seven spans, as protobuf.
	require.EqualValues(t, 7, rejectedSpans([]byte{0x0a, 0x02, 0x08, 0x07}))
	for _, text := range [][]byte{nil, {0x0a}, {0x0a, 0x00}, {0x0a, 0x02, 0x08}, []byte("<html>")} {
		require.Zero(t, rejectedSpans(text))
	}
}

// TestNoErrorHoldsTheURL, which may hold a password.
func TestNoErrorHoldsTheURL(t *testing.T) {
	out, err := newExporter(Exporter{URL: "http://user:s3cret@127.0.0.1:1/v1/traces?token=s3cret", Timeout: time.Second}, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	_, _, err = out.send(t.Context(), nil)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "s3cret")
}

// TestTheAttributesAreThoseOfTheConventions compares our constants with the conventions' package.
func TestTheAttributesAreThoseOfTheConventions(t *testing.T) {
	require.Equal(t, semconv.SchemaURL, schema)
	for ours, theirs := range map[string]string{
		HTTPMethod: string(semconv.HTTPRequestMethodKey), HTTPRoute: string(semconv.HTTPRouteKey), HTTPStatus: string(semconv.HTTPResponseStatusCodeKey),
		HTTPResendCount: string(semconv.HTTPRequestResendCountKey), HTTPBodySize: string(semconv.HTTPRequestBodySizeKey), URLScheme: string(semconv.URLSchemeKey),
		URLPath: string(semconv.URLPathKey), ServerAddress: string(semconv.ServerAddressKey), ServerPort: string(semconv.ServerPortKey), ErrorType: string(semconv.ErrorTypeKey),
		MessagingSystem: string(semconv.MessagingSystemKey), MessagingOperation: string(semconv.MessagingOperationNameKey),
		MessagingOperationType: string(semconv.MessagingOperationTypeKey), MessagingDestination: string(semconv.MessagingDestinationNameKey),
		MessagingRoutingKey: string(semconv.MessagingRabbitMQDestinationRoutingKeyKey), MessagingBodySize: string(semconv.MessagingMessageBodySizeKey),
		DBSystem: string(semconv.DBSystemNameKey), DBOperation: string(semconv.DBOperationNameKey), DBBatchSize: string(semconv.DBOperationBatchSizeKey),
		ServiceName: string(semconv.ServiceNameKey), ServiceVersion: string(semconv.ServiceVersionKey), ServiceInstanceID: string(semconv.ServiceInstanceIDKey),
		sdkName: string(semconv.TelemetrySDKNameKey), sdkLanguage: string(semconv.TelemetrySDKLanguageKey), sdkVersion: string(semconv.TelemetrySDKVersionKey),
		PostgreSQL: semconv.DBSystemNamePostgreSQL.Value.AsString(), SQLite: semconv.DBSystemNameSQLite.Value.AsString(),
		RabbitMQ: semconv.MessagingSystemRabbitMQ.Value.AsString(),
	} {
		require.Equal(t, theirs, ours)
	}
	for ours, theirs := range map[Kind]otlp.Span_SpanKind{Internal: otlp.Span_SPAN_KIND_INTERNAL, Server: otlp.Span_SPAN_KIND_SERVER, Client: otlp.Span_SPAN_KIND_CLIENT,
		Producer: otlp.Span_SPAN_KIND_PRODUCER, Consumer: otlp.Span_SPAN_KIND_CONSUMER} {
		require.EqualValues(t, theirs, ours)
		require.Equal(t, trace.SpanKind(ours), trace.ValidateSpanKind(trace.SpanKind(ours)))
	}
}

// BenchmarkEvent is what an event's spans cost while nothing is traced, one event of a hundred is,
// and every one is.
func BenchmarkEvent(b *testing.B) {
	for name, share := range map[string]float64{"off": -1, "share=0.01": 0.01, "share=1": 1} {
		b.Run(name, func(b *testing.B) {
			var tracer *Tracer
			if share >= 0 {
				tracer, _ = open(b, testkit.NewCollector(b).URL, func(cfg *Config) { cfg.Sampler, cfg.Batch.Delay = Sample(share), time.Minute })
			}
			at := clock.System()
			b.ReportAllocs()
			for b.Loop() {
				eventID := id.NewEvent()
				first := tracer.First(eventID, "a", Server, at)
				first.Begin("b", Internal, at).End(at)
				first.Begin("c", Client, at).End(at)
				first.End(at)
				tracer.Begin(eventID, "d", Producer, at).End(at)
				tracer.Begin(eventID, "e", Consumer, at).End(at)
			}
		})
	}
}
