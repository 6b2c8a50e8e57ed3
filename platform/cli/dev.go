package cli

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/target"
	"integration-gateway/platform/config"
	"integration-gateway/platform/secret"
)

// announce lets the other commands find the gateway that runs in a data folder.
func announce(dataDir, address string, key secret.Value) (func(), error) {
	text, err := json.Marshal(target.Dev{API: address, Key: key.Reveal()})
	if err != nil {
		return nil, fmt.Errorf("leave the address for other commands: %w", err)
	}
	return target.WriteDev(dataDir, append(text, '\n'))
}

func (c *command) dev() *cobra.Command {
	var o app.DevOptions
	var demo bool
	var port int
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process without other services",
		Long: `Runs the whole gateway in one process: records in SQLite in a data folder, queue and cache
in memory, migrated and seeded. You can kill it at any moment and start it again: every
accepted webhook is delivered.

With --demo it sends a few webhooks to itself, shows what happened to each, and exits with 0
if all went as expected. With --demo --keep it goes on as several providers, destinations and
operators, so that the console and the commands have something to show, until you stop it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.CallbackBase, err = callbackBase(o.CallbackBase); err != nil {
				return err
			}
			flags := map[string]string{}
			switch {
			case cmd.Flags().Changed("port"):
				flags["APP_PORT"] = strconv.Itoa(port)
			case demo && !o.Keep:
				flags["APP_PORT"] = "0"
			}
			if o.Keep && !demo {
				return usage("dev: --keep belongs to --demo; add it, or run dev alone")
			}
			if demo {
				if cmd.Flags().Changed("callback-base") {
					return usage("dev: --demo has its own receiver; remove --callback-base")
				}
				app.DemoSettings(flags)
			}
			settings := config.Options{Role: config.Dev, Flags: flags}
			cfg, log, err := c.load(settings)
			if err != nil {
				return err
			}
			o.Out = c.stdout
			if demo {
				if o.Keep && o.DataDir != "" {
					o.Announce = announce
				}
				return app.Demo(cmd.Context(), cfg, log, o)
			}
			ctx, stop := c.withReload(cmd.Context(), settings)
			defer stop()
			o.Announce = announce
			return app.Dev(ctx, cfg, log, o)
		},
	}
	cmd.Flags().BoolVar(&demo, "demo", false, "send a few webhooks, show what happened to them, and exit")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "with --demo: fill the gateway as a week would, and go on until it is stopped")
	cmd.Flags().StringVar(&o.DataDir, "data", "", "folder for the records (default "+app.DefaultDataDir+"; a temporary one with --demo)")
	cmd.Flags().IntVar(&port, "port", config.DefaultNumber("APP_PORT"), "port to listen on; 0 for any free one (APP_PORT)")
	cmd.Flags().StringVar(&o.CallbackBase, "callback-base", "", "deliver to URL/<provider> instead of the gateway's own sink")
	return cmd
}
