package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"integration-gateway/platform/config"
)

// demoTimeout limits the whole demo.
const demoTimeout = 30 * time.Second

// errDemo ends a demo with an unexpected result.
var errDemo = errors.New("the demo had an unexpected result")

// DemoSettings makes the demo quick and quiet, unless the environment says otherwise.
func DemoSettings(flags map[string]string) {
	for name, value := range map[string]string{"RETRY_BASE_DELAY_MS": "500", "LOG_LEVEL": "error", "SHUTDOWN_GRACE_SECONDS": "10"} {
		if _, set := os.LookupEnv(name); !set {
			flags[name] = value
		}
	}
	flags["TLS_CERT_FILE"], flags["TLS_KEY_FILE"] = "", "" // it connects to itself, under a name that no certificate has
}

// Demo runs everything like Dev, in a temporary folder unless o names one. It sends a few
// webhooks over HTTP, prints what happened to each, and ends. An error means that one of
// them had an unexpected result.
func Demo(ctx context.Context, cfg config.Config, log *slog.Logger, o DevOptions) error {
	if o.DataDir == "" {
		dir, err := os.MkdirTemp("", "gateway-demo-")
		if err != nil {
			return fmt.Errorf("create a temporary folder: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		o.DataDir = dir
	}
	ctx, end := context.WithTimeoutCause(ctx, demoTimeout, errors.New("it took too long"))
	defer end()
	played := make(chan error, 1)
	err := runDev(ctx, cfg, log, o, func(ctx context.Context, d *devSystem) error {
		go func() {
			demo := newDemoClient(d)
			played <- demo.run(ctx, o.Out)
			demo.client.CloseIdleConnections() // otherwise the server waits for unused ones
			end()
		}()
		return nil
	})
	if err != nil {
		return err
	}
	return <-played
}
