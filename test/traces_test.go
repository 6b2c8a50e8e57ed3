package test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	otlp "go.opentelemetry.io/proto/slim/otlp/trace/v1"

	"integration-gateway/platform/testkit"
)

// sendersTrace is the trace that a provider says its webhook is part of.
const sendersTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// traced are settings with which each event is traced, and spans are sent at once.
func traced(c *testkit.Collector) []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT", c.URL, "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "OTEL_BSP_SCHEDULE_DELAY", "20",
		"OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test", "RETRY_BASE_DELAY_MS", "300"}
}

func TestTheTraceOfAnEventEmbedded(t *testing.T) {
	t.Parallel()
	c := testkit.NewCollector(t)
	g := embedded(t, traced(c)...)
	g.dev()
	tracedWay{gateway: g, collector: c, database: "sqlite", broker: "in_process", queue: "ig.events.process"}.follow(t)
	res := exposition(t, g.base+"/metrics")
	require.Regexp(t, `gateway_webhook_ingest_duration_seconds_bucket\{[^}]*\} \d+ # \{trace_id="[0-9a-f]{32}"\}`, res)
	require.Regexp(t, `gateway_http_request_duration_seconds_bucket\{[^}]*webhooks[^}]*\} \d+ # \{trace_id="[0-9a-f]{32}"\}`, res)
	require.Regexp(t, `gateway_store_commit_duration_seconds_bucket\{[^}]*\} \d+ # \{trace_id="[0-9a-f]{32}"\}`, res)
	require.Regexp(t, `gateway_delivery_attempt_duration_seconds_bucket\{[^}]*\} \d+ # \{trace_id="[0-9a-f]{32}"\}`, res)
	require.Regexp(t, `gateway_delivery_end_to_end_seconds_bucket\{[^}]*\} \d+ # \{trace_id="[0-9a-f]{32}"\}`, res)
}

func TestTheTraceOfAnEventOnTheServers(t *testing.T) {
	t.Parallel()
	c := testkit.NewCollector(t)
	g := onServers(t, traced(c)...)
	g.serve()
	g.work()
	tracedWay{gateway: g, collector: c, database: "postgresql", broker: "rabbitmq", queue: g.env["RABBITMQ_PROCESS_QUEUE"]}.follow(t)
}

// exposition reads metrics in the format that has exemplars.
func exposition(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	r.Header.Set("X-Internal-Api-Key", managementKey)
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(text)
}

// tracedWay follows an event whose first attempt fails: from the webhook through a retry, a repeat
// and a replay, which all are in one trace.
type tracedWay struct {
	*gateway
	collector               *testkit.Collector
	database, broker, queue string
}

func (w tracedWay) follow(t *testing.T) {
	w.propagate(t, "acme")
	w.receiver.respondWith(func(d delivery) int {
		if d.nth == 1 {
			return http.StatusServiceUnavailable
		}
		return http.StatusNoContent
	})
	body := order("evt_traced", "traces")
	res, e, err := w.ask(http.MethodPost, "/api/v1/webhooks/acme", []byte(body), map[string]string{
		"Content-Type": "application/json", "X-Acme-Signature": acmeSignature(body), "Traceparent": sendersTrace})
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	var r receipt
	require.NoError(t, json.Unmarshal(e.Data, &r))
	traceID := strings.ReplaceAll(r.EventID, "-", "")
	w.waitForStatus(r.EventID, "processed")
	w.receiver.respondWith(func(delivery) int { return http.StatusNoContent })
	w.count(t, traceID, 11, "the spans of two attempts")

	spans := w.collector.Trace(traceID)
	root := testkit.Named(t, spans, "POST /api/v1/webhooks/:source")
	w.checkRoot(t, root, r.EventID)
	verify, store := testkit.Named(t, spans, "verify"), testkit.Named(t, spans, "store")
	require.Equal(t, []string{root.ID, root.ID}, []string{verify.ParentID, store.ParentID})
	require.Equal(t, otlp.Span_SPAN_KIND_CLIENT, store.Kind)
	require.Equal(t, w.database, store.Attributes["db.system.name"])
	require.GreaterOrEqual(t, verify.Start, root.Start)
	require.GreaterOrEqual(t, store.Start, verify.End)
	require.GreaterOrEqual(t, root.End, store.End)

	attempts := w.checkAttempts(t, spans, root)
	deliveries := w.receiver.of(r.EventID)
	require.Len(t, deliveries, 2)
	for i, d := range deliveries {
		require.Equal(t, "00-"+traceID+"-"+attempts[i].ID+"-01", d.header.Get("Traceparent"), "the destination continues the attempt")
		require.Empty(t, d.header.Get("Tracestate"))
	}
	w.checkLines(t, r.EventID, spans)

	w.send(http.StatusOK, "acme", body, "")
	_, _, err = w.ask(http.MethodPost, "/api/v1/events/"+r.EventID+"/replay", []byte(`{"requestedBy":"dana","reason":"traces are tested"}`),
		map[string]string{"X-Internal-Api-Key": managementKey, "Content-Type": "application/json"})
	require.NoError(t, err)
	eventually(t, func() bool { return w.receiver.count(r.EventID) == 3 }, "the replay arrives")
	w.count(t, traceID, 11+3+2+4, "a repeat, the replay's order and its delivery are in the same trace")
	w.checkOthers(t)
}

