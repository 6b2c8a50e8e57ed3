package cli

import (
	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
)

func (c *command) secrets() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "Show which keys the stored secrets need, and change to another",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usage("secrets: name what to do: status or rotate-key")
		},
	}
	cmd.AddCommand(c.secretsStatus(), c.secretsRotateKey())
	return cmd
}

func (c *command) secretsStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Count what is stored by the key that it needs",
		Long: `Counts, by the id of the key that they need, the secrets of sources and destinations, and
what was digested or sealed under it. A key that "can go" opens nothing any more. Changes nothing.`,
		Args: cobra.NoArgs,
	}
	o := c.integrationOptions(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.SecretsStatus(cmd.Context(), cfg, log, *o)
	}
	return cmd
}

func (c *command) secretsRotateKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-key",
		Short: "Encrypt all stored secrets anew under SECRETS_KEY",
		Long: `Encrypts what is stored under a key of SECRETS_READ_KEYS, or as it is, anew under SECRETS_KEY,
while the gateway runs. It may be ended at any time and run again. Exits with 1 and says what
remains where something cannot be opened.`,
		Args: cobra.NoArgs,
	}
	o := c.integrationOptions(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.RotateKey(cmd.Context(), cfg, log, *o)
	}
	return cmd
}
