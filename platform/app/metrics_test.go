package app

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/integrations"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/metrics"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// scraped returns what Prometheus reads from a system.
func scraped(t *testing.T, g *system) string {
	t.Helper()
	w := httptest.NewRecorder()
	g.metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	body, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	return string(body)
}

// TestTheMetricsTellWhatHappened sends webhooks through the gateway, to a destination that
// fails once, and reads every metric.
func TestTheMetricsTellWhatHappened(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		const token = "a-token-of-the-metrics"
		ctx := context.Background()
		var posts atomic.Int64
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if posts.Add(1) == 1 {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}))
		t.Cleanup(receiver.Close)
		g, err := wire(devConfig(t, "RETRY_BASE_DELAY_MS", "20"), &stores{db: db, broker: broker.NewMemory(clock.System, nil), cache: cache.NewMemory(0, clock.System)}, quiet)
		require.NoError(t, err)
		require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error {
			_, err := g.integrations.CreateIntegration(ctx, tx, integrations.IntegrationConfig{Source: "shop", Provider: "globex",
				Secrets:      []integrations.SecretConfig{{Value: secret.New("an-older-token-of-it")}, {Value: secret.New(token)}},
				Destinations: []contract.DestinationConfig{{URL: &receiver.URL}}})
			return err
		}))
		run, cancel := context.WithCancel(ctx)
		stopped := make(chan error, 1)
		go func() {
			stages := append([]stage{{g.workers(allQueues)}}, g.background()...)
			stopped <- runStages(run, quiet, 10*time.Second, stages)
		}()
		defer func() {
			cancel()
			require.NoError(t, <-stopped)
		}()
		post := func(source, credential, body string) int {
			r := httptest.NewRequest(http.MethodPost, "/api/v1/webhooks/"+source, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Globex-Token", credential)
			w := httptest.NewRecorder()
			g.server.Handler().ServeHTTP(w, r)
			return w.Code
		}
		const event = `{"id":"evt-secretive","type":"order.made","timestamp":"2026-01-31T12:00:00Z","resource":{"id":"ada@example.com"}}`
		require.Equal(t, http.StatusAccepted, post("shop", token, event))
		require.Equal(t, http.StatusOK, post("shop", token, event))
		require.Equal(t, http.StatusUnauthorized, post("shop", "wrong-token-entirely", event))
		require.Equal(t, http.StatusBadRequest, post("shop", token, `{"id":`))
		require.Equal(t, http.StatusNotFound, post("nobody", token, event))

		lines := []string{
			`gateway_webhooks_received_total{outcome="accepted",source="shop"} 1`,
			`gateway_webhooks_received_total{outcome="duplicate",source="shop"} 1`,
			`gateway_webhooks_received_total{outcome="refused",source="shop"} 2`,
			`gateway_webhooks_received_total{outcome="failed",source="shop"} 0`,
			`gateway_webhooks_received_total{outcome="refused",source="(unknown)"} 1`,
			`gateway_webhooks_refused_total{reason="no_match",source="shop"} 1`,
			`gateway_webhook_ingest_duration_seconds_count{outcome="accepted"} 1`,
			`gateway_store_commit_webhooks_sum 1`,
			`gateway_delivery_attempts_total{destination="shop/1",error="http_status",outcome="retry"} 1`,
			`gateway_delivery_attempts_total{destination="shop/1",error="",outcome="delivered"} 1`,
			`gateway_delivery_attempt_duration_seconds_count{destination="shop/1"} 2`,
			`gateway_delivery_end_to_end_seconds_count{destination="shop/1"} 1`,
			`gateway_http_request_duration_seconds_count{code="202",method="POST",route="/api/v1/webhooks/:source"} 1`,
			`gateway_dependency_up{dependency="postgres"} 1`,
			`gateway_cache_up 1`,
			`gateway_breaker_state{destination="shop/1"} 0`,
			`gateway_broker_connected{role="publishing"} 1`,
			`gateway_leases_expired_total 0`,
		}
		var text string
		require.Eventually(t, func() bool {
			text = scraped(t, g)
			for _, line := range lines {
				if !strings.Contains(text, line+"\n") {
					return false
				}
			}
			return strings.Contains(text, "gateway_retention_last_success_timestamp_seconds ")
		}, 30*time.Second, 20*time.Millisecond, "%s", missingLines(&text, lines))
		optional := map[string]bool{ // without TLS, a second secret or partitions there is nothing to show
			"gateway_tls_certificate_expiry_timestamp_seconds": true, "gateway_partition_horizon_seconds": db.Dialect.Name == "sqlite",
			"gateway_quarantine_open": true, "gateway_check_problems": true, "gateway_check_timestamp_seconds": true} // the first check ends later
		for _, d := range metrics.Definitions() {
			require.True(t, optional[d.Name] || strings.Contains(text, "\n# TYPE "+d.Name+" "+d.Type+"\n"), d.Name)
		}
		require.Contains(t, text, `gateway_secret_last_matched_timestamp_seconds{secret="newest",source="shop"}`)
		require.Regexp(t, `gateway_config_info\{fingerprint="[0-9a-f]{12}"\} 1`, text)

		for _, private := range []string{token, "wrong-token", "evt-secretive", "order.made", "ada@example.com", receiver.URL, "127.0.0.1", "nobody", config.DemoKey} {
			require.NotContains(t, text, private)
		}
		require.NotRegexp(t, regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-`), text, "an id")
		if promtool, err := exec.LookPath("promtool"); err == nil {
			check := exec.CommandContext(ctx, promtool, "check", "metrics")
			check.Stdin = strings.NewReader(text)
			out, err := check.CombinedOutput()
			require.NoError(t, err, string(out))
		} else {
			require.Empty(t, os.Getenv("CI"), "promtool is missing: install Debian's prometheus")
		}
	})
}

// missingLines tells, when it is printed, which lines a text lacks.
func missingLines(text *string, lines []string) lateText {
	return func() string {
		var missing []string
		for _, line := range lines {
			if !strings.Contains(*text, line+"\n") {
				missing = append(missing, line)
			}
		}
		return "missing: " + strings.Join(missing, "\n") + "\nof\n" + *text
	}
}

type lateText func() string

func (l lateText) String() string { return l() }

// TestMetricsAreNotOnThePublicListener: who sends webhooks must not read them.
func TestMetricsAreNotOnThePublicListener(t *testing.T) {
	cfg := devConfig(t)
	cfg.MetricsInAPI, cfg.MetricsAddr = false, "127.0.0.1:0" // as in serve
	db := testkit.Open(t, testkit.SQLite(t))
	g, err := wire(cfg, &stores{db: db, broker: broker.NewMemory(clock.System, nil), cache: cache.NewMemory(0, clock.System)}, quiet)
	require.NoError(t, err)
	own := g.metricsListener(cfg)
	require.Len(t, own, 1)
	for _, s := range []struct {
		server *httpapi.Server
		path   string
		status int
	}{
		{g.server, "/metrics", http.StatusNotFound},
		{own[0].Server, "/metrics", http.StatusOK},
		{own[0].Server, "/api/v1/events", http.StatusNotFound},
		{own[0].Server, "/api/v1/webhooks/acme", http.StatusNotFound},
	} {
		w := httptest.NewRecorder()
		s.server.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, s.path, http.NoBody))
		require.Equal(t, s.status, w.Code, s.path)
	}
	cfg.MetricsAddr = ""
	require.Empty(t, g.metricsListener(cfg))
}