// propagate has the destination of a source take part in traces.
func (w tracedWay) propagate(t *testing.T, source string) {
	var integrations []struct {
		ID           string `json:"id"`
		Source       string `json:"source"`
		Destinations []struct {
			ID          string `json:"id"`
			Propagation bool   `json:"tracePropagation"`
		} `json:"destinations"`
	}
	w.get("/integrations", &integrations)
	for _, i := range integrations {
		require.False(t, i.Destinations[0].Propagation, "not unless it says so")
		if i.Source != source {
			continue
		}
		res, e, err := w.ask(http.MethodPatch, "/api/v1/integrations/"+i.ID+"/destinations/"+i.Destinations[0].ID, []byte(`{"tracePropagation":true}`),
			map[string]string{"X-Internal-Api-Key": managementKey, "Content-Type": "application/json"})
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, res.StatusCode, "%v", e.Error)
		require.NoError(t, json.Unmarshal(e.Data, &i))
		require.True(t, i.Destinations[0].Propagation)
	}
}

func (w tracedWay) count(t *testing.T, traceID string, n int, what string) {
	t.Helper()
	eventually(t, func() bool { return len(w.collector.Trace(traceID)) >= n }, "%s", what)
	var names []string
	for _, s := range w.collector.Trace(traceID) {
		names = append(names, s.Name)
	}
	require.Len(t, names, n, "%s: %v", what, names)
}

func (w tracedWay) checkRoot(t *testing.T, root testkit.Span, eventID string) {
	require.Empty(t, root.ParentID, "the sender's trace is linked, and no parent")
	require.Equal(t, []string{"0af7651916cd43dd8448eb211c80319c/b7ad6b7169203331"}, root.Links)
	require.Equal(t, otlp.Span_SPAN_KIND_SERVER, root.Kind)
	require.Equal(t, "integration-gateway", root.Resource["service.name"])
	require.Equal(t, "test", root.Resource["deployment.environment.name"])
	for name, want := range map[string]string{"http.request.method": "POST", "http.route": "/api/v1/webhooks/:source", "http.response.status_code": "202",
		"url.path": "/api/v1/webhooks/acme", "gateway.source": "acme", "gateway.outcome": "accepted", "gateway.event.id": eventID} {
		require.Equal(t, want, root.Attributes[name], name)
	}
}

// checkAttempts checks the spans of a failed attempt and its retry, and returns those of the two
// requests.
func (w tracedWay) checkAttempts(t *testing.T, spans []testkit.Span, root testkit.Span) []testkit.Span {
	byName := map[string][]testkit.Span{}
	for _, s := range spans {
		byName[s.Name] = append(byName[s.Name], s)
	}
	publish, process, post, record := byName["publish "+w.queue], byName["process "+w.queue], byName["POST"], byName["record"]
	for _, list := range [][]testkit.Span{publish, process, post, record} {
		require.Len(t, list, 2)
		if list[0].Start > list[1].Start {
			list[0], list[1] = list[1], list[0]
		}
	}
	for i := range 2 {
		require.Equal(t, otlp.Span_SPAN_KIND_PRODUCER, publish[i].Kind)
		require.Equal(t, root.ID, publish[i].ParentID)
		require.Equal(t, otlp.Span_SPAN_KIND_CONSUMER, process[i].Kind)
		require.Equal(t, root.ID, process[i].ParentID)
		require.Equal(t, []string{publish[i].TraceID + "/" + publish[i].ID}, process[i].Links, "the message said who published it")
		for _, s := range []testkit.Span{publish[i], process[i]} {
			require.Equal(t, w.broker, s.Attributes["messaging.system"])
			require.Equal(t, w.queue, s.Attributes["messaging.destination.name"])
		}
		require.Equal(t, otlp.Span_SPAN_KIND_CLIENT, post[i].Kind)
		require.Equal(t, process[i].ID, post[i].ParentID)
		require.Equal(t, "127.0.0.1", post[i].Attributes["server.address"])
		require.Equal(t, process[i].ID, record[i].ParentID)
		require.Equal(t, w.database, record[i].Attributes["db.system.name"])
		require.GreaterOrEqual(t, post[i].Start, process[i].Start)
		require.GreaterOrEqual(t, record[i].Start, post[i].Start)
		require.GreaterOrEqual(t, process[i].End, record[i].End)
	}
	require.Equal(t, []bool{true, false}, []bool{post[0].Failed, post[1].Failed})
	require.Equal(t, "503", post[0].Attributes["http.response.status_code"])
	require.Equal(t, "http_status", post[0].Attributes["error.type"])
	require.Equal(t, "204", post[1].Attributes["http.response.status_code"])
	require.Equal(t, "1", post[1].Attributes["http.request.resend_count"])
	return post
}

