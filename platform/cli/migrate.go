package cli

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
)

func (c *command) migrate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Migrate the database schema",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usage("migrate: name a subcommand: up, plan, down, version or force")
		},
	}
	cmd.AddCommand(c.migrateUp(), c.migratePlan(), c.migrateDown(), c.migrateVersion(), c.migrateForce())
	return cmd
}

// onDatabase makes the RunE of a command that only needs the database.
func (c *command) onDatabase(do func(cmd *cobra.Command, cfg config.Config, log *slog.Logger) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		cfg, log, err := c.load(config.Options{Role: config.Migrate})
		if err != nil {
			return err
		}
		return do(cmd, cfg, log)
	}
}

func (c *command) migrateUp() *cobra.Command {
	var plan bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Migrate to the version that this program needs",
		Long: `Migrates the schema to the version that this program needs. The gateway may be running: each
step waits for its locks for a second only and tries again, and indexes are built without
blocking writes. An interrupted migration is continued. A newer schema is left alone, which
is an error only if this program cannot work on it. A database file is copied first.`,
		Args: cobra.NoArgs,
		RunE: c.onDatabase(func(cmd *cobra.Command, cfg config.Config, log *slog.Logger) error {
			if plan {
				return app.MigrationPlan(cmd.Context(), cfg, log, c.stdout)
			}
			version, err := app.MigrateUp(cmd.Context(), cfg, log, c.stderr)
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(c.stdout, "the schema is at version %d\n", version)
			return nil
		}),
	}
	cmd.Flags().BoolVar(&plan, "plan", false, "say what each step will do and what it locks, and do nothing")
	return cmd
}

func (c *command) migratePlan() *cobra.Command {
	return &cobra.Command{
		Use:   "plan",
		Short: "Say what `migrate up` will do, and what it locks",
		Args:  cobra.NoArgs,
		RunE: c.onDatabase(func(cmd *cobra.Command, cfg config.Config, log *slog.Logger) error {
			return app.MigrationPlan(cmd.Context(), cfg, log, c.stdout)
		}),
	}
}

func (c *command) migrateDown() *cobra.Command {
	var steps int
	var all, yes bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Revert migrations; data in their tables is lost",
		Args:  cobra.NoArgs,
	}
	undo := c.onDatabase(func(cmd *cobra.Command, cfg config.Config, log *slog.Logger) error {
		version, err := app.MigrateDown(cmd.Context(), cfg, log, steps, c.stdout, c.confirm(yes))
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(c.stdout, "the schema is at version %d\n", version)
		return nil
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		counted := cmd.Flags().Changed("steps")
		switch {
		case all && counted:
			return usage("migrate down: give --steps or --all, not both")
		case !all && !counted:
			return usage("migrate down: give --steps N, or revert every migration, and lose all data, with --all")
		case counted && steps < 1:
			return usage("migrate down: --steps must be at least 1")
		}
		return undo(cmd, args)
	}
	cmd.Flags().IntVar(&steps, "steps", 0, "how many migrations to revert")
	cmd.Flags().BoolVar(&all, "all", false, "revert every migration; all data is lost")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	return cmd
}

func (c *command) migrateVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the schema's version",
		Args:  cobra.NoArgs,
		RunE: c.onDatabase(func(cmd *cobra.Command, cfg config.Config, log *slog.Logger) error {
			version, dirty, err := app.MigrationVersion(cmd.Context(), cfg, log)
			if err != nil {
				return err
			}
			suffix := ""
			if dirty {
				suffix = " (has not finished; if no `gateway migrate up` runs now, run it)"
			}
			_, _ = fmt.Fprintf(c.stdout, "%d%s\n", version, suffix)
			return nil
		}),
	}
}

func (c *command) migrateForce() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "force V",
		Short: "Set the schema's version without a migration, after a manual repair",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			version, err := strconv.Atoi(args[0])
			if err != nil || version < 0 {
				return usage(fmt.Sprintf("migrate force: %q is not a version", args[0]))
			}
			return c.onDatabase(func(cmd *cobra.Command, cfg config.Config, log *slog.Logger) error {
				return app.MigrateForce(cmd.Context(), cfg, log, version, c.stdout, c.confirm(yes))
			})(cmd, args)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	return cmd
}

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
			return c.report(func(out io.Writer, asJSON bool) error {
				o.Out, o.JSON = out, asJSON
				return app.Partitions(cmd.Context(), cfg, log, o)
			})
		}),
	}
	c.addReportFlags(cmd)
	return cmd
}
