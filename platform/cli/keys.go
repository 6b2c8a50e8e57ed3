package cli

import (
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
)

func (c *command) keys() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Create and revoke keys for the management API",
		Long: `Works directly on the database. A key has a role: viewer reads; operator also replays,
cancels, requeues and releases; admin also changes integrations, creates, lists and revokes
keys. It may be restricted to sources.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usage("keys: name a subcommand: create, list or revoke")
		},
	}
	cmd.AddCommand(c.keysCreate(), c.keysList(), c.keysRevoke())
	return cmd
}

func (c *command) keysCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create NAME", Short: "Create a key and print it once", Args: cobra.ExactArgs(1)}
	o := c.integrationOptions(cmd)
	role := cmd.Flags().String("role", "viewer", "viewer, operator or admin")
	sources := cmd.Flags().StringSlice("source", nil, "restrict it to this source; may be repeated")
	var lifetime duration
	cmd.Flags().Var(&lifetime, "expires-in", "how long it is valid, such as 90d or 720h; 0 for ever")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if lifetime > duration(100*365*24*time.Hour) {
			return usage("keys create: --expires-in must be at most a hundred years")
		}
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.CreateKey(cmd.Context(), cfg, log, app.KeyOptions{IntegrationOptions: *o, Name: args[0], Role: *role, Sources: *sources, Lifetime: time.Duration(lifetime)})
	}
	return cmd
}

func (c *command) keysList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List all keys, including revoked ones", Args: cobra.NoArgs}
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
	cmd := &cobra.Command{Use: "revoke NAME|ID", Short: "Revoke a key; running gateways refuse it within two seconds", Args: cobra.ExactArgs(1)}
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
