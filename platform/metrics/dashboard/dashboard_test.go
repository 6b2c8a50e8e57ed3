package dashboard_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/metrics"
	"integration-gateway/platform/metrics/dashboard"
)

var update = flag.Bool("update", false, "write the file")

const file = "../../../deploy/grafana/gateway.json"

func TestTheDashboardIsKept(t *testing.T) {
	want, err := dashboard.JSON()
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o750))
		require.NoError(t, os.WriteFile(file, want, 0o600))
	}
	have, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(have), "go test ./platform/metrics/dashboard -run TestTheDashboardIsKept -update")
}

// TestTheDashboardShowsEveryMetric holds that its queries name only metrics and labels that
// exist, and that no metric is left out.
func TestTheDashboardShowsEveryMetric(t *testing.T) {
	shown := map[string]bool{}
	for _, d := range metrics.Definitions() {
		shown[d.Name] = false
	}
	for _, row := range dashboard.Rows() {
		for _, panel := range row.Panels {
			for _, target := range panel.Targets {
				for _, name := range regexp.MustCompile(`gateway_[a-z_]+`).FindAllString(target.Expr, -1) {
					if _, ok := shown[name]; !ok {
						name = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
					}
					require.Contains(t, shown, name, "%s: %s", panel.Title, target.Expr)
					shown[name] = true
					labelsExist(t, name, target)
				}
			}
		}
	}
	for name, is := range shown {
		require.True(t, is, "%s is on no panel", name)
	}
}

// labelsExist checks the labels of a query and of its legend.
func labelsExist(t *testing.T, name string, target dashboard.Target) {
	t.Helper()
	known := map[string]bool{"instance": true, "le": true}
	for _, d := range metrics.Definitions() {
		if d.Name == name {
			for _, label := range d.Labels {
				known[label] = true
			}
		}
	}
	var used []string
	for _, in := range regexp.MustCompile(name+`(?:_bucket|_sum|_count)?\{([^}]*)\}`).FindAllStringSubmatch(target.Expr, -1) {
		for _, condition := range regexp.MustCompile(`([a-z_]+)!?=`).FindAllStringSubmatch(in[1], -1) {
			used = append(used, condition[1])
		}
	}
	for _, by := range regexp.MustCompile(`by \(([^)]*)\)`).FindAllStringSubmatch(target.Expr, -1) {
		used = append(used, strings.Split(by[1], ", ")...)
	}
	for _, legend := range regexp.MustCompile(`\{\{([a-z_]+)\}\}`).FindAllStringSubmatch(target.Legend, -1) {
		used = append(used, legend[1])
	}
	for _, label := range used {
		require.True(t, known[label], "%s has no label %s: %s", name, label, target.Expr)
	}
}

// TestPrometheusReadsTheQueries gives each query to promtool, as a rule.
func TestPrometheusReadsTheQueries(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "promtool is missing: install Debian's prometheus")
		t.Skip("promtool is not installed")
	}
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for _, row := range dashboard.Rows() {
		for _, panel := range row.Panels {
			for _, target := range panel.Targets {
				rules = append(rules, rule{"a:b:c", strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")})
			}
		}
	}
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "rules.yml") // JSON is YAML
	require.NoError(t, os.WriteFile(path, text, 0o600))
	out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", "--lint=none", path).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "SUCCESS")
}
