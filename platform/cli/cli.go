// Package cli is the command line: one file per command, which reads its flags,
// loads the configuration for its role and calls app. It decides nothing else.
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
	"integration-gateway/platform/config"
	"integration-gateway/platform/telemetry"
)

// The exit codes.
const (
	exitFailed = 1 // it started, and something went wrong
	exitUsage  = 2 // the command line or the configuration is wrong; nothing was started
)

// Execute runs the command line of this process and exits. SIGINT and SIGTERM end
// the command in order; a second one ends the process at once, and the leases in
// the database do the rest.
func Execute() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal meets the default handling
	os.Exit(Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Run runs one command line until it is done or ctx ends, and gives the exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := &command{stdout: stdout, stderr: stderr}
	root := c.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "gateway: %v\n", err)
	var mistakes config.Mistakes
	var misuse usage
	switch {
	case errors.As(err, &mistakes):
		return exitUsage
	case errors.As(err, &misuse) || !c.started:
		_, _ = fmt.Fprintln(stderr, "See: gateway --help")
		return exitUsage
	}
	return exitFailed
}

// usage is a mistake in the command line that cobra does not know.
type usage string

func (u usage) Error() string { return string(u) }

// command is what the commands share.
type command struct {
	stdout, stderr io.Writer
	configPath     string
	started        bool // the command line was understood
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "gateway",
		Short: "Takes webhooks in, keeps them, and delivers them",
		Long: `Gateway takes providers' webhooks in, verifies them, maps them to one shape of event,
keeps them, and delivers them with retries, replay and a history.

Try it with nothing installed:  gateway dev
Configuration: environment variables over configs/gateway.yaml over defaults.`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args:              cobra.NoArgs,
		PersistentPreRun:  func(*cobra.Command, []string) { c.started = true },
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().StringVar(&c.configPath, "config", "", "YAML file with settings (default configs/gateway.yaml when it is there)")
	root.AddCommand(c.serve(), c.work(), c.migrate(), c.seed(), c.dev(), c.verify(), c.partitions(), c.audit(), c.deadLetters(), c.erase(), c.integrations(), c.quarantine(), c.keys(), c.secrets(), c.send(), c.version())
	return root
}

// load reads the configuration for a role and makes the logger it asks for.
func (c *command) load(o config.Options) (config.Config, *slog.Logger, error) {
	o.Path = c.configPath
	cfg, err := config.Load(o)
	if err != nil {
		return config.Config{}, nil, err
	}
	if err := app.CheckProviders(cfg); err != nil {
		return config.Config{}, nil, err
	}
	return cfg, c.logger(cfg.Log), nil
}

func (c *command) logger(l config.Log) *slog.Logger {
	f, isFile := c.stderr.(*os.File)
	asText := l.Format == "text" || l.Format == "auto" && isFile && telemetry.IsTerminal(f)
	return telemetry.NewLogger(c.stderr, l.Level, !asText)
}

// callbackBase checks the flag that seed and dev share.
func callbackBase(text string) (string, error) {
	base, err := app.CallbackBase(text)
	if err != nil {
		return "", usage("--callback-base: " + err.Error())
	}
	return base, nil
}
