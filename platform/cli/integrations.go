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
		Short: "Set sources up, change and remove them",
		Long: `Works on the database itself, with the checks of the API. Running gateways go by a change
within a second. Secrets are better given with --secret-env or --secret-file: others can see
a command line.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usage("integrations: name what to do: add, apply, list, show, enable, disable, rotate-secret, rotate-signing-secret or remove")
		},
	}
	cmd.AddCommand(c.integrationsAdd(), c.integrationsApply(), c.integrationsList(), c.integrationsShow(), c.integrationsSwitch("enable", true),
		c.integrationsSwitch("disable", false), c.rotateSecret(), c.rotateSigningSecret(), c.integrationsRemove())
	return cmd
}

// loadTool loads what a command on the records needs.
func (c *command) loadTool() (config.Config, *slog.Logger, error) {
	return c.load(config.Options{Role: config.Migrate})
}

func (c *command) integrationOptions(cmd *cobra.Command) *app.IntegrationOptions {
	o := &app.IntegrationOptions{Out: c.stdout}
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print JSON")
	return o
}

// secretFlags are the ways to give secrets.
type secretFlags struct{ values, files, variables []string }

func addSecretFlags(cmd *cobra.Command) *secretFlags {
	f := &secretFlags{}
	cmd.Flags().StringArrayVar(&f.values, "secret", nil, "a secret that verifies webhooks")
	cmd.Flags().StringArrayVar(&f.files, "secret-file", nil, "a file that holds one")
	cmd.Flags().StringArrayVar(&f.variables, "secret-env", nil, "an environment variable that holds one")
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
		Short:   "Set a source up",
		Example: `  gateway integrations add acme --source acme-eu --secret-env ACME_SECRET --to https://orders.example.com/hooks`,
		Args:    cobra.ExactArgs(1),
	}
	shared, secrets := c.integrationOptions(cmd), addSecretFlags(cmd)
	cmd.Flags().StringVar(&o.Source, "source", "", "name of the source, which its webhooks' address ends in (default the provider's name)")
	cmd.Flags().StringVar(&o.Name, "name", "", "name for people (default the provider's title)")
	cmd.Flags().StringArrayVar(&o.To, "to", nil, "a URL to deliver to")
	cmd.Flags().StringArrayVar(&o.Options, "option", nil, "an option of the provider, key=value")
	cmd.Flags().BoolVar(&o.Disabled, "disabled", false, "refuse webhooks until it is enabled")
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
		Short: "Make the integrations as a file describes them",
		Long: `Prints what it would do and asks; then all of it is done, or nothing. What the file does not
mention stays as it is. The secrets that it lists for an integration are all that it shall
have, and so are the destinations. Secrets stand there as references, env:NAME or file:PATH.

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
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only print what would be done")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.Path == "" {
			return usage("integrations apply: name the file with -f")
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

// confirm asks at the terminal, unless yes was said before.
func (c *command) confirm(yes bool) app.Confirm {
	return func() error {
		switch {
		case yes:
			return nil
		case !telemetry.IsTerminal(os.Stdin):
			return errors.New("nobody can be asked here, and nothing was done: say --yes")
		}
		_, _ = fmt.Fprint(c.stderr, "Do it? [y/N] ")
		answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
			return errors.New("nothing was done")
		}
		return nil
	}
}
