package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/providers"
	"integration-gateway/platform/cli/queues"
	"integration-gateway/platform/cli/ready"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/provider"
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
		{"records", "Look after the records (on the database):", []*cobra.Command{c.migrate(), c.backup(), c.restore(), c.seed(), c.verify(), c.erase(), c.partitions(), c.secrets(),
			group("queues", "Look after RabbitMQ's queues", "", queues.Migrate(c.loadTool, c.stdout))}},
		{"check", "Check the installation (on this machine and its servers):", []*cobra.Command{c.config(), c.doctor(), c.providers(), ready.Command()}},
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

// providers lists, shows and tries providers' definitions. It needs no gateway.
func (c *command) providers() *cobra.Command {
	known := func() (provider.Registry, error) {
		cfg, _, err := c.load(config.Options{Role: config.Send})
		if err != nil {
			return provider.Registry{}, err
		}
		return app.Providers(cfg)
	}
	return group("providers", "List, show and try definitions of providers", "Definitions describe providers as data: docs/provider-definitions.md.",
		providers.Commands(providers.Deps{Out: c.stdout, Known: known, Now: clock.System})...)
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

// topics are texts of the help that belong to no command.
func topics() []*cobra.Command {
	texts := []struct{ name, short, long string }{
		{"contexts", "Which gateway the commands speak to, and with which key", `Commands that look into a gateway or change it speak its API. The first of these names it:

  1. --context NAME
  2. --api URL
  3. GATEWAY_API_URL
  4. DATABASE_URL in the environment: no gateway, directly on this database
  5. the current context (gateway context use NAME)
  6. the gateway dev that runs with its records in ./data, by data/api.json
  7. DATABASE_URL in configs/gateway.yaml

The key is that of --key-file, or the context's key file, or GATEWAY_API_KEY. A context with an
issuer has no key: gateway login gets a token, which is stored beside the contexts for you alone
and refreshed. A context with a key file or an issuer never sends the key of the environment.

On the database (4 and 7) the same requests are answered in the command's own process, by
"gateway-cli" with all permissions; running gateways see a change within a second. Use it for
the first key, or while no gateway runs. migrate, seed, verify, erase, partitions, secrets,
audit verify, audit export and doctor always work on the database. They give up after 10 seconds
without it, find the key beside an SQLite file, and only migrate up creates a file.`},
		{"output", "Formats, colours, times, and what scripts can rely on", `  -o table    for people; fitted to the terminal: texts are shortened, last columns left out
  -o wide     all columns
  -o json     as the API gives it: a list is an array (also --json)
  -o jsonl    one line for each item
  -o yaml     the same as YAML
  -o csv      all columns with a header; text that a spreadsheet would run begins with '
  -q          ids only, or nothing for an action

Results go to the standard output; warnings, questions and progress to the standard error.
Lists show 20 items; --limit N or --all for more. Times are relative in tables; --utc makes
them absolute, and all other formats have them as the API does. Colours are used on a terminal
only, and not with NO_COLOR. Control and invisible characters in data are written as \u001b.

-w or --watch prints a list anew every two seconds. Scripts use jsonl, csv or json: tables may
change.`},
		{"exit-codes", "What each exit code means", `  0  done
  1  it failed, or did nothing of what it should: a requeue, release or replay of nothing,
     a check that found something, deliveries of a watched replay that failed
  2  the command line, the configuration or a value is wrong; nothing was done
  3  there is no such thing
  4  refused: the key does not suffice, or the present state forbids it (a conflict)
  5  no answer in time, or the gateway or the database cannot answer now; try again`},
	}
	var all []*cobra.Command
	names := make([]string, len(texts))
	for i, t := range texts {
		names[i] = "  " + t.name + strings.Repeat(" ", 12-len(t.name)) + t.short
		all = append(all, &cobra.Command{Use: t.name, Short: t.short, Long: t.long})
	}
	return append(all, &cobra.Command{Use: "topics", Short: "The topics of this help", Long: "gateway help TOPIC:\n\n" + strings.Join(names, "\n")})
}

// validID returns an argument that must be the id of a record.
func validID(command, text string) (string, error) {
	valid, ok := app.ValidID(text)
	if !ok {
		return "", usage(command + ": the id must be a UUID")
	}
	return valid, nil
}

// beforeAPI is onAPI with a check of the command line first.
func (c *command) beforeAPI(check func(args []string) error, do func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(args); err != nil {
			return err
		}
		return c.onAPI(do)(cmd, args)
	}
}
