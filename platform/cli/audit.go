package cli

import (
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
)

func (c *command) audit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Verify that the audit trail is unchanged, and export it",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usage("audit: name a subcommand: verify or export")
		},
	}
	cmd.AddCommand(c.auditVerify(), c.auditExport())
	return cmd
}

func (c *command) auditVerify() *cobra.Command {
	o := app.AuditOptions{}
	var retained string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every audit entry against its seal",
		Long: `Recomputes the chain of seals, with SECRETS_KEY for seals made with it, and checks every
entry against its seal. Exits with 0 if all entries are unchanged, or with 1 and the first
entry that was deleted, changed or inserted.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, _, err := app.AnchorOf(o.Anchor); err != nil {
				return usage("audit verify: --anchor " + err.Error())
			}
			if retained != "" {
				from, err := time.Parse(time.RFC3339, retained)
				if err != nil {
					return usage("audit verify: --retained-from must be a time such as 2026-01-05T10:00:00Z")
				}
				o.RetainedFrom = from
			}
			cfg, log, err := c.load(config.Options{Role: config.Migrate})
			if err != nil {
				return err
			}
			o.Out = c.stdout
			return app.VerifyAudit(cmd.Context(), cfg, log, o)
		},
	}
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print the result as JSON")
	cmd.Flags().StringVar(&o.Anchor, "anchor", "", "a seal noted elsewhere, NUMBER:HASH, which must exist")
	cmd.Flags().StringVar(&retained, "retained-from", "", "entries from before this time (RFC 3339) may have been removed")
	return cmd
}

func (c *command) auditExport() *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Write the audit trail as JSON lines, with seal numbers",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, log, err := c.load(config.Options{Role: config.Migrate})
			if err != nil {
				return err
			}
			return app.ExportAudit(cmd.Context(), cfg, log, app.AuditOptions{Out: c.stdout})
		},
	}
}
