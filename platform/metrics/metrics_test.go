package metrics_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"database/sql"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/metrics"
)

func scrape(t testing.TB, m *metrics.Metrics, accept string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	body, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, w.Code, string(body))
	return string(body)
}

// observed is metrics with the state of a process.
func observed(now clock.Now) *metrics.Metrics {
	m := metrics.New(metrics.Config{Version: "1.2.3", Fingerprint: "0123456789ab"}, now)
	m.Observe(metrics.Sources{
		BodyBytes: func() int64 { return 17 },
		Pools: func() map[string]sql.DBStats {
			return map[string]sql.DBStats{"lists": {MaxOpenConnections: 5, WaitCount: 2}}
		},
		DBErrors:     func() map[string]int64 { return map[string]int64{"other": 3} },
		Connections:  func() map[string]bool { return map[string]bool{"publishing": true} },
		Blocked:      func() bool { return false },
		ClockAhead:   func() time.Duration { return -90 * time.Second },
		Certificates: func() map[string]time.Time { return map[string]time.Time{"public": time.Unix(2_000_000_000, 0)} },
		Spool:        func() contract.SpoolGauges { return contract.SpoolGauges{Waiting: 2} },
		Away:         func() bool { return true },
	})
	return m
}

// report makes each metric have a value for a source and a destination.
func report(m *metrics.Metrics, source, reason, kind string) {
	at := clock.System()
	for _, outcome := range []string{"accepted", "duplicate", "handshake", "refused", "failed"} {
		m.Received(source, outcome, at, time.Millisecond, "")
	}
	m.Refused(source, reason)
	m.SecretMatched(source, true, at)
	m.SecretMatched(source, false, at)
	m.Dropped(source, 1)
	m.Committed(3, time.Millisecond, "")
	m.Attempted(contract.CountedAttempt{DestinationName: source + "/1", Outcome: "delivered", Took: time.Millisecond, EndToEnd: time.Second})
	m.Attempted(contract.CountedAttempt{DestinationName: source + "/1", Outcome: "retry", ErrorKind: kind, Took: time.Millisecond})
	m.LeasesExpired(1)
	m.SealsLost()
	m.Republished("queue_lost", 2)
	m.Confirmed(time.Millisecond)
	m.Request("/api/v1/"+reason, "GET", 200, time.Millisecond, "")
	m.Dependency("redis", true)
	m.RetentionSucceeded(at)
}

func gaugesOf(at time.Time, sources ...string) contract.Gauges {
	g := contract.Gauges{At: at, Jobs: map[string]int64{"due": 4}, OldestDue: map[contract.Queue]float64{contract.ProcessQueue: 1.5},
		DeadLetters: map[string]int64{"exhausted": 2}, Quarantined: map[string]int64{}, Breakers: map[string]int{}, Partitions: map[string]float64{"audit_entries": 86400},
		Check: &contract.CheckSummary{FinishedAt: clock.At(at), Holds: true}}
	for _, s := range sources {
		g.Quarantined[s], g.Breakers[s+"/1"] = 1, 2
	}
	return g
}

// TestEveryMetricOfTheListIsShown holds the list, from which the document is made, to what
// a scrape shows.
func TestEveryMetricOfTheListIsShown(t *testing.T) {
	m := observed(clock.System)
	report(m, "acme", "no_match", "timeout")
	m.Measured(gaugesOf(clock.System(), "acme"))
	text := scrape(t, m, "text/plain")
	shown := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (gateway_\S+) (\S+)$`).FindAllStringSubmatch(text, -1) {
		shown[line[1]] = line[2]
	}
	listed := map[string]string{}
	for _, d := range metrics.Definitions() {
		listed[d.Name] = d.Type
		for _, label := range d.Labels {
			require.Regexp(t, `(?m)^`+d.Name+`(_bucket)?\{([^}]*,)?`+label+`="`, text)
		}
	}
	require.Equal(t, listed, shown)
	for _, want := range []string{
		`gateway_webhooks_received_total{outcome="duplicate",source="acme"} 1`,
		`gateway_webhooks_received_total{outcome="accepted",source="(unknown)"} 0`,
		`gateway_delivery_attempts_total{destination="acme/1",error="timeout",outcome="retry"} 1`,
		`gateway_jobs_republished_total{cause="queue_lost"} 2`,
		`gateway_jobs_republished_total{cause="message_lost"} 0`,
		`gateway_breaker_state{destination="acme/1"} 2`,
		`gateway_jobs{state="due"} 4`,
		`gateway_inflight_body_bytes 17`,
		`gateway_tls_certificate_expiry_timestamp_seconds{use="public"} 2e+09`,
		`gateway_spool_webhooks{state="waiting"} 2`, `gateway_database_away 1`,
	} {
		require.Contains(t, text, want+"\n")
	}
}

