package cli

import (
	"io"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
)

func (c *command) secrets() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "Show and rotate the keys of stored secrets",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usage("secrets: name a subcommand: status or rotate-key")
		},
	}
	cmd.AddCommand(c.secretsStatus(), c.secretsRotateKey())
	return cmd
}

func (c *command) secretsStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Count stored secrets by the key they need",
		Long: `Counts the secrets of sources and destinations by the id of the key that they need, and the
digests and seals made with each key. A key that "can go" is no longer needed. Changes nothing.`,
		Args: cobra.NoArgs,
	}
	c.addReportFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return c.report(func(out io.Writer, asJSON bool) error {
			return app.SecretsStatus(cmd.Context(), cfg, log, app.IntegrationOptions{Out: out, JSON: asJSON})
		})
	}
	return cmd
}

func (c *command) secretsRotateKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-key",
		Short: "Re-encrypt all stored secrets under SECRETS_KEY",
		Long: `Re-encrypts what is stored under a key of SECRETS_READ_KEYS, or (with
SECRETS_READ_PLAIN=true) unencrypted, under SECRETS_KEY, while the gateway runs. It can be
interrupted and run again. Exits with 1 and lists what remains if something cannot be
decrypted.`,
		Args: cobra.NoArgs,
	}
	c.addReportFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return c.report(func(out io.Writer, asJSON bool) error {
			return app.RotateKey(cmd.Context(), cfg, log, app.IntegrationOptions{Out: out, JSON: asJSON})
		})
	}
	return cmd
}
