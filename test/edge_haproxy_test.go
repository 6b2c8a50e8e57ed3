package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// haproxyEdge returns haproxy with deploy/haproxy/edge.cfg, with replacements. It skips the test
// if haproxy is not installed, and fails it on CI.
func haproxyEdge(t *testing.T, replacements []string, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := exec.LookPath("haproxy")
	if err != nil {
		binary = "/usr/sbin/haproxy" // not in every user's PATH
	}
	if _, err := os.Stat(binary); err != nil {
		require.Empty(t, os.Getenv("CI"), "on CI deploy/haproxy/edge.cfg is always checked: install haproxy")
		t.Skip("haproxy is not installed (apt-get install haproxy)")
	}
	text, err := os.ReadFile("../deploy/haproxy/edge.cfg")
	require.NoError(t, err)
	for i := 0; i < len(replacements); i += 2 {
		require.Contains(t, string(text), replacements[i])
	}
	path := filepath.Join(t.TempDir(), "edge.cfg")
	require.NoError(t, os.WriteFile(path, []byte(strings.NewReplacer(replacements...).Replace(string(text))), 0o600))
	return exec.Command(binary, append([]string{"-f", path}, args...)...)
}

// known replaces the servers' names, which do not resolve here.
var known = []string{"serve1:3000", "127.0.0.1:3001", "serve2:3000", "127.0.0.1:3002", "serve3:3000", "127.0.0.1:3003"}

func TestHaproxyAcceptsTheEdgesConfiguration(t *testing.T) {
	out, err := haproxyEdge(t, known, "-c").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), "[WARNING]")

	out, err = haproxyEdge(t, append([]string{"option httpchk", "option httpcheck"}, known...), "-c").CombinedOutput()
	require.Error(t, err, "a mistake is detected")
	require.Contains(t, string(out), "httpcheck")
}

func TestHaproxyForwardsRequestsUnchanged(t *testing.T) {
	requireForwards(t, func(addr, api string) *exec.Cmd {
		return haproxyEdge(t, append([]string{"bind :8080", "bind " + addr, "serve1:3000", api}, known[2:]...), "-db")
	})
}
