package cli

import (
	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
)

func (c *command) seed() *cobra.Command {
	var base string
	cmd := &cobra.Command{
		Use:   "seed",
		Short: "Create two demo integrations and a few example events, once",
		Long: `Creates the integrations acme and globex with well-known secrets, a destination each, and
a few example events. It never overwrites existing integrations; you can run it repeatedly.
For development and test: it refuses to run in production.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			callback, err := callbackBase(base)
			if err != nil {
				return err
			}
			cfg, log, err := c.load(config.Options{Role: config.Seed})
			if err != nil {
				return err
			}
			return app.Seed(cmd.Context(), cfg, log, callback, c.stdout)
		},
	}
	cmd.Flags().StringVar(&base, "callback-base", "", "deliver to URL/<provider> instead of the gateway's own sink")
	return cmd
}
