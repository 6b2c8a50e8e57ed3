package cli

import (
	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
)

func (c *command) quarantine() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "List refused webhooks and release them after fixing the cause",
		Long: `Works directly on the database. Requests to a known source that could not be verified, or
gave no event, are kept for a time. A release verifies them again with the current secrets.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usage("quarantine: name a subcommand: list, show or release")
		},
	}
	cmd.AddCommand(c.quarantineList(), c.quarantineShow(), c.quarantineRelease())
	return cmd
}

func (c *command) quarantineOptions(cmd *cobra.Command, filter bool) *app.QuarantineOptions {
	o := &app.QuarantineOptions{Page: 1, PageSize: 20}
	o.Out = c.stdout
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print JSON")
	if filter {
		cmd.Flags().StringVar(&o.Source, "source", "", "only requests to this source")
		cmd.Flags().StringVar(&o.Reason, "reason", "", "only requests refused for this reason, such as no_match")
	}
	return o
}

func (c *command) quarantineList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List refused requests, newest first", Args: cobra.NoArgs}
	o := c.quarantineOptions(cmd, true)
	cmd.Flags().IntVar(&o.Page, "page", o.Page, "page of the list")
	cmd.Flags().IntVar(&o.PageSize, "page-size", o.PageSize, "requests per page, at most 100")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.Check(); err != nil {
			return usage("quarantine list: " + err.Error())
		}
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.ListQuarantine(cmd.Context(), cfg, log, *o)
	}
	return cmd
}

func (c *command) quarantineShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show one refused request", Args: cobra.ExactArgs(1)}
	o := c.quarantineOptions(cmd, false)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		quarantineID, ok := app.ValidID(args[0])
		if !ok {
			return usage("quarantine show: the id must be a UUID")
		}
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.ShowQuarantined(cmd.Context(), cfg, log, quarantineID, *o)
	}
	return cmd
}

func (c *command) quarantineRelease() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release [ID]",
		Short: "Verify one refused request again, or all of a source, and accept it",
		Args:  cobra.MaximumNArgs(1),
	}
	o := c.quarantineOptions(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		one := len(args) == 1
		if one == (o.Source != "") || one && o.Reason != "" {
			return usage("quarantine release: give an id, or a source with --source")
		}
		quarantineID, valid := "", true
		if one {
			quarantineID, valid = app.ValidID(args[0])
		}
		if !valid {
			return usage("quarantine release: the id must be a UUID")
		}
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		if one {
			return app.ReleaseQuarantined(cmd.Context(), cfg, log, quarantineID, *o)
		}
		return app.ReleaseQuarantine(cmd.Context(), cfg, log, *o)
	}
	return cmd
}
