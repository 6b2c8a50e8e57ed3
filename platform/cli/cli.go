// Package cli is the command line: one file per command, which reads its flags, loads the
// configuration for its role and calls app. It decides nothing else.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/config"
	"integration-gateway/platform/telemetry"
)

// Execute runs the command line of this process and exits. SIGINT and SIGTERM shut the
// command down; a second one ends the process immediately, and the leases in the database
// take care of the rest.
func Execute() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal gets the default handling
	os.Exit(Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Run runs one command line until it ends or ctx ends, and returns the exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	shown := output.NewWriter(stdout)
	defer shown.Flush()
	c := &command{raw: stdout, stdout: shown, stderr: stderr, level: new(slog.LevelVar)}
	root := c.root()
	root.SetArgs(args)
	root.SetOut(shown)
	root.SetErr(stderr)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(output.NewWriter(stderr), "gateway: %s\n", textOf(err))
	var mistakes config.Mistakes
	var usageErr usage
	switch {
	case errors.As(err, &mistakes):
		return exitUsage
	case errors.As(err, &usageErr) || !c.started:
		_, _ = fmt.Fprintf(stderr, "See: %s --help\n", ran.CommandPath())
		return exitUsage
	}
	return codeOf(err)
}

// command holds what the commands share.
type command struct {
	raw            io.Writer // stdout, for text that was cleaned
	stdout, stderr io.Writer
	configPath     string
	api            apiFlags
	started        bool           // the command line was valid
	level          *slog.LevelVar // the log level, which can change while a process runs
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "gateway",
		Short: "Receives, stores and delivers webhooks",
		Long: `Gateway receives providers' webhooks, verifies them, maps them to one event format,
stores them, and delivers them with retries, replay and a history.

Try it with nothing installed:  gateway dev
Look into it:                   gateway events list
Configuration: environment variables over configs/gateway.yaml over defaults.`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Version:           version(),
		Args:              subcommandsOnly,
		PersistentPreRunE: c.start,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().StringVar(&c.configPath, "config", "", "YAML file with settings (default configs/gateway.yaml if it exists)")
	root.SetFlagErrorFunc(flagError)
	c.addGroups(root)
	root.AddCommand(topics()...)
	return root
}

// start marks the command line as valid. Cobra would check which flags go together only
// afterwards.
func (c *command) start(cmd *cobra.Command, _ []string) error {
	if err := cmd.ValidateFlagGroups(); err != nil {
		return err
	}
	c.started = true
	return nil
}

// load reads the configuration for a role and makes its logger.
func (c *command) load(o config.Options) (config.Config, *slog.Logger, error) {
	cfg, mistakes, err := c.settings(o)
	switch {
	case err != nil:
		return config.Config{}, nil, err
	case len(mistakes) > 0:
		return config.Config{}, nil, mistakes
	}
	return cfg, c.logger(cfg.Log), nil
}

// settings reads the configuration for a role, as far as it can be read, and everything that
// is wrong with it.
func (c *command) settings(o config.Options) (config.Config, config.Mistakes, error) {
	o.Path = c.configPath
	cfg, mistakes := app.CheckSettings(o)
	cfg.Version = version()
	var err error
	if o.Role != config.Dev && o.Role != config.Send {
		cfg, err = app.WithKeyBesideDatabase(cfg)
	}
	return cfg, mistakes, err
}

// withReload makes a running process reload the settings file on SIGHUP (which would
// otherwise end it), until stop.
func (c *command) withReload(ctx context.Context, o config.Options) (_ context.Context, stop func()) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	o.Path = c.configPath
	return app.WithReloading(ctx, app.Reloading{
		Signals: asked,
		Load:    func() (config.Config, error) { return config.Load(o) },
		Level:   func(name string) { telemetry.SetLevel(c.level, name) },
	}), func() { signal.Stop(asked) }
}

func (c *command) logger(l config.Log) *slog.Logger {
	f, isFile := c.stderr.(*os.File)
	asText := l.Format == "text" || l.Format == "auto" && isFile && telemetry.IsTerminal(f)
	telemetry.SetLevel(c.level, l.Level)
	return telemetry.NewLogger(c.stderr, c.level, !asText)
}

// callbackBase validates the flag that seed and dev share.
func callbackBase(text string) (string, error) {
	base, err := app.CallbackBase(text)
	if err != nil {
		return "", usage("--callback-base: " + err.Error())
	}
	return base, nil
}

// warn prints a warning.
func (c *command) warn(format string, args ...any) {
	_, _ = fmt.Fprintf(output.NewWriter(c.stderr), "gateway: warning: "+format+"\n", args...)
}
