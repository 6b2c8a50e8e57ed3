package cli

import (
	"log/slog"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
)

func (c *command) partitions() *cobra.Command {
	o := app.PartitionsOptions{}
	cmd := &cobra.Command{
		Use:   "partitions",
		Short: "Show the sizes of the tables and what retention removes next",
		Long: `Lists the tables that grow with every event, with their partitions on PostgreSQL: range,
rows (the planner's estimate), size, and when RETENTION_EVENTS or RETENTION_AUDIT removes
them. A partition with an unfinished event is kept longer. Changes nothing.`,
		Args: cobra.NoArgs,
		RunE: c.onDatabase(func(cmd *cobra.Command, cfg config.Config, log *slog.Logger) error {
			o.Out = c.stdout
			return app.Partitions(cmd.Context(), cfg, log, o)
		}),
	}
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print the report as JSON")
	return cmd
}
