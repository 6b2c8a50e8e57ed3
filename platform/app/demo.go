package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"integration-gateway/modules/console"
	"integration-gateway/platform/app/demo"
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
	flags["TLS_CERT_FILE"], flags["TLS_KEY_FILE"], flags["CLIENT_CA_FILE"], flags["CLIENT_CERT_HEADER"] = "", "", "", "" // it connects to itself, under a name that no certificate has
}

// Demo runs everything like Dev, in a temporary folder unless o names one. It sends a few
// webhooks over HTTP, prints what happened to each, and ends. An error means that one of
// them had an unexpected result. With o.Keep it does not end then, but is several providers,
// destinations and operators until ctx ends.
func Demo(ctx context.Context, cfg config.Config, log *slog.Logger, o DevOptions) error {
	if o.DataDir == "" {
		dir, err := os.MkdirTemp("", "gateway-demo-")
		if err != nil {
			return fmt.Errorf("create a temporary folder: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		o.DataDir = dir
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	played := make(chan error, 1)
	forget := func() {}
	defer func() { forget() }()
	err := runDev(ctx, cfg, log, o, func(ctx context.Context, d *devSystem) (err error) {
		if o.Announce != nil {
			if forget, err = o.Announce(o.DataDir, d.url(), cfg.ManagementKey); err != nil {
				forget = func() {}
				return err
			}
		}
		go func() {
			err := d.playDemo(ctx, o)
			if err == nil && o.Keep {
				err = d.keepDemo(ctx, o)
			}
			played <- err
			end()
		}()
		return nil
	})
	if err != nil {
		return err
	}
	return <-played
}

// playDemo sends the demo's webhooks, within its time.
func (d *devSystem) playDemo(ctx context.Context, o DevOptions) error {
	ctx, cancel := context.WithTimeoutCause(ctx, demoTimeout, errors.New("it took too long"))
	defer cancel()
	c := newDemoClient(d)
	defer c.client.CloseIdleConnections() // otherwise the server waits for unused ones
	if !o.Keep {
		return c.run(ctx, o.Out)
	}
	var table bytes.Buffer // wider than many terminals, and not what is looked for here unless something is wrong
	err := c.run(ctx, &table)
	text := table.String()
	if err == nil {
		text = "A first webhook was delivered, a repeat recognised, a forged one refused, and a\nfailed delivery tried again: " + text[strings.LastIndex(strings.TrimRight(text, "\n"), "\n")+1:]
	}
	_, _ = io.WriteString(o.Out, text)
	return err
}

// keepDemo fills the gateway and keeps it busy until ctx ends.
func (d *devSystem) keepDemo(ctx context.Context, o DevOptions) error {
	_, _ = io.WriteString(o.Out, "\nFilling the demo…\n")
	return demo.Run(ctx, demo.Options{URL: d.url(), Key: d.cfg.ManagementKey.Reveal(), Filled: func(sources, webhooks int) {
		_, _ = io.WriteString(o.Out, d.invitation(sources, webhooks))
	}})
}

// invitation says what the demo does now, and where to look. Its lines fit 80 columns.
func (d *devSystem) invitation(sources, webhooks int) string {
	text := fmt.Sprintf(`
%d providers have sent %d webhooks, and send about one a second until you
press Ctrl-C. One service is down, one refuses some orders, one is paused; a
secret is being rotated; a replay is going on; refused webhooks wait in
quarantine; two alerts open within a minute.

`, sources, webhooks)
	if d.console == nil {
		return text + "The console is off: unset CONSOLE to see all of it there.\n"
	}
	return text + fmt.Sprintf(`Console   %s%s
Sign in   %s%s
          That link is good once, for five minutes. After that sign in with
          the management key %s
`, d.url(), console.Root, d.url(), d.console.Link(), d.shownKey())
}
