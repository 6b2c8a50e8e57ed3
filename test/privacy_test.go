package test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The persons that must not be found: one whose address is redacted, one who is erased.
const (
	redactedPerson = "redacted-81@example.com"
	erasedPerson   = "erased-82@example.com"
	otherPerson    = "other-83@example.com"
)

// TestAPersonIsFoundNowhere sends webhooks about persons, erases one, and looks for them in
// the database, in Redis, in the logs and in the responses. Others are unaffected.
func TestAPersonIsFoundNowhere(t *testing.T) {
	t.Parallel()
	g := onServers(t, "RETRY_BASE_DELAY_MS", "3600000", "LOG_LEVEL", "debug")
	g.serve()
	g.work()
	g.testRedaction()

	done := g.send(http.StatusAccepted, "acme", order("evt_done", erasedPerson), "")
	g.waitForStatus(done.EventID, "processed")
	g.receiver.respondWith(func(delivery) int { return http.StatusInternalServerError })
	waiting := g.send(http.StatusAccepted, "acme", order("evt_waiting", erasedPerson), "")
	other := g.send(http.StatusAccepted, "acme", order("evt_other", otherPerson), "")
	g.waitForStatus(waiting.EventID, "retrying")
	g.waitForStatus(other.EventID, "retrying")
	res, _, err := g.ask(http.MethodPost, "/api/v1/webhooks/acme", []byte(order("evt_refused", erasedPerson)),
		map[string]string{"Content-Type": "application/json", "X-Acme-Signature": strings.Repeat("0", 64), "X-Customer": erasedPerson})
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	db := g.open()
	eventually(t, func() bool { return g.total(db, "quarantine WHERE NOT redacted") == 1 }, "the refused request is quarantined")
	require.Contains(t, g.dump(), erasedPerson, "the dump is complete")

	require.Contains(t, g.run("erase", "--subject", erasedPerson, "--dry-run"), "found 2 events and 1 refused requests")
	require.Equal(t, 2, g.total(db, "quarantine"), "counting removes nothing")
	require.Contains(t, g.run("erase", "--subject", erasedPerson, "--yes"), "erased 2 events with 2 webhooks")
	require.Contains(t, g.run("erase", "--subject", erasedPerson, "--yes"), "found 0 events", "the second time there is nothing left")

	g.requireErased(done.EventID, "processed")
	g.requireErased(waiting.EventID, "failed")
	again := g.send(http.StatusOK, "acme", order("evt_done", erasedPerson), "")
	require.Equal(t, done.EventID, again.EventID, "a duplicate is still detected")
	g.receiver.respondWith(func(delivery) int { return http.StatusNoContent })
	g.order(http.StatusAccepted, other.EventID, "retry", "")
	g.waitForStatus(other.EventID, "processed")
	g.order(http.StatusAccepted, other.EventID, "replay", `{"reason":"again"}`)
	eventually(t, func() bool { return g.receiver.count(other.EventID) == 3 }, "others can still be replayed")
	require.Equal(t, 1, g.receiver.count(waiting.EventID), "erased events are not sent again")

	eventually(t, func() bool {
		return g.total(db, "processing_jobs WHERE normalized_event_id = $1 AND status IN ('queued', 'running')", other.EventID) == 0
	}, "the replay is finished")
	g.run("verify", "--grace", "0s")
	g.run("audit", "verify")
	g.requireAbsent(redactedPerson, erasedPerson)
	require.Contains(t, g.dump(), otherPerson)
}

