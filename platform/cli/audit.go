package cli

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/config"
)

func (c *command) audit() *cobra.Command {
	cmd := group("audit", "List the audit trail, verify that it is unchanged, and export it", `list speaks the API. verify and export work directly on the database, since they do not rely on
what they check.`,
		c.auditList(), c.auditVerify(), c.auditExport())
	return cmd
}

func (c *command) auditList() *cobra.Command {
	cmd := c.list(listing{
		short: "List audit entries, newest first", path: "/audit-entries",
		params: []param{
			{flag: "entity-type", name: "entityType", help: "only about such things, such as normalized_event"},
			{flag: "entity-id", name: "entityId", help: "only about this one, such as an event"},
			{flag: "action", name: "action", help: "only these, such as replay.requested"},
			{flag: "actor", name: "actor", help: "only by this one, such as api-key:NAME, management-key or gateway"},
			{flag: "source", name: "source", help: "only of this source, except what every webhook leaves"},
			{flag: "since", name: "createdFrom", help: "at or after: " + momentHelp, time: true},
			{flag: "until", name: "createdTo", help: "at or before", time: true},
		},
		columns: []output.Column{
			{Title: "AT", Path: "createdAt", Kind: output.Age}, {Title: "ACTION", Path: "action"}, {Title: "ACTOR", Path: "actor"},
			{Title: "ABOUT", Path: "entityId", Kind: output.ID}, {Title: "TYPE", Path: "entityType", Wide: true},
			{Title: "DETAILS", Path: "details", Wide: true}, {Title: "ID", Path: "id", Kind: output.ID, Wide: true},
		},
		empty: "No entry matches.",
	})
	c.addAPIFlags(cmd)
	return cmd
}

func (c *command) auditVerify() *cobra.Command {
	o := app.AuditOptions{}
	var retained, lost string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every audit entry against its seal",
		Long: `Recomputes the chain of seals, with SECRETS_KEY for seals made with it, and checks every
entry against its seal. Exits with 0 if all entries are unchanged, or with 1 and the first
entry that was deleted, changed or inserted. It also exits with 1 if a process found seals gone
that it had seen: by a failover or a restored database, or because somebody removed them. Once
that is explained, --lost-before accepts it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, _, err := app.AnchorOf(o.Anchor); err != nil {
				return usage("audit verify: --anchor " + err.Error())
			}
			for _, f := range []struct {
				name, text string
				into       *time.Time
			}{{"retained-from", retained, &o.RetainedFrom}, {"lost-before", lost, &o.LostBefore}} {
				if f.text == "" {
					continue
				}
				at, err := time.Parse(time.RFC3339, f.text)
				if err != nil {
					return usage("audit verify: --" + f.name + " must be a time such as 2026-01-05T10:00:00Z")
				}
				*f.into = at
			}
			cfg, log, err := c.load(config.Options{Role: config.Migrate})
			if err != nil {
				return err
			}
			return c.report(func(out io.Writer, asJSON bool) error {
				o.Out, o.JSON = out, asJSON
				return app.VerifyAudit(cmd.Context(), cfg, log, o)
			})
		},
	}
	c.addReportFlags(cmd)
	cmd.Flags().StringVar(&o.Anchor, "anchor", "", "a seal noted elsewhere, NUMBER:HASH, which must exist")
	cmd.Flags().StringVar(&lost, "lost-before", "", "seals that were lost before this time (RFC 3339) are explained")
	cmd.Flags().StringVar(&retained, "retained-from", "", "entries from before this time (RFC 3339) may have been removed, besides what the seals say that retention removed")
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
