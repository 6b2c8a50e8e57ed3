package cli

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// describe writes a file that describes the source made.
func describe(t *testing.T, rest string) {
	t.Helper()
	text := fmt.Sprintf("integrations:\n  - source: made\n    provider: acme\n    secrets: [env:MADE_SECRET]\n%s", rest)
	require.NoError(t, os.WriteFile("made.yaml", []byte(text), 0o600))
}

func TestARedactionInAFileOfIntegrations(t *testing.T) {
	records(t)
	t.Setenv("MADE_SECRET", "long-enough-secret")
	const apply = "integrations apply -f made.yaml --yes"
	describe(t, "    destinations: [{url: 'https://a.example/in', mode: raw}]\n")
	runOK(t, apply)
	require.Regexp(t, `redacted +nothing`, runOK(t, "integrations show made"))

	refused := func(want string) {
		t.Helper()
		code, _, stderr := runLine(t, "integrations apply -f made.yaml --dry-run")
		require.Equal(t, exitUsage, code, stderr)
		require.Contains(t, stderr, want)
	}
	describe(t, "    redact: [$.data.email]\n")
	refused("integrations[0].redact is not possible while the destination https://a.example/in is in raw mode")
	describe(t, "    redact: [$.data.email]\n    destinations: [{url: 'https://a.example/in'}]\n")
	refused("integrations[0].destinations[0].mode must be canonical, not raw")
	describe(t, "    redact: [$.eventId]\n    destinations: [{url: 'https://a.example/in', mode: canonical}]\n")
	refused("integrations[0].redact[0] reaches the event's id")

	describe(t, "    redact: [$.data.email, $..phone]\n    destinations: [{url: 'https://a.example/in', mode: canonical}, {url: 'https://b.example/in'}]\n")
	require.Contains(t, runOK(t, apply), "~ made: redact\n", "the destination leaves raw mode first, in the same transaction")
	require.Regexp(t, `redacted +\$\.data\.email, \$\.\.phone`, runOK(t, "integrations show made"))
	require.NotContains(t, runOK(t, apply), "~")

	describe(t, "    destinations: [{url: 'https://a.example/in', mode: raw}, {url: 'https://b.example/in'}]\n")
	refused("integrations[0].destinations[0].mode cannot be raw")
	describe(t, "    redact: []\n    destinations: [{url: 'https://a.example/in', mode: raw}, {url: 'https://b.example/in'}]\n")
	runOK(t, apply)
	require.Regexp(t, `redacted +nothing`, runOK(t, "integrations show made"))
}
