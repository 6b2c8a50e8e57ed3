package cli

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
	"integration-gateway/platform/telemetry"
)

func (c *command) integrations() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "integrations",
		Short: "Add, change and remove integrations",
		Long: `Works directly on the database, with the same checks as the API. Running gateways apply a
change within a second. Prefer --secret-env or --secret-file for secrets: other users of the
machine can see a command line.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usage("integrations: name a subcommand: add, apply, list, show, enable, disable, rotate-secret, rotate-signing-secret or remove")
		},
	}
	cmd.AddCommand(c.integrationsAdd(), c.integrationsApply(), c.integrationsList(), c.integrationsShow(), c.integrationsSwitch("enable", true),
		c.integrationsSwitch("disable", false), c.rotateSecret(), c.rotateSigningSecret(), c.integrationsRemove())
	return cmd
}

// loadTool loads the configuration of a command on the records.
func (c *command) loadTool() (config.Config, *slog.Logger, error) {
	return c.load(config.Options{Role: config.Migrate})
}

func (c *command) integrationOptions(cmd *cobra.Command) *app.IntegrationOptions {
	o := &app.IntegrationOptions{Out: c.stdout}
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print JSON")
	return o
}

// secretFlags are the flags for secrets.
type secretFlags struct{ values, files, variables []string }

func addSecretFlags(cmd *cobra.Command) *secretFlags {
	f := &secretFlags{}
	cmd.Flags().StringArrayVar(&f.values, "secret", nil, "a secret that verifies webhooks")
	cmd.Flags().StringArrayVar(&f.files, "secret-file", nil, "a file with a secret")
	cmd.Flags().StringArrayVar(&f.variables, "secret-env", nil, "an environment variable with a secret")
	return f
}

func (f *secretFlags) read(command string) ([]string, error) {
	secrets, err := app.Secrets(f.values, f.files, f.variables)
	if err != nil {
		return nil, usage("integrations " + command + ": " + err.Error())
	}
	return secrets, nil
}

func (c *command) integrationsAdd() *cobra.Command {
	var o app.AddOptions
	cmd := &cobra.Command{
		Use:     "add PROVIDER",
		Short:   "Add an integration",
		Example: `  gateway integrations add acme --source acme-eu --secret-env ACME_SECRET --to https://orders.example.com/hooks`,
		Args:    cobra.ExactArgs(1),
	}
	shared, secrets := c.integrationOptions(cmd), addSecretFlags(cmd)
	cmd.Flags().StringVar(&o.Source, "source", "", "source name, the last part of the webhook URL (default the provider's name)")
	cmd.Flags().StringVar(&o.Name, "name", "", "display name (default the provider's title)")
	cmd.Flags().StringArrayVar(&o.To, "to", nil, "a destination URL")
	cmd.Flags().StringArrayVar(&o.Options, "option", nil, "a provider option, key=value")
	cmd.Flags().BoolVar(&o.Disabled, "disabled", false, "refuse webhooks until enabled")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		o.IntegrationOptions, o.Provider = *shared, args[0]
		if o.Source == "" {
			o.Source = o.Provider
		}
		if o.Secrets, err = secrets.read("add"); err != nil {
			return err
		}
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.AddIntegration(cmd.Context(), cfg, log, o)
	}
	return cmd
}

func (c *command) integrationsApply() *cobra.Command {
	var o app.ApplyOptions
	var yes bool
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Apply integrations from a file",
		Long: `Prints a plan and asks for confirmation; then all of it is applied, or nothing. Integrations
and settings that the file does not mention stay unchanged. The secrets listed for an
integration replace all its secrets, and the destinations all its destinations. Secrets are
given as references, env:NAME or file:PATH.

  integrations:
    - source: acme-eu
      provider: acme
      secrets: [env:ACME_SECRET]
      destinations:
        - url: https://orders.example.com/hooks`,
		Args: cobra.NoArgs,
	}
	shared := c.integrationOptions(cmd)
	cmd.Flags().StringVarP(&o.Path, "file", "f", "", "the file, in YAML")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only print the plan")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.Path == "" {
			return usage("integrations apply: give the file with -f")
		}
		o.IntegrationOptions, o.Confirm = *shared, c.confirm(yes)
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.ApplyIntegrations(cmd.Context(), cfg, log, o)
	}
	return cmd
}

// confirm asks at the terminal, unless yes is set.
func (c *command) confirm(yes bool) app.Confirm {
	return func() error {
		switch {
		case yes:
			return nil
		case !telemetry.IsTerminal(os.Stdin):
			return errors.New("not a terminal, so nothing was done: use --yes to confirm")
		}
		_, _ = fmt.Fprint(c.stderr, "Proceed? [y/N] ")
		answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
			return errors.New("cancelled: nothing was done")
		}
		return nil
	}
}
