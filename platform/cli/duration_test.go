package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/config"
)

func TestDurationsAcceptDays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90d": 90 * 24 * time.Hour, "1d12h": 36 * time.Hour, "36h": 36 * time.Hour, "0": 0, "0d": 0, "1h30m": 90 * time.Minute, "1d1s": 24*time.Hour + time.Second,
	} {
		var d duration
		require.NoError(t, d.Set(text), text)
		require.Equal(t, want, time.Duration(d), text)
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "90", "-1h", "1h1d", "99999999999d", "106752d", "106751d24h", "1dx", "5 d"} {
		var d duration
		require.Error(t, d.Set(text), "%q", text)
	}
}

func TestKeysCanExpireInDays(t *testing.T) {
	records(t)
	code, _, stderr := runLine(t, "keys create for-a-quarter --expires-in 90d")
	require.Zero(t, code, stderr)
	code, _, stderr = runLine(t, "keys create for-ever --expires-in -1d")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "such as 90d")
}

// The help shows the actual defaults.
func TestTheHelpShowsTheDefaults(t *testing.T) {
	_, help, _ := runLine(t, "work --help")
	require.Contains(t, help, "(default 256)")
	require.Equal(t, 256, config.DefaultNumber("DELIVERY_CONCURRENCY"))
	_, help, _ = runLine(t, "dev --help")
	require.Contains(t, help, "(default 3000)")
	require.Zero(t, config.DefaultNumber("NO_SUCH_SETTING"))
	_, help, _ = runLine(t, "keys --help")
	require.Contains(t, help, "lists and revokes")
}
