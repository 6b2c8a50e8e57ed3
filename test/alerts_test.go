package test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/metrics"
)

const alertRules = "../deploy/prometheus/gateway.rules.yml"

// TestTheAlertsUseMetricsThatExist holds the rules to the list of metrics, and each alert to
// its entry in the runbook.
func TestTheAlertsUseMetricsThatExist(t *testing.T) {
	text, err := os.ReadFile(alertRules)
	require.NoError(t, err)
	known := map[string]bool{}
	for _, d := range metrics.Definitions() {
		known[d.Name] = true
		known[d.Name+"_bucket"] = d.Type == "histogram"
	}
	used := 0
	for _, name := range regexp.MustCompile(`\bgateway_\w+`).FindAllString(string(text), -1) {
		require.True(t, known[name], "%s is no metric", name)
		used++
	}
	require.Greater(t, used, 15)
	entries := map[string]bool{}
	for _, title := range matches(`(?m)^### (Gateway\w+)$`, documents(t)["docs/runbook.md"]) {
		entries[strings.ToLower(title)] = false
	}
	alerts := matches(`(?m)^      - alert: (\w+)$`, string(text))
	urls := matches(`(?m)^          runbook_url: docs/runbook\.md#(\w+)$`, string(text))
	require.Len(t, urls, len(alerts), "each alert names its entry")
	for i, url := range urls {
		require.Contains(t, entries, url)
		require.True(t, strings.HasPrefix(strings.ToLower(alerts[i]), url), "%s has the entry %s", alerts[i], url)
		entries[url] = true
	}
	for entry, fires := range entries {
		require.True(t, fires, "no alert has the entry %s", entry)
	}
}

// TestTheAlertsFire runs Prometheus's unit tests of the rules: a healthy gateway fires none,
// and each fault its alert.
func TestTheAlertsFire(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "promtool is missing: install Debian's prometheus")
		t.Skip("promtool is not installed")
	}
	for _, args := range [][]string{{"check", "rules", "gateway.rules.yml"}, {"test", "rules", "gateway.rules.test.yml"}} {
		check := exec.CommandContext(t.Context(), promtool, args...)
		check.Dir = "../deploy/prometheus"
		out, err := check.CombinedOutput()
		require.NoError(t, err, string(out))
	}
}
