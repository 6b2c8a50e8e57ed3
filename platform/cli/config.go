package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/config"
)

// roleNames are the commands that a configuration may be for, as processes are called.
var roleNames = []string{"serve", "work", "both", "dev"}

// addRole adds --role, with which a configuration is read.
func addRole(cmd *cobra.Command, fallback, help string) *string {
	role := cmd.Flags().String("role", fallback, help)
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roleNames, cobra.ShellCompDirectiveNoFileComp))
	return role
}

func roleOptions(role string) (config.Options, error) {
	switch role {
	case "both":
		return config.Options{Role: config.Serve, Both: true}, nil
	case "serve", "work", "dev":
		return config.Options{Role: config.Role(role)}, nil
	}
	return config.Options{}, usage("--role must be one of " + strings.Join(roleNames, ", "))
}

const roleHelp = "the process that it is for: serve, work, both (serve --work) or dev"

func (c *command) config() *cobra.Command {
	cmd := group("config", "Show and check the settings in effect", `Reads the environment and the settings file as a process would, and connects to nothing. The
fingerprint is that of the metric gateway_config_info: equal settings have equal ones.`,
		c.configCheck(), c.configShow())
	c.addOutputFlags(cmd)
	return cmd
}

// checked is the result of config check for programs.
type checked struct {
	Valid       bool             `json:"valid"`
	Role        string           `json:"role"`
	Fingerprint string           `json:"fingerprint"`
	Mistakes    []config.Mistake `json:"mistakes"`
	Warnings    []config.Mistake `json:"warnings"` // of what has no effect
}

func (c *command) configCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check", Short: "Check all settings at once", Args: cobra.NoArgs,
		Long: `Names every setting that is wrong, what is wrong with it, and what to do, and exits with 2.
Variables of the environment that are almost settings are warned of. It connects to nothing;
gateway doctor does.`,
	}
	role := addRole(cmd, "serve", roleHelp)
	cmd.RunE = func(*cobra.Command, []string) error {
		o, err := roleOptions(*role)
		if err != nil {
			return err
		}
		out, err := c.printer()
		if err != nil {
			return err
		}
		cfg, mistakes, err := c.settings(o)
		if err != nil {
			return err
		}
		r := checked{Valid: len(mistakes) == 0, Role: *role, Fingerprint: cfg.Fingerprint, Mistakes: append([]config.Mistake{}, mistakes...),
			Warnings: append([]config.Mistake{}, config.Misspelt(os.Environ())...)}
		if err := c.printChecked(out, r); err != nil || r.Valid {
			return err
		}
		return &failure{exitUsage, fmt.Sprintf("the configuration is wrong: %d %s", len(mistakes), plural(len(mistakes), "mistake"))}
	}
	return cmd
}

func plural(n int, one string) string {
	if n == 1 {
		return one
	}
	return one + "s"
}

func (c *command) printChecked(out *output.Printer, r checked) error {
	if !out.ForPeople() {
		return c.whole(out, r, r.Mistakes, mistakeColumns)
	}
	say := func(kind string, m config.Mistake) error {
		name := m.Name
		if m.Where != "" {
			name = m.Where
		}
		if err := out.Line([]output.Field{{Text: kind, Kind: output.State}, {Text: name + ": " + m.Problem}}, []int{4, 0}); err != nil {
			return err
		}
		return out.Block("    " + m.Fix)
	}
	for _, m := range r.Mistakes {
		if err := say("fail", m); err != nil {
			return err
		}
	}
	for _, m := range r.Warnings {
		if err := say("warn", m); err != nil {
			return err
		}
	}
	if !r.Valid {
		return nil
	}
	return out.Say("The configuration for %s is valid; its fingerprint is %s.", r.Role, r.Fingerprint)
}

var mistakeColumns = []output.Column{
	{Title: "NAME", Path: "name", Kind: output.ID}, {Title: "WHERE", Path: "where"}, {Title: "PROBLEM", Path: "problem"}, {Title: "FIX", Path: "fix"},
}

// whole prints a report for programs: in JSON and YAML whole, and otherwise its items.
func (c *command) whole(out *output.Printer, report, items any, columns []output.Column) error {
	raw, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if f := output.Format(c.api.format); !c.api.quiet && (f == output.JSON || f == output.YAML) {
		return out.One(raw, "", nil)
	}
	if raw, err = json.Marshal(items); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(raw, &rows); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	list := out.List(columns)
	if len(rows) > 0 {
		if err := list.Add(rows); err != nil {
			return err
		}
	}
	return list.End()
}

var settingColumns = []output.Column{
	{Title: "SETTING", Path: "name", Kind: output.ID}, {Title: "VALUE", Path: "value"}, {Title: "ORIGIN", Path: "origin"},
	{Title: "FROM", Path: "from"}, {Title: "RELOADS", Path: "reloads", Wide: true},
}

func (c *command) configShow() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show", Short: "Show the settings in effect, and where each came from", Args: cobra.NoArgs,
		Long: `Shows what a process started here would use, with the origin of each setting: default, file,
environment or flag. With --running it asks a gateway for those of the process that answers,
which needs a key of the role admin. Secrets, and credentials within URLs, are hidden.`,
	}
	role := addRole(cmd, "serve", roleHelp)
	changed := cmd.Flags().Bool("changed", false, "only those that are not defaults")
	running := cmd.Flags().Bool("running", false, "of the running gateway")
	c.addTargetFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("role", "running")
	asks := c.onAPI(func(ctx context.Context, s *session, _ []string) error {
		if s.local != nil {
			return usage("config show --running: no gateway is named, so there is none to ask; see: gateway help contexts")
		}
		var r app.SettingsReport
		if _, err := s.Get(ctx, "/settings", nil, &r); err != nil {
			return err
		}
		return c.printSettings(s.out, r, *changed)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o, err := roleOptions(*role)
		switch {
		case err != nil:
			return err
		case *running:
			return asks(cmd, args)
		}
		out, err := c.printer()
		if err != nil {
			return err
		}
		cfg, mistakes, err := c.settings(o)
		if err != nil {
			return err
		}
		if err := c.printSettings(out, app.Settings(cfg), *changed); err != nil {
			return err
		}
		if len(mistakes) > 0 {
			c.warn("not all of them are valid; see: gateway config check --role %s", *role)
		}
		return nil
	}
	return cmd
}

func (c *command) printSettings(out *output.Printer, r app.SettingsReport, changed bool) error {
	all := r.Settings
	r.Settings = []config.Setting{}
	for _, s := range all {
		if !changed || s.Origin != config.FromDefault {
			r.Settings = append(r.Settings, s)
		}
	}
	if err := c.whole(out, r, r.Settings, settingColumns); err != nil {
		return err
	}
	if len(r.Providers) > 0 {
		if err := out.Say("\nproviders of your own: %s", strings.Join(r.Providers, ", ")); err != nil {
			return err
		}
	}
	return out.Say("\nfingerprint %s", r.Fingerprint)
}
