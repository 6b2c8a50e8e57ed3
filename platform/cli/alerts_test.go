package cli

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/id"
)

func TestAlertsFromTheCommandLine(t *testing.T) {
	records(t)
	require.Contains(t, runOK(t, "alerts list"), "No alert matches.")
	require.Regexp(t, `(?m)^jobs_overdue +on +5m +5m +page +The oldest due job`, runOK(t, "alerts conditions"))
	require.Equal(t, "jobs_overdue: 10m\n", runOK(t, "alerts set jobs_overdue --threshold 10m --reason slow"))
	require.Regexp(t, `(?m)^jobs_overdue +on +10m +5m `, runOK(t, "alerts conditions"))
	require.Equal(t, "books is off\n", runOK(t, "alerts set books --off --reason planned"))
	require.Regexp(t, `(?m)^books +off `, runOK(t, "alerts conditions"))
	require.Equal(t, "webhooks_refused: 12.5 %\n", runOK(t, "alerts set webhooks_refused --threshold 12.5 --reason noisy"))
	require.Equal(t, "books is as it is configured\n", runOK(t, "alerts reset books"))

	said := runOK(t, "alerts mute destination_down --subject acme/1 --for 2h --reason moving")
	muteID := regexp.MustCompile(`alerts unmute (\S+)`).FindStringSubmatch(said)
	require.NotNil(t, muteID, said)
	require.Regexp(t, `(?m)^`+muteID[1]+` +destination_down +acme/1 +in 1h +gateway-cli +moving$`, runOK(t, "alerts mutes"))
	require.Equal(t, "unmuted\n", runOK(t, "alerts unmute "+muteID[1]))
	require.Contains(t, runOK(t, "alerts mutes"), "Nothing is muted.")
}

func TestInvalidAlertCommands(t *testing.T) {
	records(t)
	for _, c := range []struct {
		sentence, line string
		code           int
		says           string
	}{
		{"nothing to set", "alerts set books --reason why", exitUsage, "give --threshold or --off"},
		{"both", "alerts set dead_letters --off --threshold 3 --reason why", exitUsage, "give --threshold or --off"},
		{"a word", "alerts set dead_letters --threshold many --reason why", exitUsage, "a number, or a time such as 10m"},
		{"half a dead letter", "alerts set dead_letters --threshold 1.5 --reason why", exitUsage, "a whole number from 1 to 100000"},
		{"no reason", "alerts set dead_letters --threshold 2", exitUsage, "and --reason"},
		{"an unknown condition", "alerts set everything --threshold 2 --reason why", exitNotFound, "There is no such condition"},
		{"a path", "alerts reset a/b", exitNotFound, "There is no such"},
		{"not changed", "alerts reset books", exitNotFound, "as it is configured"},
		{"no alert", "alerts acknowledge " + id.New() + " --note seen", exitNotFound, "There is no alert"},
		{"no note", "alerts acknowledge " + id.New(), exitUsage, "with --note"},
		{"no time", "alerts mute books --reason why", exitUsage, "give --for and --reason"},
		{"no id", "alerts acknowledge first --note seen", exitUsage, "must be a UUID"},
		{"too long a mute", "alerts mute books --for 31d --reason why", exitUsage, "within 30 days"},
		{"no target", "alerts test", exitRefused, "No target is configured"},
	} {
		code, stdout, stderr := runLine(t, c.line)
		require.Equal(t, c.code, code, "%s: %s%s", c.sentence, stdout, stderr)
		require.Contains(t, stderr, c.says, c.sentence)
	}
}
