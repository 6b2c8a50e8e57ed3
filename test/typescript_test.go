package test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

// TestATypeScriptClientIsComplete makes a client from the API's description, checks the types of
// a program that uses it, and runs the program against `gateway dev`. Node.js is required on CI
// and optional elsewhere.
func TestATypeScriptClientIsComplete(t *testing.T) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			onlyOnCI(t, "it needs "+tool+" in PATH (https://nodejs.org)")
		}
	}
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "tsconfig.json", "main.ts"} {
		text, err := os.ReadFile(filepath.Join("typescript", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	description, err := filepath.Abs(filepath.Join("..", testkit.Document))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	node := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // node and npm
		cmd.Dir, cmd.WaitDelay = dir, 5*time.Second
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := node("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--no-update-notifier"); err != nil {
		onlyOnCI(t, "npm ci cannot install what it needs: "+out)
	}
	out, err := node("node", "node_modules/openapi-typescript/bin/cli.js", description, "--output", "schema.d.ts")
	require.NoError(t, err, out)
	out, err = node("node", "node_modules/typescript/bin/tsc", "--project", ".", "--outDir", "out")
	require.NoError(t, err, out)

	g := embedded(t)
	g.dev()
	out, err = node("node", "out/main.js", g.base, managementKey)
	require.NoError(t, err, out)
	require.Regexp(t, `^1[0-9] operations: `, out)
	t.Log(out)
}

// onlyOnCI ends a test that cannot run here: on CI it has failed, elsewhere it is skipped.
func onlyOnCI(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		require.Fail(t, "CI is set, so this test is required", why)
	}
	t.Skip("no TypeScript client was checked: " + why)
}
