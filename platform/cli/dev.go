package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
)

func (c *command) dev() *cobra.Command {
	var o app.DevOptions
	var demo bool
	var port int
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process with nothing installed",
		Long: `Runs the whole gateway in one process: the records in SQLite in a data folder, the queue
and the cache in memory, migrated and seeded. Kill it at any moment and start it again:
every webhook that was accepted is delivered.

With --demo it sends a few webhooks through itself, shows what became of each, and exits
with 0 when all went as they should.`,
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
			case demo:
				flags["APP_PORT"] = "0"
			}
			if demo {
				if cmd.Flags().Changed("callback-base") {
					return usage("dev: --demo has a receiver of its own; leave --callback-base out")
				}
				app.DemoSettings(flags)
			}
			cfg, log, err := c.load(config.Options{Role: config.Dev, Flags: flags})
			if err != nil {
				return err
			}
			o.Out = c.stdout
			if demo {
				return app.Demo(cmd.Context(), cfg, log, o)
			}
			return app.Dev(cmd.Context(), cfg, log, o)
		},
	}
	cmd.Flags().BoolVar(&demo, "demo", false, "send a few webhooks, show what became of them, and exit")
	cmd.Flags().StringVar(&o.DataDir, "data", "", "folder for the records (default "+app.DefaultDataDir+"; a temporary one with --demo)")
	cmd.Flags().IntVar(&port, "port", 3000, "port to listen on; 0 takes a free one (APP_PORT)")
	cmd.Flags().StringVar(&o.CallbackBase, "callback-base", "", "deliver to URL/<provider> instead of the gateway's own sink")
	return cmd
}
