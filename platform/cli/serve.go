package cli

import (
	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
)

func (c *command) serve() *cobra.Command {
	var both bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Receive webhooks and serve the management API",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := config.Options{Role: config.Serve, Both: both}
			cfg, log, err := c.load(o)
			if err != nil {
				return err
			}
			ctx, stop := c.withReload(cmd.Context(), o)
			defer stop()
			return app.Serve(ctx, cfg, log, both)
		},
	}
	cmd.Flags().BoolVar(&both, "work", false, "also deliver, in the same process")
	return cmd
}
