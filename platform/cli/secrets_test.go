package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSecrets(t *testing.T) {
	db, _ := records(t)
	code, stdout, stderr := runLine(t, "secrets status")
	require.Zero(t, code, stderr)
	require.Equal(t, "KEY  ROLE    SOURCES  DESTINATIONS  REPLAY URLS  QUARANTINE  AUDIT SEALS  RETIRED KEYS  CAN GO\n"+
		"-    no key  2        2             0            0           0            0             no\n", stdout)
	code, _, stderr = runLine(t, "secrets rotate-key")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "There is no key to encrypt with: set SECRETS_KEY")

	first, second := strings.Repeat("1", 32), strings.Repeat("2", 32)
	t.Setenv("SECRETS_KEY", first)
	code, stdout, _ = runLine(t, "secrets rotate-key")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "run `gateway secrets rotate-key` with SECRETS_READ_PLAIN=true")
	t.Setenv("SECRETS_READ_PLAIN", "true")
	code, stdout, stderr = runLine(t, "secrets rotate-key")
	require.Zero(t, code, stderr)
	t.Setenv("SECRETS_READ_PLAIN", "false")
	require.Contains(t, stdout, "sources: 2 checked, 2 re-encrypted in total\ndestinations: 2 checked, 4 re-encrypted in total\n")
	require.Regexp(t, `4 re-encrypted under the key [0-9a-f]{8}, 0 remain\n$`, stdout)

	t.Setenv("SECRETS_KEY", second)
	code, stdout, stderr = runLine(t, "secrets rotate-key --json")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "4 are not under the key ")
	var r struct {
		Resealed  int
		Remaining []struct{ Kind, Of, Problem string }
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &r), stdout)
	require.Zero(t, r.Resealed)
	require.Equal(t, "source acme", r.Remaining[0].Of)
	require.Contains(t, r.Remaining[0].Problem, "which this process does not have")

	t.Setenv("SECRETS_READ_KEYS", first)
	code, _, stderr = runLine(t, "secrets rotate-key")
	require.Zero(t, code, stderr)
	code, stdout, _ = runLine(t, "secrets status")
	require.Zero(t, code)
	require.Regexp(t, `(?m)^[0-9a-f]{8} +current +2 +2 +0 +0 +0 +1 +no$`, stdout)
	require.Regexp(t, `(?m)^[0-9a-f]{8} +opens +0 +0 +0 +0 +0 +0 +yes$`, stdout)
	var actor string
	require.NoError(t, db.Get(t.Context(), &actor, `SELECT DISTINCT actor FROM audit_entries WHERE action = 'secrets.rotated'`))
	require.Equal(t, "gateway-cli", actor)
}
