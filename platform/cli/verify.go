package cli

import (
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
)

func (c *command) verify() *cobra.Command {
	o := app.VerifyOptions{}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove or refute that nothing accepted is lost",
		Long: `Reads the books of the system, which may be running, and checks every event, job, attempt,
replay request and idempotency key. Exits with 0 when the books hold, with 1 and the ids
where they do not. With --repair it puts back what can be put back, audited as
books.repaired, and exits with 0 when nothing is left.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.Limit < 0:
				return usage("verify: --limit must be at least 0")
			case o.Grace < 0:
				return usage("verify: --grace must be at least 0s")
			}
			cfg, log, err := c.load(config.Options{Role: config.Migrate})
			if err != nil {
				return err
			}
			o.Out = c.stdout
			return app.Verify(cmd.Context(), cfg, log, o)
		},
	}
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print the report as JSON")
	cmd.Flags().BoolVar(&o.Repair, "repair", false, "put back what can be put back")
	cmd.Flags().IntVar(&o.Limit, "limit", 20, "problems to list for each check; all are counted")
	cmd.Flags().DurationVar(&o.Grace, "grace", 10*time.Second, "leave out what changed within this time")
	return cmd
}
