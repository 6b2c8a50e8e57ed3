package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the table of commands in docs/cli.md")

// commandTable lists every command that does something.
func commandTable(root *cobra.Command) string {
	var table strings.Builder
	table.WriteString("| command | |\n| --- | --- |\n")
	var add func(*cobra.Command)
	add = func(cmd *cobra.Command) {
		if cmd.Runnable() && !cmd.HasSubCommands() && cmd.Name() != "help" {
			use := strings.TrimSuffix(cmd.UseLine(), " [flags]")
			table.WriteString("| `" + strings.ReplaceAll(use, "|", `\|`) + "` | " + cmd.Short + " |\n")
		}
		for _, sub := range cmd.Commands() {
			add(sub)
		}
	}
	add(root)
	return table.String()
}

func TestTheDocumentListsEveryCommand(t *testing.T) {
	const begin, end = "<!-- commands -->\n", "<!-- end -->"
	path := filepath.Join("..", "..", "docs", "cli.md")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found)
	_, after, found := strings.Cut(rest, end)
	require.True(t, found)
	want := before + begin + commandTable((&command{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}).root()) + end + after
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(text), "run: go test ./platform/cli -run TestTheDocumentListsEveryCommand -update")
}

func TestEveryCommandExplainsItself(t *testing.T) {
	root := (&command{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}).root()
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		require.NotEmpty(t, cmd.Short, cmd.CommandPath())
		require.False(t, strings.HasSuffix(cmd.Short, "."), cmd.CommandPath())
		for _, line := range strings.Split(cmd.Long, "\n") {
			require.LessOrEqual(t, len([]rune(line)), 96, "%s: %s", cmd.CommandPath(), line)
		}
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(root)
}
