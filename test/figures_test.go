package test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The figures below have the project's own target, and a wider limit that fails the test:
// test machines are slower than servers.

func TestStartWithExistingRecords(t *testing.T) {
	const bar, limit = 500 * time.Millisecond, 2 * time.Second
	g := embedded(t)
	g.dev().kill()
	var took []time.Duration
	for range 5 {
		began := time.Now()
		p := g.dev()
		took = append(took, time.Since(began))
		p.kill()
	}
	slices.Sort(took)
	t.Logf("from exec to the first 200 of /readyz, records existing: median %s, all %v (bar %s)", took[2].Round(time.Millisecond), took, bar)
	require.Less(t, took[2], limit)
}

func TestMemoryOfAnIdleServe(t *testing.T) {
	const bar, limit = 40.0, 60.0
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("there is no /proc here")
	}
	g := onServers(t)
	p := g.serve()
	g.send(http.StatusAccepted, "acme", order("evt_warm", "warm"), "")
	megabytes := resident(t, p)
	t.Logf("resident memory of serve after one webhook: %.1f MB (bar %.0f MB)", megabytes, bar)
	require.Less(t, megabytes, limit)
}

func resident(t *testing.T, p *process) float64 {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			require.NoError(t, err)
			return kilobytes / 1024
		}
	}
	require.Fail(t, "no VmRSS in its status")
	return 0
}
