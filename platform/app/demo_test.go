package app

import (
	"context"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/config"
	"integration-gateway/platform/httpapi"
)

// TestTheDemoGoesOn keeps the demo: it has something on every screen, and ends when it is stopped.
func TestTheDemoGoesOn(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- Demo(ctx, devConfig(t), quiet, DevOptions{DataDir: t.TempDir(), Keep: true, Out: in})
		_ = in.Close()
	}()
	printed := readUntil(t, out, "the management key ")
	go func() { _, _ = io.Copy(io.Discard, out) }()
	for line := range strings.Lines(printed) {
		require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimRight(line, "\n")), 80, line)
	}
	require.Contains(t, printed, "4 of 4 as expected.")
	require.Contains(t, printed, "5 providers have sent 130 webhooks")
	require.Contains(t, printed, "/console/sign-in?once=")
	require.Contains(t, printed, config.DemoKey)
	_, rest, _ := strings.Cut(printed, "Console   ")
	address, _, _ := strings.Cut(rest, "/console")
	c := visit(address + httpapi.Base)
	for path, least := range map[string]int{"/events?source=storefront": 5, "/events?source=payments": 5, "/quarantine": 8, "/dead-letters": 1, "/replays": 2, "/erasures": 1,
		"/audit-entries?actor=api-key:grace": 1, "/audit-entries?action=secret.added": 1, "/api-keys": 3} {
		require.NoError(t, until(ctx, func() (bool, error) {
			var rows []struct{}
			err := c.read(ctx, path, &rows)
			return len(rows) >= least, err
		}), path)
	}
	stop()
	require.NoError(t, <-ended)
}

// readUntil reads lines until one contains a text.
func readUntil(t *testing.T, out io.Reader, text string) string {
	t.Helper()
	var all strings.Builder
	part := make([]byte, 4096)
	for !strings.Contains(all.String(), text) {
		n, err := out.Read(part)
		all.Write(part[:n])
		require.NoError(t, err, all.String())
	}
	return all.String()
}
