package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

// prometheus is a running server that scrapes a gateway and evaluates its alerts each second.
type prometheus struct {
	t   *testing.T
	url string
}

func startPrometheus(t *testing.T, targets ...string) prometheus {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "prometheus is missing: install Debian's package")
		t.Skip("prometheus is not installed")
	}
	dir := t.TempDir()
	rules := filepath.Join(dir, "gateway.rules.yml")
	text, err := os.ReadFile("../deploy/prometheus/gateway.rules.yml")
	require.NoError(t, err)
	text = regexp.MustCompile(`(?m)^( +for): .*$`).ReplaceAll(text, []byte("$1: 2s")) // how long a fault must last before it fires
	require.NoError(t, os.WriteFile(rules, text, 0o600))
	list, err := json.Marshal(targets)
	require.NoError(t, err)
	file := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(file, []byte(fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\n"+
		"scrape_configs:\n  - job_name: gateway\n    static_configs:\n      - targets: %s\n", rules, list)), 0o600))
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	server := exec.CommandContext(t.Context(), program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	require.NoError(t, server.Start())
	t.Cleanup(func() { _ = server.Wait() }) // t.Context() has ended it
	p := prometheus{t, "http://" + address}
	eventually(t, func() bool { return probe(p.url+"/-/ready") == http.StatusOK }, "prometheus is ready")
	return p
}

// samples returns how many series a query has.
func (p prometheus) samples(query string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/api/v1/query?query="+url.QueryEscape(query), http.NoBody)
	require.NoError(p.t, err)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	defer func() { _ = answer.Body.Close() }()
	var result struct {
		Data struct {
			Result []json.RawMessage `json:"result"`
		} `json:"data"`
	}
	require.NoError(p.t, json.NewDecoder(answer.Body).Decode(&result))
	return len(result.Data.Result)
}

// TestPrometheusScrapesServeAndWork: a real Prometheus reads both processes, the shared
// metrics are equal in them, and after one is killed the other goes on measuring.
func TestPrometheusScrapesServeAndWork(t *testing.T) {
	t.Parallel()
	g := onServers(t)
	addresses := []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t))), net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))}
	p := startPrometheus(t, addresses...)
	g.set("METRICS_ADDR", addresses[0])
	serve := g.serve()
	g.set("METRICS_ADDR", addresses[1])
	g.work()
	for i := range 20 {
		g.send(http.StatusAccepted, "acme", order(fmt.Sprintf("evt_metrics_%d", i), "measured"), "")
	}
	g.send(http.StatusOK, "acme", order("evt_metrics_0", "measured"), "")
	for _, query := range []string{
		`sum(gateway_webhooks_received_total{source="acme",outcome="accepted"}) == 20`,
		`sum(gateway_webhooks_received_total{source="acme",outcome="duplicate"}) == 1`,
		`sum(gateway_delivery_attempts_total{destination="acme/1",outcome="delivered"}) == 21`, // one is of the examples
		`sum(gateway_delivery_end_to_end_seconds_count{destination="acme/1"}) == 21`,
		`count(gateway_build_info) == 2`,
		`count(gateway_config_info) == 2`,
		`min(gateway_dependency_up) == 1 and count(gateway_dependency_up) == 6`,
		`count(gateway_gauges_timestamp_seconds) == 2`,
		`sum(max by (state) (gateway_jobs)) == 0`,
		`min(gateway_partition_horizon_seconds) > 14 * 86400`,
		`min(gateway_broker_connected) == 1`,
	} {
		eventually(t, func() bool { return p.samples(query) > 0 }, "%s", query)
	}
	require.Zero(t, p.samples(`ALERTS{alertstate="firing"}`), "nothing is wrong")

	serve.kill()
	killed := time.Now().Unix()
	eventually(t, func() bool { return p.samples(fmt.Sprintf(`gateway_gauges_timestamp_seconds > %d`, killed)) > 0 }, "the other process measures")
}

// TestAlertsFireForFaults: the shipped rules, in a real Prometheus, fire for a destination that
// is down, for a provider that signs with another secret, and for a broker that cannot be
// reached; and end with the fault.
func TestAlertsFireForFaults(t *testing.T) {
	t.Parallel()
	rabbit := testkit.NewProxy(t, testkit.Server(t, testkit.RabbitMQVariable))
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	p := startPrometheus(t, address)
	g := onServers(t, "RABBITMQ_URL", rabbit.URL(), "METRICS_ADDR", address, "BREAKER_MIN_ATTEMPTS", "2", "BREAKER_PROBE_DELAY_MS", "100", "RETRY_BASE_DELAY_MS", "20")
	firing := func(alert string) bool {
		return p.samples(fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing"}`, alert)) > 0
	}
	g.serve()
	g.set("METRICS_ADDR", "")
	g.work()
	eventually(t, func() bool { return p.samples(`gateway_breaker_state == 0`) > 0 }, "the gateway is measured")

	g.receiver.respondWith(func(delivery) int { return http.StatusInternalServerError })
	down := g.send(http.StatusAccepted, "acme", order("evt_alert_down", "alerts"), "")
	eventually(t, func() bool { return firing("GatewayBreakerOpen") }, "the destination is down")
	forge := func(n int) {
		body := order(fmt.Sprintf("evt_alert_forged_%d", n), "alerts")
		res, _, err := g.ask(http.MethodPost, "/api/v1/webhooks/acme", []byte(body),
			map[string]string{"Content-Type": "application/json", "X-Acme-Signature": acmeSignature(body + " ")})
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	}
	forge(0)
	eventually(t, func() bool { return p.samples(`gateway_webhooks_refused_total{reason="no_match"}`) > 0 }, "the first refusal is measured")
	for n := range 10 {
		forge(n + 1)
	}
	eventually(t, func() bool { return firing("GatewayWebhooksRefused") }, "the provider's secret is another")
	rabbit.Cut()
	eventually(t, func() bool { return firing("GatewayBrokerDown") }, "the broker cannot be reached")

	rabbit.Resume()
	g.receiver.respondWith(func(delivery) int { return http.StatusOK })
	eventually(t, func() bool { return !firing("GatewayBrokerDown") && !firing("GatewayBreakerOpen") }, "both are back")
	g.waitForStatus(down.EventID, "processed")
}
