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
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
	rules, err := filepath.Abs("../deploy/prometheus/gateway.rules.yml")
	require.NoError(t, err)
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
