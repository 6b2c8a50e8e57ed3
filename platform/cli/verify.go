package cli

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
)

func (c *command) verify() *cobra.Command {
	o := app.VerifyOptions{}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that nothing accepted was lost",
		Long: `Checks the consistency of every event, job, attempt, replay request and idempotency key; the
gateway may be running. Exits with 0 if the check passes, or with 1 and the ids of what is
wrong. With --repair it repairs what can be repaired, audited as books.repaired, and exits
with 0 if no problem remains.`,
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
			return c.report(func(out io.Writer, asJSON bool) error {
				o.Out, o.JSON = out, asJSON
				return app.Verify(cmd.Context(), cfg, log, o)
			})
		},
	}
	c.addReportFlags(cmd)
	cmd.Flags().BoolVar(&o.Repair, "repair", false, "repair what can be repaired")
	cmd.Flags().IntVar(&o.Limit, "limit", 20, "problems to list per check; all are counted")
	cmd.Flags().DurationVar(&o.Grace, "grace", 10*time.Second, "ignore changes within this time")
	return cmd
}
