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
		Short: "Erase a person's data from the records",
		Long: `Works directly on the database, while the gateway runs. It erases every event with exactly
this subject: the payload, the webhook's body and headers, and the destinations' responses.
Open deliveries are ended, and the events cannot be replayed. Refused requests that mention
the subject are deleted. The events' records stay, marked as erased, and so does the audit
trail. If it is interrupted, run it again. It does not reach backups, nor what destinations
have received.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&o.Subject.Text, "subject", "", "the events' subject, exactly")
	cmd.Flags().StringVar(&o.Subject.Source, "source", "", "only events of this source")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only count what would be erased")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
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
