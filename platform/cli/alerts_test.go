package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAlertsFromTheCommandLine(t *testing.T) {
	const alertID = "0190a1b2-0000-7000-8000-000000000001"
	f := fakeGateway(t, map[string][]string{
		"GET /alerts": {`{"data":[{"id":"` + alertID + `","startedAt":"2026-01-31T14:00:00Z","state":"open","severity":"page","condition":"destination_down","subject":"acme/1","summary":"It fails\u001b[2J"}],"meta":{"total":1}}`},
		"POST /alerts/" + alertID + "/acknowledge": {`{"data":{"id":"` + alertID + `"}}`},
		"POST /alerts/mutes":                       {`201 {"data":{"id":"` + alertID + `","condition":"destination_down"}}`},
		"GET /alerts/mutes":                        {`{"data":[],"meta":{"total":0}}`},
		"DELETE /alerts/mutes/" + alertID:          {"204 "},
		"POST /alerts/test":                        {`202 {"data":{"targets":["webhook","slack"]}}`, `409 {"error":{"code":"CONFLICT","message":"No target is configured."}}`},
	})
	require.Regexp(t, alertID+` .* open +page +destination_down +acme/1 +It fails\\u001b`, runOK(t, "alerts list --state open"))
	require.Equal(t, "acknowledged "+alertID+"\n", runOK(t, "alerts acknowledge "+alertID+" --note on-it"))
	require.JSONEq(t, `{"note":"on-it"}`, f.sent("POST /alerts/" + alertID + "/acknowledge")[0])
	require.Contains(t, runOK(t, "alerts mute destination_down --subject acme/1 --for 2h --reason moving"), "muted destination_down for 2h; to end it: gateway alerts unmute "+alertID)
	require.Regexp(t, `"until":"`+time.Now().UTC().Add(2*time.Hour).Format("2006-01-02"), f.sent("POST /alerts/mutes")[0])
	require.Equal(t, "Nothing is muted.\n", runOK(t, "alerts mutes"))
	require.Equal(t, "ended the mute "+alertID+"\n", runOK(t, "alerts unmute "+alertID))
	require.Equal(t, "a test notice goes to: webhook, slack\n", runOK(t, "alerts test"))
	code, _, stderr := runLine(t, "alerts test")
	require.Equal(t, exitRefused, code)
	require.Contains(t, stderr, "No target is configured.")
	for _, wrong := range []string{"alerts list --state closed", "alerts acknowledge " + alertID, "alerts acknowledge 7 --note x", "alerts mute destination_down", "alerts unmute 7"} {
		code, _, _ := runLine(t, wrong)
		require.Equal(t, exitUsage, code, wrong)
	}
}
