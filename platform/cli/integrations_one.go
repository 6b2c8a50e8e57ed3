package cli

import (
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/secret"
)

func (c *command) integrationsList() *cobra.Command {
	var o app.ListOptions
	cmd := &cobra.Command{Use: "list", Short: "List integrations", Args: cobra.NoArgs}
	shared := c.integrationOptions(cmd)
	cmd.Flags().StringVar(&o.Provider, "provider", "", "only integrations of this provider")
	cmd.Flags().BoolVar(&o.ActiveOnly, "active-only", false, "only enabled integrations")
	cmd.Flags().BoolVar(&o.Archived, "archived", false, "include removed integrations")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.IntegrationOptions = *shared
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.ListIntegrations(cmd.Context(), cfg, log, o)
	}
	return cmd
}

func (c *command) integrationsShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show SOURCE", Short: "Show one integration, with the use of its secrets", Args: cobra.ExactArgs(1)}
	shared := c.integrationOptions(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.ShowIntegration(cmd.Context(), cfg, log, args[0], *shared)
	}
	return cmd
}

func (c *command) integrationsSwitch(verb string, active bool) *cobra.Command {
	short := "Accept a source's webhooks again"
	if !active {
		short = "Refuse a source's webhooks and park its events"
	}
	return &cobra.Command{
		Use: verb + " SOURCE", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, log, err := c.loadTool()
			if err != nil {
				return err
			}
			return app.SetIntegrationActive(cmd.Context(), cfg, log, args[0], active, app.IntegrationOptions{Out: c.stdout})
		},
	}
}

func (c *command) rotateSecret() *cobra.Command {
	var o app.RotateOptions
	var expireOld time.Duration
	cmd := &cobra.Command{
		Use:   "rotate-secret SOURCE",
		Short: "Add a secret and let the others expire",
		Long: `Adds a secret. The existing secrets of its purpose stay valid beside it for --expire-old, or
until they are removed.`,
		Args: cobra.ExactArgs(1),
	}
	secrets := addSecretFlags(cmd)
	cmd.Flags().StringVar(&o.Note, "note", "", "a note on the new secret")
	cmd.Flags().StringVar(&o.Purpose, "purpose", "", "what it is for: signing, token or challenge (default: what proves the provider's webhooks)")
	cmd.Flags().DurationVar(&expireOld, "expire-old", 0, "how long the others stay valid, such as 24h; 0s ends them immediately")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		given, err := secrets.read("rotate-secret")
		switch {
		case err != nil:
			return err
		case len(given) != 1:
			return usage("integrations rotate-secret: give exactly one new secret, with --secret, --secret-file or --secret-env")
		case expireOld < 0:
			return usage("integrations rotate-secret: --expire-old must be at least 0s")
		}
		if cmd.Flags().Changed("expire-old") {
			o.ExpireOld = &expireOld
		}
		o.Out, o.Secret = c.stdout, secret.New(given[0])
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.RotateSecret(cmd.Context(), cfg, log, args[0], o)
	}
	return cmd
}

func (c *command) rotateSigningSecret() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "rotate-signing-secret SOURCE",
		Short: "Give a destination a new signing secret and show it once",
		Args:  cobra.ExactArgs(1),
	}
	shared := c.integrationOptions(cmd)
	cmd.Flags().StringVar(&to, "to", "", "the destination's URL or id, if the source has several")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.RotateSigningSecret(cmd.Context(), cfg, log, args[0], to, *shared)
	}
	return cmd
}

func (c *command) integrationsRemove() *cobra.Command {
	var openJobs string
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove SOURCE",
		Short: "Remove an integration for good; its history stays",
		Args:  cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&openJobs, "open-jobs", "finish", "what to do with open deliveries: finish or cancel")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if openJobs != "finish" && openJobs != "cancel" {
			return usage("integrations remove: --open-jobs must be finish or cancel")
		}
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.RemoveIntegration(cmd.Context(), cfg, log, args[0], openJobs, c.confirm(yes), app.IntegrationOptions{Out: c.stdout})
	}
	return cmd
}
