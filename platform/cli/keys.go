package cli

import (
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
)

func (c *command) keys() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make and revoke keys for the management API",
		Long: `Works on the database itself. A key has a role (viewer reads; operator replays, cancels,
requeues and releases too; admin changes integrations and keys too), and may be confined to sources.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usage("keys: name what to do: create, list or revoke")
		},
	}
	cmd.AddCommand(c.keysCreate(), c.keysList(), c.keysRevoke())
	return cmd
}

func (c *command) keysCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create NAME", Short: "Make a key; it is printed this once", Args: cobra.ExactArgs(1)}
	o := c.integrationOptions(cmd)
	role := cmd.Flags().String("role", "viewer", "viewer, operator or admin")
	sources := cmd.Flags().StringSlice("source", nil, "confine it to this source; may be repeated")
	lifetime := cmd.Flags().Duration("expires-in", 0, "how long it is valid, such as 720h; 0 for good")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *lifetime < 0 || *lifetime > 100*365*24*time.Hour {
			return usage("keys create: --expires-in must be from 0 to a hundred years")
		}
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.CreateKey(cmd.Context(), cfg, log, app.KeyOptions{IntegrationOptions: *o, Name: args[0], Role: *role, Sources: *sources, Lifetime: *lifetime})
	}
	return cmd
}

func (c *command) keysList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List all keys, the revoked ones too", Args: cobra.NoArgs}
	o := c.integrationOptions(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.ListKeys(cmd.Context(), cfg, log, *o)
	}
	return cmd
}

func (c *command) keysRevoke() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke NAME|ID", Short: "End a key; running gateways refuse it within two seconds", Args: cobra.ExactArgs(1)}
	o := c.integrationOptions(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.RevokeKey(cmd.Context(), cfg, log, args[0], *o)
	}
	return cmd
}
