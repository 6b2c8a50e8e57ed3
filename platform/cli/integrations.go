package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/client"
	"integration-gateway/platform/config"
)

func (c *command) integrations() *cobra.Command {
	cmd := group("integrations", "Add, change and remove integrations", `Running gateways apply a change within a second. Prefer --secret-env or --secret-file for
secrets: other users of the machine can see a command line.`,
		c.integrationsAdd(), c.integrationsApply(), c.integrationsExport(), c.integrationsList(), c.integrationsShow(), c.integrationsSwitch("enable", true),
		c.integrationsSwitch("disable", false), c.rotateSecret(), c.confirmSecret(), c.rotateSigningSecret(), c.integrationsRemove())
	c.addAPIFlags(cmd)
	return cmd
}

// loadTool loads the configuration of a command on the records.
func (c *command) loadTool() (config.Config, *slog.Logger, error) {
	return c.load(config.Options{Role: config.Migrate})
}

// webhookAddress is the address for a source's webhooks.
func (s *session) webhookAddress(source string) string {
	base := s.URL()
	if s.local != nil {
		base = s.local.PublicBaseURL() + client.Base
	}
	return base + "/webhooks/" + source
}

func (c *command) integrationsAdd() *cobra.Command {
	var source, name string
	var to, options []string
	var disabled bool
	cmd := &cobra.Command{
		Use:     "add PROVIDER",
		Short:   "Add an integration",
		Example: `  gateway integrations add acme --source acme-eu --secret-env ACME_SECRET --to https://orders.example.com/hooks`,
		Args:    cobra.ExactArgs(1),
	}
	secrets := addSecretFlags(cmd)
	cmd.Flags().StringVar(&source, "source", "", "source name, the last part of the webhook URL (default the provider's name)")
	cmd.Flags().StringVar(&name, "name", "", "display name (default the provider's title)")
	cmd.Flags().StringArrayVar(&to, "to", nil, "a destination URL")
	cmd.Flags().StringArrayVar(&options, "option", nil, "a provider option, key=value")
	cmd.Flags().BoolVar(&disabled, "disabled", false, "refuse webhooks until enabled")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		given, err := secrets.read("add")
		if err != nil {
			return err
		}
		read, err := app.ProviderOptions(options)
		if err != nil {
			return usage("integrations add: " + err.Error())
		}
		body := map[string]any{"source": source, "provider": args[0], "secrets": given, "options": read, "isActive": !disabled}
		if source == "" {
			body["source"] = args[0]
		}
		if name != "" {
			body["name"] = name
		}
		destinations := []map[string]any{}
		for _, url := range to {
			destinations = append(destinations, map[string]any{"url": url})
		}
		body["destinations"] = destinations
		return c.onAPI(func(ctx context.Context, s *session, _ []string) error { return s.addIntegration(ctx, body) })(cmd, args)
	}
	return cmd
}

func (s *session) addIntegration(ctx context.Context, body map[string]any) error {
	var raw json.RawMessage
	if err := s.Post(ctx, "/integrations", body, &raw); err != nil {
		return err
	}
	var made struct {
		ID             string `json:"id"`
		Source         string `json:"source"`
		Destinations   []destination
		SigningSecrets []struct{ ID, SigningSecret string }
	}
	if err := json.Unmarshal(raw, &made); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return s.out.One(raw, made.ID, func() error {
		if err := s.out.Say("added %s; send its webhooks to %s", made.Source, s.webhookAddress(made.Source)); err != nil {
			return err
		}
		for _, d := range made.SigningSecrets {
			for _, of := range made.Destinations {
				if of.ID != d.ID {
					continue
				}
				if err := s.out.Say("deliveries to %s are signed with %s, which is shown only once", of.URL, d.SigningSecret); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
