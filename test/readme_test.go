package test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// runMark precedes each shell block in README.md that must run as printed, in a fresh copy
// of the repository.
const runMark = "<!-- run -->"

// insideReadme is set for the README's own commands, since one of them may run these tests.
const insideReadme = "GATEWAY_TEST_OF_README"

var markedPattern = regexp.MustCompile("(?m)^" + runMark + "\n+```(?:sh|bash|shell)\n((?s:.*?))^```$")

// lineEnds matches trailing blanks, which the README leaves out.
var lineEnds = regexp.MustCompile(` *\n`)

func markedBlocks(text string) []string {
	var blocks []string
	for _, m := range markedPattern.FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, strings.TrimSpace(m[1]))
	}
	return blocks
}

// printedBy returns the output that the README shows for a block: the next text block
// before any other command.
func printedBy(block, text string) string {
	_, after, _ := strings.Cut(text, block+"\n```\n")
	before, shown, found := strings.Cut(after, "```text\n")
	if !found || strings.Contains(before, "```") {
		return ""
	}
	shown, _, _ = strings.Cut(shown, "```")
	return shown
}

func TestReadmeCommandsRun(t *testing.T) {
	if os.Getenv(insideReadme) != "" {
		t.Skip("this is one of the README's commands")
	}
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	blocks := markedBlocks(string(text))
	require.NotEmpty(t, blocks, "README.md has no shell block behind %s", runMark)
	require.Equal(t, strings.Count(string(text), runMark), len(blocks), "a %s is not directly before a shell block", runMark)
	require.True(t, strings.Contains(strings.Join(blocks, "\n"), "go run . dev --demo"), "the first command for newcomers is run")
	for _, block := range blocks {
		t.Run(block, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", block)
			cmd.Dir = copyOfRepository(t)
			cmd.Env = append(os.Environ(), insideReadme+"=1", "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" "+shared))
			cmd.WaitDelay = 5 * time.Second
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, lineEnds.ReplaceAllString(string(out), "\n"), printedBy(block, string(text)), "README.md shows its output")
			t.Logf("%s", out)
		})
	}
}

// copyOfRepository makes a copy like a fresh clone.
func copyOfRepository(t *testing.T) string {
	to := filepath.Join(t.TempDir(), "integration-gateway")
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel("..", path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name == ".git" || name == "data" {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, name), 0o750)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), text, info.Mode().Perm())
	})
	require.NoError(t, err)
	return to
}

func TestMarkedBlocksAreFound(t *testing.T) {
	const fence = "```"
	text := "# x\n\n" + runMark + "\n" + fence + "sh\ngo run . dev --demo\n" + fence + "\n\n" +
		fence + "sh\nnot this\n" + fence + "\n\n" + runMark + "\n\n" + fence + "sh\na\nb\n" + fence + "\n"
	require.Equal(t, []string{"go run . dev --demo", "a\nb"}, markedBlocks(text))
	require.Empty(t, markedBlocks(fence+"sh\nnot marked\n"+fence+"\n"))
	shown := fence + "sh\na\n" + fence + "\n\nIt prints:\n\n" + fence + "text\nb\nc\n" + fence + "\n"
	require.Equal(t, "b\nc\n", printedBy("a", shown))
	require.Empty(t, printedBy("z", fence+"sh\nz\n"+fence+"\n\n"+shown), "that is the output of another command")
}
