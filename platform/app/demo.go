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

// demoTimeout is what the whole demo may take.
const demoTimeout = 30 * time.Second

// errDemo is the end of a demo in which something went otherwise than it should.
var errDemo = errors.New("the demo did not go as it should")

// DemoSettings makes the demo quick and quiet, where the environment says nothing else.
func DemoSettings(flags map[string]string) {
	for name, value := range map[string]string{"RETRY_BASE_DELAY_MS": "500", "LOG_LEVEL": "error", "SHUTDOWN_GRACE_SECONDS": "10"} {
		if _, set := os.LookupEnv(name); !set {
			flags[name] = value
		}
	}
	flags["TLS_CERT_FILE"], flags["TLS_KEY_FILE"] = "", "" // it talks to itself, by no name that a certificate has
}

// Demo runs everything as Dev does, on a temporary folder unless o names one, sends
// a few webhooks over HTTP, prints what became of each, and ends. Its error says
// that one of them went otherwise than it should.
func Demo(ctx context.Context, cfg config.Config, log *slog.Logger, o DevOptions) error {
	if o.DataDir == "" {
		dir, err := os.MkdirTemp("", "gateway-demo-")
		if err != nil {
			return fmt.Errorf("a temporary folder: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		o.DataDir = dir
	}
	ctx, end := context.WithTimeoutCause(ctx, demoTimeout, errors.New("it took too long"))
	defer end()
	played := make(chan error, 1)
	err := runDev(ctx, cfg, log, o, func(ctx context.Context, d *devSystem) error {
		go func() {
			visitor := newVisitor(d)
			played <- visitor.play(ctx, o.Out)
			visitor.client.CloseIdleConnections() // the server would wait for one that was opened and never used
			end()
		}()
		return nil
	})
	if err != nil {
		return err
	}
	return <-played
}
