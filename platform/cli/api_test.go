package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/id"
)

// fake is a gateway that answers from a table and records the requests.
type fake struct {
	mu      sync.Mutex
	answers map[string][]string // by method and path; the last one stays
	bodies  map[string][]string
}

// fakeGateway makes the commands speak to a fake.
func fakeGateway(t *testing.T, answers map[string][]string) *fake {
	t.Helper()
	f := &fake{answers: answers, bodies: map[string][]string{}}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	setup(t, "GATEWAY_API_URL", s.URL, "GATEWAY_API_KEY", "k-1")
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	route := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v1")
	body, _ := io.ReadAll(r.Body)
	f.bodies[route] = append(f.bodies[route], string(body))
	all := f.answers[route]
	if len(all) == 0 {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"success":false,"error":{"code":"NOT_FOUND","message":"There is no such route."}}`)
		return
	}
	if len(all) > 1 {
		f.answers[route] = all[1:]
	}
	status, text := http.StatusOK, all[0]
	if _, err := fmt.Sscanf(text, "%d ", &status); err == nil {
		text = text[4:]
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func (f *fake) sent(route string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bodies[route]
}

const (
	replayDry = `{"data":{"dryRun":true,"complete":true,"events":3,"counts":{"matched":4,"queued":0,"delivered":0,"failed":0},
		"bySource":[{"source":"shop","events":3,"deliveries":4}],"byDestination":[{"destination":"0190a1b2-0000-7000-8000-000000000009","deliveries":4}],
		"oldest":"2026-01-31T14:00:00Z","newest":"2026-01-31T14:19:00Z","first":[{"eventId":"0190a1b2-0000-7000-8000-000000000001","source":"shop","eventType":"a.b","subject":null,"receivedAt":"2026-01-31T14:00:00Z"}]}}`
	replayState = `{"data":{"id":"0190a1b2-0000-7000-8000-000000000007","status":"%s","counts":{"matched":4,"queued":4,"delivered":%d,"failed":%d},"reason":"receiver was down"}}`
)

func TestReplaysInBulk(t *testing.T) {
	const replayID = "0190a1b2-0000-7000-8000-000000000007"
	f := fakeGateway(t, map[string][]string{
		"POST /replays": {replayDry, replayDry, "202 " + fmt.Sprintf(replayState, "queued", 0, 0), replayDry, "202 " + fmt.Sprintf(replayState, "queued", 0, 0),
			`{"data":{"complete":true,"events":0,"counts":{"matched":0}}}`},
		"GET /replays/" + replayID:             {fmt.Sprintf(replayState, "running", 1, 0), fmt.Sprintf(replayState, "completed", 3, 1)},
		"POST /replays/" + replayID + "/pause": {fmt.Sprintf(replayState, "paused", 1, 0)},
		"GET /replays":                         {`{"data":[` + strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf(replayState, "paused", 1, 0), `{"data":`), "}") + `],"meta":{"total":1}}`},
	})
	const create = "replays create --source shop --since 2026-01-31T14:00:00Z --until 2026-01-31T14:20:00Z --only-failed --rate 50 --reason receiver-was-down"
	dry := runOK(t, create+" --dry-run")
	require.Contains(t, dry, "3 events would be sent again, in 4 deliveries")
	require.Contains(t, dry, "0190a1b2-0000-7000-8000-000000000009")
	require.JSONEq(t, `{"dryRun":true,"rate":50,"reason":"receiver-was-down","filter":{"source":"shop","receivedFrom":"2026-01-31T14:00:00Z",
		"receivedTo":"2026-01-31T14:20:00Z","onlyFailed":true}}`, f.sent("POST /replays")[0])

	made := runOK(t, create+" --yes")
	require.Contains(t, made, "replay "+replayID+" of 3 events")
	require.NotContains(t, f.sent("POST /replays")[2], "dryRun")

	code, stdout, stderr := runLine(t, "replays create --all --reason receiver-was-down --yes --watch")
	require.Equal(t, exitFailed, code, "a delivery failed")
	require.Contains(t, stderr, "3 of 4 delivered, 1 failed, completed")
	require.Contains(t, stdout, "completed")
	require.JSONEq(t, `{"all":true,"reason":"receiver-was-down"}`, f.sent("POST /replays")[4])

	code, _, stderr = runLine(t, create+" --yes")
	require.Equal(t, exitFailed, code, "a bulk that did nothing")
	require.Contains(t, stderr, "no event matches, so nothing was sent")
	require.Len(t, f.sent("POST /replays"), 6, "only counted")

	require.Equal(t, "paused replay "+replayID+"\n", runOK(t, "replays pause "+replayID))
	require.Regexp(t, replayID+` +paused +4 +1 +0 `, runOK(t, "replays list"))
	code, _, stderr = runLine(t, "replays cancel "+replayID)
	require.Equal(t, exitUsage, code, "it is asked first")
	require.Contains(t, stderr, "use --yes")
	for _, wrong := range []string{"replays create --reason because", "replays create --all --source a --reason because", "replays create --all", "replays show 7",
		"replays create --status lost --reason because", "replays create --since yesterday --reason because"} {
		code, _, _ := runLine(t, wrong)
		require.Equal(t, exitUsage, code, wrong)
	}
}

func TestFollowingEvents(t *testing.T) {
	stream := "id: 1\nevent: received\ndata: {\"eventId\":\"e-1\",\"source\":\"acme\",\"eventType\":\"a.b\",\"status\":\"pending\",\"receivedAt\":\"2026-01-05T10:00:00.123Z\"}\n\n" +
		"id: 2\nevent: refused\ndata: {\"source\":\"acme\",\"reason\":\"no_match\",\"detail\":\"x\\u001b[2J\"}\n\n"
	fakeGateway(t, map[string][]string{"GET /events/stream": {stream}})
	again := `id: 3
event: status
data: {"id":"a-1","at":"2026-01-05T10:00:01.5Z","action":"event.failed","source":"acme","event":{"id":"e-2","source":"acme","eventType":"a.b","status":"failed"},"details":{"error":"HTTP 500"}}

`
	shown := runOK(t, "events tail -n 2")
	require.Regexp(t, `10:00:00.123 +received pending +acme +a\.b +e-1`, shown)
	require.Contains(t, shown, "refused no_match")
	require.Contains(t, shown, `x\u001b[2J`)
	fakeGateway(t, map[string][]string{"GET /events/stream": {again + again + "event: end\ndata: {\"reason\":\"stopping\"}\n\n" + stream}})
	shown = runOK(t, "events tail -n 3")
	require.Equal(t, 1, strings.Count(shown, "e-2"), "what a resumed stream repeats is shown once")
	require.Regexp(t, `10:00:01.5Z? +status failed +acme +a\.b +e-2 +HTTP 500`, shown)
	require.NotContains(t, shown, "stopping")
	fakeGateway(t, map[string][]string{"GET /events/stream": {stream}})
	var first struct {
		ID, Event string
		Data      map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(strings.Split(runOK(t, "events tail -n 1 -o jsonl"), "\n")[0]), &first))
	require.Equal(t, "received", first.Event)
	require.Equal(t, "e-1\n", runOK(t, "events tail -n 1 --quiet"))
}

func TestExitCodesOfAnswers(t *testing.T) {
	const answer = `{"success":false,"error":{"code":"X","message":"Said so.","details":[{"field":"a","message":"is wrong"},{"field":"b","message":"too"}]}}`
	for status, code := range map[int]int{400: exitUsage, 401: exitRefused, 403: exitRefused, 404: exitNotFound, 409: exitRefused, 429: exitUnavailable, 500: exitFailed} {
		fakeGateway(t, map[string][]string{"GET /events": {fmt.Sprintf("%d %s", status, answer)}})
		got, stdout, stderr := runLine(t, "events list")
		require.Equal(t, code, got, "%d: %s", status, stderr)
		require.Contains(t, stderr, "2 mistakes:\n  a is wrong\n  b too")
		require.Empty(t, stdout)
	}
	setup(t, "GATEWAY_API_URL", "http://127.0.0.1:1")
	code, _, stderr := runLine(t, "events list")
	require.Equal(t, exitUnavailable, code)
	require.Contains(t, stderr, "no answer from the gateway at http://127.0.0.1:1/api/v1")
	require.Contains(t, stderr, "it was named by GATEWAY_API_URL")
	fakeGateway(t, nil)
	_, _, stderr = runLine(t, "replays list")
	require.Contains(t, stderr, "the gateway is older than this command")
}

func TestStatusAndFigures(t *testing.T) {
	stats := `{"data":{"at":"2026-01-05T10:00:00Z","sources":[{"source":"acme","over":{"1h":{"accepted":12,"duplicate":1,"refused":2}},"now":{"waiting":3,"oldestDueSeconds":12.5,"deadLetters":4,"quarantine":0}}],
		"destinations":[{"destinationId":"d-1","name":"acme/1","source":"acme","over":{"1h":{"delivered":9,"failedAttempts":5,"failedBy":{"dns":1,"timeout":4},"attempts":{"p95Ms":12.4}}},"now":{"waiting":3,"oldestDueSeconds":900,"breaker":"open"}}],
		"gateway":{"rates":{"acceptedPerSecond":0.2,"deliveredPerSecond":0.1},"outboxLagSeconds":0,"sealLagSeconds":0,"disk":{"bytes":1048576},"consistencyCheck":{"holds":false,"problems":3,"finishedAt":"2026-01-05T10:00:00Z"},
		"over":{"1h":{"accepted":12,"duplicate":1,"refused":2,"delivered":9,"failedAttempts":5}},"now":{"waiting":3,"due":2,"parked":1,"oldestDueSeconds":900,"deadLetters":4,"quarantine":0}}}}`
	f := fakeGateway(t, map[string][]string{"GET /stats": {stats}, "GET /health": {`{"data":{"status":"ok","checks":{"postgres":{"status":"ok"}}}}`},
		"GET /alerts": {`{"data":[{"id":"a-1","severity":"page","summary":"The oldest due job has waited.","startedAt":"2026-01-05T10:00:00Z","acknowledgedBy":"ada"}],"meta":{"total":1}}`}})
	shown := runOK(t, "stats")
	require.Regexp(t, `acme +12 +1 +2 +3 +12s +4 +0`, shown)
	require.Regexp(t, `acme/1 +9 +5 +12 ms +3 +15m +open`, shown)
	status := runOK(t, "status")
	for _, says := range []string{"acme/1: its breaker is open, in the last hour mostly for timeout (4)\n  gateway deliveries list --status failed --source acme\n",
		"a delivery is due since 15m", "acme: open dead letters: 4", "  gateway verify\n", "dead letters  4 open\n", "waiting       3 (2 due), the oldest due since 15m; 1 parked\n",
		"last hour     12 accepted, 1 repeats, 2 refused\n", "              9 delivered, 5 failed attempts\n", "alerts        1 open\n", "books         3 problems, checked ",
		"page, since ", ", acknowledged by ada\n  The oldest due job has waited.\n"} {
		require.Contains(t, status, says)
	}
	for line := range strings.Lines(status) {
		require.LessOrEqual(t, len(line), 81, line)
	}
	var all struct {
		Alerts    []map[string]any
		Attention []string
	}
	require.NoError(t, json.Unmarshal([]byte(runOK(t, "status -o json")), &all))
	require.Len(t, all.Alerts, 1)
	require.Contains(t, all.Attention, "the last consistency check found problems; see: gateway verify")
	require.NotContains(t, status, "All well.")
	delete(f.answers, "GET /alerts")
	delete(f.answers, "GET /stats") // a gateway without figures
	require.Contains(t, runOK(t, "status"), "All well.")
	f.answers["GET /health"] = []string{`503 {"data":{"status":"degraded","checks":{"postgres":{"status":"error"}}}}`}
	code, stdout, stderr := runLine(t, "status")
	require.Equal(t, exitUnavailable, code)
	require.Contains(t, stdout, "error")
	require.Contains(t, stderr, "the gateway is degraded")
}

func TestCommandsFindTheGatewayThatRunsHere(t *testing.T) {
	setup(t, "LOG_LEVEL", "error")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var out, log bytes.Buffer
	go func() { ended <- Run(ctx, []string{"dev", "--port", "0"}, &out, &log) }()
	defer cancel()
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join("data", "api.json"))
		return err == nil
	}, waitLong, waitStep)
	require.Eventually(t, func() bool {
		code, stdout, _ := runLine(t, "events list -q --all")
		return code == 0 && strings.Count(stdout, "\n") == 4
	}, waitLong, waitStep, "the example events")

	require.Contains(t, runOK(t, "events show evt_example_failed"), "order.cancelled")
	require.Contains(t, runOK(t, "destinations list"), "active")
	runOK(t, "keys create viewer-of-acme --role viewer --source acme")
	require.Contains(t, runOK(t, "audit list --action api_key.created"), "management-key", "it spoke to the gateway, not to the database")
	added := runOK(t, "integrations add stripe --secret whsec_long-enough --to https://a.example/in")
	require.Contains(t, added, "/api/v1/webhooks/stripe")
	url := "https://a.example/in"
	require.Contains(t, runOK(t, "destinations pause "+url+" --for 2h --reason moving --yes"), "paused "+url+" of stripe until 20")
	require.Regexp(t, `(?s)paused until +20.*reason +moving`, runOK(t, "destinations show "+url+" --utc"))
	require.Contains(t, runOK(t, "destinations pause "+url+" --reason longer"), "until it is resumed", "a paused one needs no consent")
	require.Contains(t, runOK(t, "destinations show "+url), "paused")
	require.Contains(t, runOK(t, "destinations resume "+url), "resumed")

	code, _, stderr := runLine(t, "events show "+id.New())
	require.Equal(t, exitNotFound, code, stderr)
	code, _, _ = runLine(t, "destinations show nowhere")
	require.Equal(t, exitNotFound, code)
	code, _, stderr = runLine(t, "events cancel evt_example_failed --yes")
	require.Equal(t, exitRefused, code, stderr)
	cancel()
	require.Zero(t, <-ended, log.String())
	require.NoFileExists(t, filepath.Join("data", "api.json"))

	// The same commands on the database, once nobody answers.
	t.Setenv("DATABASE_URL", "sqlite://data/gateway.db")
	require.Contains(t, runOK(t, "integrations show stripe"), "enabled")
	runOK(t, "integrations add github --secret another-long-secret")
	require.Contains(t, runOK(t, "audit list --action integration.created -n 1"), "gateway-cli")
}

func TestDidYouMean(t *testing.T) {
	setup(t)
	for line, says := range map[string]string{
		"events lst": "did you mean list?", "event list": "did you mean events?", "events list --stauts failed": "did you mean --status?", "events list --status faild": "must be one of",
	} {
		code, _, stderr := runLine(t, line)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, says)
	}
}

func TestHelpTopics(t *testing.T) {
	setup(t)
	for _, topic := range []string{"contexts", "output", "exit-codes", "topics"} {
		require.NotEmpty(t, runOK(t, "help "+topic))
	}
	require.Contains(t, runOK(t, "completion bash"), "gateway")
	require.True(t, strings.HasPrefix(runOK(t, "--version"), "gateway "))
}

func TestContexts(t *testing.T) {
	setup(t)
	require.Contains(t, runOK(t, "context list"), "There are no contexts")
	require.NoError(t, os.WriteFile("k", []byte("key"), 0o600))
	require.Contains(t, runOK(t, "context add prod --api https://gw.example --key-file k"), "the current context is prod")
	runOK(t, "context add test --api https://test.example")
	require.Regexp(t, `prod +\* +https://gw.example +/`, runOK(t, "context list"))
	runOK(t, "context use test")
	require.Equal(t, "prod\ntest\n", runOK(t, "context list -q"))
	runOK(t, "context remove prod")
	for line, code := range map[string]int{"context use nobody": exitNotFound, "context remove nobody": exitNotFound, "context add x": exitUsage, "context add x --api nowhere": exitUsage,
		"context add x --api https://a.example --key-file nowhere": exitUsage, "events list --context nobody": exitUsage} {
		got, _, stderr := runLine(t, line)
		require.Equal(t, code, got, "%s: %s", line, stderr)
	}
}

func TestWatchingGoesOnWhileThereIsNoAnswer(t *testing.T) {
	f := fakeGateway(t, map[string][]string{"GET /health": {`503 {"data":{"status":"degraded","checks":{}}}`, `{"data":{"status":"ok","checks":{}}}`}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watched{until: []byte("All well."), then: cancel}
	var log bytes.Buffer
	require.Zero(t, Run(ctx, []string{"status", "--watch=500ms"}, out, &log), log.String())
	require.Contains(t, log.String(), "warning: the gateway is degraded")
	require.GreaterOrEqual(t, len(f.sent("GET /health")), 2)

	setup(t, "DATABASE_URL", "sqlite://gateway.db", "LOG_LEVEL", "error")
	runOK(t, "migrate up")
	code, _, stderr := runLine(t, "status")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "no gateway is named")
}
