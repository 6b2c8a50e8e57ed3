package cli

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	testedID    = "0190a1b2-0000-7000-8000-000000000009"
	testedOf    = "0190a1b2-0000-7000-8000-000000000008"
	testedRoute = "POST /integrations/" + testedOf + "/destinations/" + testedID
)

func gatewayWithDestination(t *testing.T, answers map[string][]string) *fake {
	answers["GET /integrations"] = []string{fmt.Sprintf(`{"data":[{"id":%q,"source":"shop","destinations":[{"id":%q,"url":"https://orders.example/hooks","isActive":true}]}]}`, testedOf, testedID)}
	return fakeGateway(t, answers)
}

func TestDestinationsTest(t *testing.T) {
	const good = `{"data":{"destinationId":"d","eventId":"e-1","received":true,"wanted":false,"status":202,"error":null,"errorKind":null,"durationMs":12,"headers":{"Server":"x\u001b[2J"},"body":"thanks\u001b[2J","sentAt":"2026-01-31T14:00:00Z"}}`
	const bad = `{"data":{"destinationId":"d","eventId":"e-2","received":false,"wanted":true,"status":null,"error":"no such host","errorKind":"dns","durationMs":3,"headers":{},"body":"","sentAt":"2026-01-31T14:00:00Z"}}`
	f := gatewayWithDestination(t, map[string][]string{testedRoute + "/test": {good, good, bad}})
	shown := runOK(t, "destinations test https://orders.example/hooks")
	for _, part := range []string{"delivered", "202", "12 ms", "thanks\\u001b[2J", "Server", "Its filter would leave such an event out."} {
		require.Contains(t, shown, part)
	}
	require.NotContains(t, shown, "\x1b")
	require.Equal(t, `{}`, f.sent(testedRoute + "/test")[0])

	require.NoError(t, os.WriteFile("event.json", []byte(`{"eventType":"a.b","n":12345678901234567890}`), 0o600))
	require.Equal(t, "e-1\n", runOK(t, "destinations test "+testedID+" --file event.json -q"))
	require.Equal(t, `{"payload":{"eventType":"a.b","n":12345678901234567890}}`, f.sent(testedRoute + "/test")[1])

	code, stdout, stderr := runLine(t, "destinations test "+testedID+" -o json")
	require.Equal(t, exitFailed, code, "it was not received")
	require.Contains(t, stdout, `"errorKind": "dns"`)
	require.Contains(t, stderr, "https://orders.example/hooks of shop did not receive it: no such host")

	require.NoError(t, os.WriteFile("list.json", []byte(`[1]`), 0o600))
	for line, code := range map[string]int{"destinations test " + testedID + " --file list.json": exitUsage, "destinations test " + testedID + " --file nowhere.json": exitUsage,
		"destinations test " + testedID + " --file event.json --event e": exitUsage, "destinations test https://elsewhere.example": exitNotFound} {
		got, _, stderr := runLine(t, line)
		require.Equal(t, code, got, "%s: %s", line, stderr)
	}
	require.Len(t, f.sent(testedRoute+"/test"), 3, "what is wrong is not sent")
}

func TestDestinationsProbe(t *testing.T) {
	gatewayWithDestination(t, map[string][]string{testedRoute + "/probe": {`{"data":{"destinationId":"` + testedID + `","breaker":"open","probeAt":"2026-01-31T14:00:00Z"}}`,
		`409 {"success":false,"error":{"code":"CONFLICT","message":"The breaker of the destination is closed, so there is nothing to probe."}}`}})
	require.Equal(t, "https://orders.example/hooks of shop is probed with the next waiting delivery\n", runOK(t, "destinations probe "+testedID))
	code, _, stderr := runLine(t, "destinations probe "+testedID)
	require.Equal(t, exitRefused, code)
	require.Contains(t, stderr, "nothing to probe")
}