// testRedaction creates a source with redaction and sends it a webhook.
func (g *gateway) testRedaction() {
	g.t.Helper()
	body, err := json.Marshal(map[string]any{"source": "made", "provider": "acme", "secrets": []string{acmeSecret}, "redact": []string{"$..email"},
		"destinations": []map[string]any{{"url": g.receiver.server.URL + "/made"}}})
	require.NoError(g.t, err)
	g.manage(http.MethodPost, "/integrations", string(body))
	event := fmt.Sprintf(`{"eventId":"evt_redacted","eventType":"t","occurredAt":"2026-01-05T09:00:00Z","data":{"id":"ord_9","email":%q,"total": 1.10}}`, redactedPerson)
	send := func(status int, eventBody, signature string) (r receipt) {
		res, e, err := g.ask(http.MethodPost, "/api/v1/webhooks/made", []byte(eventBody),
			map[string]string{"Content-Type": "application/json", "X-Acme-Signature": signature, "X-Customer": redactedPerson})
		require.NoError(g.t, err)
		require.Equal(g.t, status, res.StatusCode, "%v", e.Error)
		_ = json.Unmarshal(e.Data, &r)
		return r
	}
	first := send(http.StatusAccepted, event, acmeSignature(event))
	got := g.receiver.one(g.t, first.EventID)
	require.Contains(g.t, string(got.body), `"data":{"id":"ord_9","email":"[redacted]","total": 1.10}`)
	require.Equal(g.t, first.EventID, send(http.StatusOK, event, acmeSignature(event)).EventID, "its duplicate is detected")
	send(http.StatusUnauthorized, event, strings.Repeat("0", 64))
	db := g.open()
	eventually(g.t, func() bool { return g.total(db, "quarantine WHERE redacted") == 1 }, "the refused request is recorded without its body")
}

// requireErased checks an erased event.
func (g *gateway) requireErased(eventID, status string) {
	g.t.Helper()
	var shown struct {
		Event struct {
			Status            string  `json:"status"`
			ErasedAt          *string `json:"erasedAt"`
			Subject           *string `json:"subject"`
			NormalizedPayload *any    `json:"normalizedPayload"`
		} `json:"event"`
		ProcessingJobs []job `json:"processingJobs"`
	}
	g.get("/events/"+eventID, &shown)
	require.Equal(g.t, status, shown.Event.Status)
	require.NotNil(g.t, shown.Event.ErasedAt)
	require.Nil(g.t, shown.Event.Subject)
	require.Nil(g.t, shown.Event.NormalizedPayload)
	for _, j := range shown.ProcessingJobs {
		require.NotContains(g.t, []string{"queued", "running"}, j.Status)
	}
	g.order(http.StatusConflict, eventID, "replay", `{"reason":"once more"}`)
	g.order(http.StatusConflict, eventID, "retry", "")
	var trail []entry
	g.get("/audit-entries?action=event.erased&entityId="+eventID, &trail)
	require.Len(g.t, trail, 1)
	require.Equal(g.t, "gateway-cli", trail[0].Actor)
}

// order posts an operator's request about an event.
func (g *gateway) order(status int, eventID, what, body string) {
	g.t.Helper()
	res, e, err := g.ask(http.MethodPost, "/api/v1/events/"+eventID+"/"+what, []byte(body),
		map[string]string{"X-Internal-Api-Key": managementKey, "Content-Type": "application/json"})
	require.NoError(g.t, err)
	require.Equal(g.t, status, res.StatusCode, "%s: %v", what, e.Error)
}

// requireAbsent looks for texts in every place that stores data.
func (g *gateway) requireAbsent(texts ...string) {
	g.t.Helper()
	var anything []any
	for _, path := range []string{"/integrations", "/events?pageSize=100", "/deliveries?pageSize=100", "/audit-entries?pageSize=100", "/quarantine",
		"/dead-letters", "/replay-requests", "/replays", "/erasures"} {
		g.get(path, &anything)
	}
	places := map[string]string{"the database": g.dump(), "Redis": g.redis(), "the responses": g.responses.String()}
	require.NotEmpty(g.t, places["Redis"])
	for _, p := range g.processes {
		places["what gateway "+p.name+" said"] = p.output.String()
	}
	for _, text := range texts {
		for place, all := range places {
			for _, form := range []string{text, hex.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte(text))[:len(text)]} {
				require.False(g.t, strings.Contains(all, form), "%s contains %s", place, text)
			}
		}
	}
}
