package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A secret that was added on the database was stored in plain text beside sealed ones, since
// the key in the folder of gateway dev was not found.
func TestCommandsUseTheKeyBesideTheDatabase(t *testing.T) {
	db, _ := records(t) // without a key: its secrets are plain
	key := filepath.Join("records", "secrets.key")
	require.NoError(t, os.WriteFile(key, []byte(strings.Repeat("k3y-", 12)+"\n"), 0o600))
	t.Setenv("SECRETS_READ_PLAIN", "true")
	runOK(t, "secrets rotate-key")
	require.NoError(t, os.Unsetenv("SECRETS_READ_PLAIN"))

	runOK(t, "integrations add stripe --secret whsec_long-enough")
	var stored []string
	require.NoError(t, db.Select(t.Context(), &stored, `SELECT secret FROM integration_secrets`))
	require.Len(t, stored, 3)
	for _, text := range stored {
		require.NotContains(t, text, "long-enough")
		require.NotContains(t, text, "demo-secret")
	}

	require.NoError(t, os.Remove(key))
	for _, line := range []string{"integrations add github --secret another-long-one", "integrations list", "seed"} {
		code, _, stderr := runLine(t, line)
		require.Equal(t, exitRefused, code, "%s: %s", line, stderr)
		require.Contains(t, stderr, "no key was given", line)
	}
	t.Setenv("SECRETS_KEY", strings.Repeat("an0ther-", 6))
	runOK(t, "integrations rotate-secret stripe --secret whsec_set-again --expire-old 0s")
	require.NoError(t, os.Unsetenv("SECRETS_KEY"))
	var n int
	require.NoError(t, db.Get(t.Context(), &n, `SELECT count(*) FROM integration_secrets`))
	require.Equal(t, 4, n, "nothing was stored in plain text beside them")
}

func TestAMistypedPathMakesNoDatabase(t *testing.T) {
	records(t)
	t.Setenv("DATABASE_URL", "sqlite://recrods/gateway.db")
	for _, line := range []string{"integrations list", "keys create a", "verify", "seed", "erase --subject a --yes", "partitions", "secrets status",
		"audit verify", "migrate version", "migrate down --all --yes", "migrate force 1 --yes", "dead-letters requeue --all"} {
		code, _, stderr := runLine(t, line)
		require.Equal(t, exitNotFound, code, "%s: %s", line, stderr)
		require.Contains(t, stderr, "There is no database recrods/gateway.db", line)
		require.NoDirExists(t, "recrods", line)
	}
}

func TestWithoutAGatewayAndADatabaseTheCommandSaysWhatToDo(t *testing.T) {
	setup(t)
	code, _, stderr := runLine(t, "events list")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "use --api URL, GATEWAY_API_URL or a context, or set DATABASE_URL")
	require.Contains(t, stderr, "See: gateway events list --help")
}
