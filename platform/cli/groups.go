package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"integration-gateway/platform/cli/queues"
	"integration-gateway/platform/strictjson"
)

// addGroups adds all commands, in the groups of the help.
func (c *command) addGroups(root *cobra.Command) {
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"run", "Run:", []*cobra.Command{c.dev(), c.serve(), c.work()}},
		{"look", "Look into it, and act (over the API):", []*cobra.Command{c.status(), c.stats(), c.events(), c.deliveries(), c.replays(), c.deadLetters(), c.quarantine(), c.erasures(),
			c.destinations(), c.integrations(), c.alerts(), c.keys(), c.audit(), c.context(), c.login(), c.logout()}},
		{"records", "Look after the records (on the database):", []*cobra.Command{c.migrate(), c.seed(), c.verify(), c.erase(), c.partitions(), c.secrets(),
			group("queues", "Look after RabbitMQ's queues", "", queues.Migrate(c.loadTool, c.stdout))}},
		{"check", "Check the installation (on this machine and its servers):", []*cobra.Command{c.config(), c.doctor()}},
		{"other", "Other:", []*cobra.Command{c.send(), c.version()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, cmd := range g.commands {
			cmd.GroupID = g.id
			root.AddCommand(cmd)
		}
	}
	root.SetHelpCommandGroupID("other")
	root.SetCompletionCommandGroupID("other")
}

// group makes a command that only has subcommands.
func group(use, short, long string, subcommands ...*cobra.Command) *cobra.Command {
	names := make([]string, len(subcommands))
	for i, s := range subcommands {
		names[i] = s.Name()
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: subcommandsOnly,
		RunE: func(*cobra.Command, []string) error {
			return usage(use + ": name a subcommand: " + orList(names))
		},
	}
	cmd.AddCommand(subcommands...)
	return cmd
}

func orList(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// subcommandsOnly refuses an unknown subcommand and suggests the nearest.
func subcommandsOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, s := range cmd.Commands() {
		if s.IsAvailableCommand() {
			names = append(names, s.Name())
		}
	}
	return errors.New(strictjson.DidYouMean(fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath()), args[0], names))
}

// flagError suggests the nearest flag for an unknown one.
func flagError(cmd *cobra.Command, err error) error {
	given, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return errors.New(strictjson.DidYouMean(err.Error(), "--"+given, names))
}
