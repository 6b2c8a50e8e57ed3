package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheOldestProgramIsFoundInTheHistory has a commit with the first schema, two later ones,
// and clones that lack the first.
func TestTheOldestProgramIsFoundInTheHistory(t *testing.T) {
	root := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		args = append([]string{"-C", root, "-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"}, args...)
		out, err := exec.Command("git", args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	commit := func(path string) {
		t.Helper()
		file := filepath.Join(root, filepath.FromSlash(path))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(path), 0o600))
		git("add", "--all")
		git("commit", "--quiet", "--message", path)
	}
	git("init", "--quiet")
	commit("migrations/postgres/000001_records.up.sql")
	whole := suite{root: root}
	_, err := whole.oldestCommit(t.Context())
	require.ErrorIs(t, err, errNoHistory, "no second migration")
	first, err := whole.git(t.Context(), "rev-parse", "HEAD")
	require.NoError(t, err)
	commit(secondMigration)
	commit("main.go")
	found, err := whole.oldestCommit(t.Context())
	require.NoError(t, err)
	require.Equal(t, first, found)

	for _, depth := range []string{"1", "2"} {
		shallow := suite{root: t.TempDir()}
		git("clone", "--quiet", "--depth", depth, "file://"+root, shallow.root)
		_, err = shallow.oldestCommit(t.Context())
		require.ErrorIs(t, err, errNoHistory, "a clone of depth %s", depth)
	}
}
