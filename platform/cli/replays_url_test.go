package cli

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const replayedOnce = "0190a1b2-0000-7000-8000-000000000007"

func TestAReplayToAURLByTheMappingOfNow(t *testing.T) {
	f := fakeGateway(t, map[string][]string{
		"POST /replays": {`{"data":{"dryRun":true,"complete":true,"events":3,"counts":{"matched":3},"bySource":[],"byDestination":[],"first":[],
			"changes":{"changed":1,"unchanged":1,"failing":1,"first":[
				{"eventId":"0190a1b2-0000-7000-8000-000000000001","problem":null,"more":false,"changes":[{"path":"$.subject","before":null,"after":"\"Ada\u001b[2J\""}]},
				{"eventId":"0190a1b2-0000-7000-8000-000000000002","problem":"There is no type","more":false,"changes":[]}]}}}`},
		"POST /events/0190a1b2-0000-7000-8000-000000000001/replay": {`202 {"data":{"replayRequestId":"r","eventId":"0190a1b2-0000-7000-8000-000000000001"}}`},
		"GET /events/0190a1b2-0000-7000-8000-000000000001/status":  {`{"data":{"status":"failed"}}`},
		"GET /replays/" + replayedOnce + "/events": {`{"data":[{"eventId":"0190a1b2-0000-7000-8000-000000000001","status":"failed","destinationId":null,"url":"https://a.example/in",
			"httpStatus":503,"attempts":3,"errorMessage":"the destination answered HTTP 503","completedAt":null}],"meta":{"total":1}}`},
	})
	t.Setenv("DEBUG_SECRET", "whsec_x")
	dry := runOK(t, "replays create --all --renormalize --to-url https://a.example/in --signing-secret-env DEBUG_SECRET --dry-run")
	require.JSONEq(t, `{"dryRun":true,"all":true,"payload":"renormalized","url":"https://a.example/in","signingSecret":"whsec_x"}`, f.sent("POST /replays")[0])
	require.Contains(t, dry, "The mapping of now changes 1 events, leaves 1 as they are, and fails for 1")
	require.Regexp(t, `0190a1b2-0000-7000-8000-000000000001 +\$\.subject +- +"Ada\\u001b\[2J"`, dry, "terminal escapes are harmless")
	require.Regexp(t, `0190a1b2-0000-7000-8000-000000000002 +fails +- +There is no type`, dry)

	runOK(t, "events replay 0190a1b2-0000-7000-8000-000000000001 --reason to-look-at-it --to-url https://a.example/in --signing-secret-env DEBUG_SECRET")
	require.JSONEq(t, `{"reason":"to-look-at-it","onlyFailed":false,"url":"https://a.example/in","signingSecret":"whsec_x"}`,
		f.sent("POST /events/0190a1b2-0000-7000-8000-000000000001/replay")[0])

	require.Regexp(t, `0190a1b2-0000-7000-8000-000000000001 +failed +- +503 +.*the destination answered HTTP 503`, runOK(t, "replays events "+replayedOnce))
	for _, wrong := range []string{"replays create --all --reason because --to-url https://a.example", "replays create --all --reason because --signing-secret-env DEBUG_SECRET",
		"replays create --all --reason because --to-url https://a.example --signing-secret-env NOWHERE", "replays events 7", "replays events",
		"replays create --all --reason because --to a --to-url https://a.example --signing-secret-env DEBUG_SECRET"} {
		code, _, _ := runLine(t, wrong)
		require.Equal(t, exitUsage, code, wrong)
	}
}
