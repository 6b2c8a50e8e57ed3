package app

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
)

// devConfig returns the configuration of `gateway dev` on a free port.
func devConfig(t testing.TB, flags ...string) config.Config {
	t.Helper()
	all := map[string]string{"APP_PORT": "0", "RETRY_BASE_DELAY_MS": "50", "SHUTDOWN_GRACE_SECONDS": "10"}
	for i := 0; i+1 < len(flags); i += 2 {
		all[flags[i]] = flags[i+1]
	}
	cfg, err := config.Load(config.Options{Role: config.Dev, Flags: all, Path: listedFile(t)})
	require.NoError(t, err)
	return cfg
}

func listedFile(t testing.TB) string {
	path, err := filepath.Abs(filepath.Join("..", "..", "configs", "gateway.yaml"))
	require.NoError(t, err)
	return path
}

// running is a `gateway dev` in this process.
type running struct {
	output string // at start
	stop   context.CancelFunc
	ended  chan error
}

// startDev starts one and waits until it has printed its address.
func startDev(t *testing.T, cfg config.Config, dir string) (*running, string) {
	t.Helper()
	return startDevTo(t, cfg, dir, "")
}

func startDevTo(t *testing.T, cfg config.Config, dir, callback string) (*running, string) {
	t.Helper()
	return startDevLogging(t, cfg, quiet, DevOptions{DataDir: dir, CallbackBase: callback})
}

func startDevLogging(t *testing.T, cfg config.Config, log *slog.Logger, o DevOptions) (*running, string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	o.Out = in
	r := &running{"", cancel, make(chan error, 1)}
	lines := bufio.NewScanner(out)
	go func() {
		err := Dev(ctx, cfg, log, o)
		_ = in.CloseWithError(io.EOF)
		r.ended <- err
	}()
	t.Cleanup(cancel)
	health := ""
	for lines.Scan() {
		r.output += lines.Text() + "\n"
		if rest, found := strings.CutPrefix(lines.Text(), "Health"); found {
			health = strings.TrimSpace(rest)
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if health == "" {
		require.NoError(t, <-r.ended, "it ended before it was listening")
	}
	return r, strings.TrimSuffix(health, "/health")
}

func visit(api string) *demoClient {
	return &demoClient{api: api, key: config.DemoKey, unique: "test", client: &http.Client{Timeout: 10 * time.Second, Transport: http.DefaultClient.Transport}}
}

func tableCount(t *testing.T, db *database.DB, table string) int {
	t.Helper()
	var n int
	require.NoError(t, db.Get(context.Background(), &n, "SELECT count(*) FROM "+table))
	return n
}