// TestHistogramsOfEventsNameATrace: as an exemplar, where the event is traced.
func TestHistogramsOfEventsNameATrace(t *testing.T) {
	const openMetrics, traceID = "application/openmetrics-text; version=1.0.0", "0196f0a0b1c27000800000000000000f"
	m := observed(clock.System)
	report(m, "acme", "no_match", "timeout")
	require.NotContains(t, scrape(t, m, openMetrics), "trace_id")
	m.Received("acme", "accepted", clock.System(), time.Millisecond, traceID)
	m.Committed(3, time.Millisecond, traceID)
	m.Request("/api/v1/webhooks/:source", "POST", 202, time.Millisecond, traceID)
	m.Attempted(contract.CountedAttempt{DestinationName: "acme/1", Outcome: "delivered", Took: time.Millisecond, EndToEnd: time.Second, TraceID: traceID})
	text := scrape(t, m, openMetrics)
	for _, name := range []string{"gateway_webhook_ingest_duration_seconds", "gateway_store_commit_duration_seconds", "gateway_http_request_duration_seconds",
		"gateway_delivery_attempt_duration_seconds", "gateway_delivery_end_to_end_seconds"} {
		require.Regexp(t, `(?m)^`+name+`_bucket\{[^}]*\} \d+ # \{trace_id="`+traceID+`"\} `, text)
	}
	require.Equal(t, 5, strings.Count(text, "trace_id"))
	require.NotContains(t, scrape(t, m, "text/plain"), "trace_id", "the older format has none")
}

// TestSeriesAreBounded reports ten thousand sources, each with a reason, a kind of error and
// a route of its own.
func TestSeriesAreBounded(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m := observed(clock.System)
	var all []string
	for i := range 10_000 {
		all = append(all, fmt.Sprintf("source-%d", i))
	}
	for i, source := range all {
		for n := range 5 {
			report(m, source, fmt.Sprintf("reason_%d", (i+n)%40), fmt.Sprintf("kind_%d", (i+n)%20))
		}
		m.Request(fmt.Sprintf("/api/v1/route-%d", i), "FORGED-"+source, 200+i%400, time.Millisecond, "")
	}
	m.Measured(gaugesOf(clock.System(), all...))
	runtime.GC()
	runtime.ReadMemStats(&after)
	text := scrape(t, m, "text/plain")
	series := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			series++
		}
	}
	t.Logf("%d series, %d KB of text, %d KB of memory", series, len(text)>>10, (after.HeapAlloc-before.HeapAlloc)>>10)
	require.Less(t, series, 12_000)
	require.Less(t, len(text), 20<<20)
	require.Less(t, after.HeapAlloc-before.HeapAlloc, uint64(20<<20))
	require.Contains(t, text, `gateway_webhooks_received_total{outcome="accepted",source="other"} 49000`)
	require.Contains(t, text, `gateway_quarantine_open{source="other"} 9800`)
	require.NotContains(t, text, "FORGED")
	runtime.KeepAlive(m)
}

// TestOldGaugesDisappear: the state of long ago must not look like that of now.
func TestOldGaugesDisappear(t *testing.T) {
	now := clock.System()
	m := metrics.New(metrics.Config{}, func() time.Time { return now })
	require.NotContains(t, scrape(t, m, "text/plain"), "gateway_jobs{")
	m.Measured(gaugesOf(now))
	now = now.Add(30 * time.Second)
	require.Contains(t, scrape(t, m, "text/plain"), "gateway_jobs{")
	now = now.Add(time.Millisecond)
	require.NotContains(t, scrape(t, m, "text/plain"), "gateway_jobs{")
}

// TestCountersStartAtZero: Prometheus sees no increase in a series that begins with 1.
func TestCountersStartAtZero(t *testing.T) {
	m := metrics.New(metrics.Config{}, clock.System)
	g := gaugesOf(clock.System(), "acme")
	g.Sources = []string{"acme"}
	m.Measured(g)
	text := scrape(t, m, "text/plain")
	for _, line := range []string{
		`gateway_webhooks_received_total{outcome="accepted",source="acme"} 0`,
		`gateway_delivery_attempts_total{destination="acme/1",error="",outcome="delivered"} 0`,
		`gateway_quarantine_dropped_total{source="acme"} 0`,
		`gateway_leases_expired_total 0`,
	} {
		require.Contains(t, text, line+"\n")
	}
}

func TestPrometheusMayAskForOtherFormats(t *testing.T) {
	m := observed(clock.System)
	require.True(t, strings.HasSuffix(scrape(t, m, "application/openmetrics-text; version=1.0.0"), "# EOF\n"))
	require.NotContains(t, scrape(t, m, "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"), "# TYPE")
}

// TestPromtoolFindsNothing runs Prometheus's own check of names, units and help texts.
func TestPromtoolFindsNothing(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "promtool is missing: install Debian's prometheus")
		t.Skip("promtool is not installed")
	}
	m := observed(clock.System)
	report(m, "acme", "no_match", "timeout")
	m.Measured(gaugesOf(clock.System(), "acme"))
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = strings.NewReader(scrape(t, m, "text/plain"))
	out, err := check.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Empty(t, string(out))
}

// TestTheDocumentListsTheMetrics holds docs/operations.md to the list.
func TestTheDocumentListsTheMetrics(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "operations.md")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	const begin, end = "<!-- metrics: written by UPDATE=1 go test ./platform/metrics -run TestTheDocumentListsTheMetrics -->\n", "<!-- end of metrics -->\n"
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found)
	_, after, found := strings.Cut(rest, end)
	require.True(t, found)
	want := before + begin + metrics.Table() + end + after
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644)) //nolint:gosec // a document
		return
	}
	require.Equal(t, want, string(text), "write it again as the comment says")
}

// BenchmarkReceived is the cost of a webhook's metrics.
func BenchmarkReceived(b *testing.B) {
	m := observed(clock.System)
	at := clock.System()
	b.ReportAllocs()
	for b.Loop() {
		m.SecretMatched("acme", true, at)
		m.Received("acme", "accepted", at, time.Millisecond, "")
		m.Request("/api/v1/webhooks/:source", "POST", 202, time.Millisecond, "")
	}
}
