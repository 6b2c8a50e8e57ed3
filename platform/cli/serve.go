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
		Short: "Take webhooks in and answer the management API",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, log, err := c.load(config.Options{Role: config.Serve, Both: both})
			if err != nil {
				return err
			}
			return app.Serve(cmd.Context(), cfg, log, both)
		},
	}
	cmd.Flags().BoolVar(&both, "work", false, "deliver as well, in the same process")
	return cmd
}