// checkLines checks that every line that names the event names its trace too.
func (w tracedWay) checkLines(t *testing.T, eventID string, spans []testkit.Span) {
	known := map[string]bool{}
	for _, s := range spans {
		known[s.ID] = true
	}
	lines := 0
	for _, p := range w.processes {
		for _, text := range bytes.Split([]byte(p.output.String()), []byte("\n")) {
			var line map[string]any
			if json.Unmarshal(text, &line) != nil || line["event_id"] != eventID {
				continue
			}
			lines++
			require.Equal(t, spans[0].TraceID, line["trace_id"], "%s", text)
			require.True(t, known[line["span_id"].(string)], "%s", text)
		}
	}
	require.Equal(t, 3, lines, "the request, and two attempts")
}

// checkOthers: a refused request has a trace of its own without an event, and a destination that
// does not say so is sent no traceparent.
func (w tracedWay) checkOthers(t *testing.T) {
	status, _, _, err := w.post("nowhere", `{}`, "")
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, status)
	eventually(t, func() bool {
		for _, s := range w.collector.Spans() {
			if s.Attributes["gateway.outcome"] == "refused" {
				return s.Attributes["gateway.reason"] != "" && s.Attributes["gateway.event.id"] == "" && !s.Failed && s.Attributes["url.path"] == ""
			}
		}
		return false
	}, "the refused request")
	other := w.send(http.StatusAccepted, "globex", `{"id":"evt_traced","type":"invoice.paid","timestamp":"2026-01-05T09:00:00Z","resource":{"id":"inv_1"}}`, "")
	require.Empty(t, w.receiver.one(t, other.EventID).header.Get("Traceparent"))
}

// TestSettingsOfTraces: wrong ones are refused by name, all at once; and a collector that hangs
// changes nothing.
func TestSettingsOfTraces(t *testing.T) {
	t.Parallel()
	g := embedded(t, "OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "OTEL_TRACES_SAMPLER", "jaeger_remote", "OTEL_TRACES_SAMPLER_ARG", "2",
		"OTEL_EXPORTER_OTLP_HEADERS", "s3cret-t0ken", "OTEL_TRACES_EXPORTER", "zipkin", "OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem")
	p := startProcess(t, g.env, "dev", "--data", g.env["data"], "--port", strconv.Itoa(g.port))
	require.Equal(t, 2, p.exitCode(waitTimeout))
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_CERTIFICATE"} {
		require.Contains(t, p.output.String(), name+": ")
	}
	require.NotContains(t, p.output.String(), "s3cret-t0ken")

	g = embedded(t, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	p = startProcess(t, g.env, "dev", "--data", g.env["data"], "--port", strconv.Itoa(g.port))
	require.Equal(t, 2, p.exitCode(waitTimeout))
	require.Contains(t, p.output.String(), "OTEL_EXPORTER_OTLP_PROTOCOL: ")

	hole, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = hole.Close() }()
	g = embedded(t, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+hole.Addr().String(), "OTEL_BSP_SCHEDULE_DELAY", "1", "OTEL_BSP_MAX_QUEUE_SIZE", "8",
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8", "OTEL_EXPORTER_OTLP_TIMEOUT", "600000")
	running := g.dev()
	for i := range 20 {
		r := g.send(http.StatusAccepted, "acme", order("evt_away_"+strconv.Itoa(i), "traces"), "")
		g.receiver.one(t, r.EventID)
	}
	running.terminate()
	require.Zero(t, running.exitCode(waitTimeout))
}
