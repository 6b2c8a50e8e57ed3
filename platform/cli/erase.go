package cli

import (
	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/fault"
)

func (c *command) erase() *cobra.Command {
	var o app.EraseOptions
	var yes bool
	cmd := &cobra.Command{
		Use:   "erase --subject SUBJECT",
		Short: "Remove what the records hold of a person",
		Long: `Works on the database itself, while the gateway runs. Of every event with just this subject it
removes the payload, the webhook's body and headers, and what destinations answered; deliveries that
wait are ended, and none can be replayed. Refused requests that mention the subject go too. The events'
records stay, marked as erased, and so does the audit trail. What was cut off is run again. Backups and
what destinations have received are not reached.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&o.Subject.Text, "subject", "", "the events' subject, exactly")
	cmd.Flags().StringVar(&o.Subject.Source, "source", "", "only what came in under this source")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only count what would be erased")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f := fault.As(o.Check()); f != nil {
			return usage("erase: --" + f.Fields[0].Field + ": " + f.Message)
		}
		o.Out, o.Confirm = c.stdout, c.confirm(yes)
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.Erase(cmd.Context(), cfg, log, o)
	}
	return cmd
}
