package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

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
