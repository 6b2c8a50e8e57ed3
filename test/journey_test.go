package test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// journeySettings make retries quick: 300 ms, then 600 ms, then the event has failed.
var journeySettings = []string{"MAX_PROCESSING_RETRIES", "3", "RETRY_BASE_DELAY_MS", "300", "LOG_LEVEL", "debug"}

func TestJourneyOfTheEmbeddedDefault(t *testing.T) {
	t.Parallel()
	g := embedded(t, journeySettings...)
	g.dev()
	key, err := os.ReadFile(filepath.Join(g.env["data"], "secrets.key"))
	require.NoError(t, err)
	journey{t: t, gateway: g, secretsKey: strings.TrimSpace(string(key)), startWorker: func() {}}.execute()
}

func TestJourneyOnTheServers(t *testing.T) {
	t.Parallel()
	g := onServers(t, journeySettings...)
	g.serve()
	journey{t: t, gateway: g, secretsKey: secretsKey, separate: true, startWorker: func() { g.work() }}.execute()
}

// journey follows webhooks through a gateway, from the provider to their audit entries.
type journey struct {
	*gateway
	t           *testing.T
	secretsKey  string
	separate    bool   // nothing is delivered until startWorker has run
	startWorker func() // starts the worker
}

func (j journey) execute() {
	j.acme()
	j.globex()
	failing := j.exhaustAttempts()
	j.replayEvent(failing)
	j.checkAuditTrail(failing)
	j.checkCorrelation(failing)
	j.checkSecrets()
}

const acmeBody = `{"eventId":"evt_j1","eventType":"order.created","occurredAt":"2026-01-05T10:00:00+02:00",` +
	`"data":{"id":"ord_7","amount":1.10,"number":12345678901234567891,"note":"caf\u00e9 \u0000 <&>"}}`

func (j journey) acme() {
	first := j.send(http.StatusAccepted, "acme", acmeBody, "journey-acme")
	require.Equal(j.t, receipt{first.EventID, "queued", false, "journey-acme"}, first)
	if j.separate {
		status, attempts := j.status(first.EventID)
		require.Equal(j.t, "pending", status)
		require.Zero(j.t, attempts)
	}
	j.startWorker()
	j.checkDelivery("acme", first, `{"provider":"acme","eventType":"order.created","externalEventId":"evt_j1",`+
		`"occurredAt":"2026-01-05T08:00:00.000Z","subject":"ord_7",`+
		`"data":{"id":"ord_7","amount":1.10,"number":12345678901234567891,"note":"caf\u00e9 \u0000 <&>"}}`)

	again := j.send(http.StatusOK, "acme", acmeBody, "another-id")
	require.Equal(j.t, receipt{first.EventID, "duplicate", true, "journey-acme"}, again)
	j.waitForStatus(first.EventID, "processed")
	require.Equal(j.t, 1, j.receiver.count(first.EventID), "the duplicate is not delivered again")

	var shown struct {
		Event   eventView `json:"event"`
		Webhook struct {
			IdempotencyKey string          `json:"idempotencyKey"`
			SignatureValid bool            `json:"signatureValid"`
			RequestHeaders json.RawMessage `json:"requestHeaders"`
			RawBody        []byte          `json:"rawBody"`
		} `json:"webhook"`
	}
	j.get("/events/"+first.EventID, &shown)
	require.Equal(j.t, acmeBody, string(shown.Webhook.RawBody))
	require.Equal(j.t, "acme:evt_j1", shown.Webhook.IdempotencyKey)
	require.True(j.t, shown.Webhook.SignatureValid)
	require.Equal(j.t, 1, shown.Event.ProcessingAttempts)
}

func (j journey) globex() {
	body := `{"id":"evt_j2","type":"invoice.paid","timestamp":"2026-01-05T09:00:00.123Z","resource":{"id":"inv_9","amount":0.30}}`
	first := j.send(http.StatusAccepted, "globex", body, "")
	require.NotEmpty(j.t, first.CorrelationID, "the gateway generates one")
	j.checkDelivery("globex", first, `{"provider":"globex","eventType":"invoice.paid","externalEventId":"evt_j2",`+
		`"occurredAt":"2026-01-05T09:00:00.123Z","subject":"inv_9",`+
		`"data":{"id":"inv_9","amount":0.30},"resource":{"id":"inv_9","amount":0.30}}`)
	again := j.send(http.StatusOK, "globex", body, "")
	require.Equal(j.t, receipt{first.EventID, "duplicate", true, first.CorrelationID}, again)
	j.waitForStatus(first.EventID, "processed")
}

// checkDelivery waits for an event's only delivery and compares it with the contract.
func (j journey) checkDelivery(source string, r receipt, body string) {
	d := j.receiver.one(j.t, r.EventID)
	require.Equal(j.t, "/"+source, d.path)
	require.Equal(j.t, body, string(d.body), "the canonical event, with numbers and escapes as sent")
	require.Equal(j.t, "application/json", d.header.Get("Content-Type"))
	require.Equal(j.t, source, d.header.Get("X-Integration-Provider"))
	require.Equal(j.t, r.EventID, d.header.Get("X-Event-Id"))
	require.Equal(j.t, r.CorrelationID, d.header.Get("X-Correlation-Id"))
	j.checkSignature(source, d)
}

// checkSignature verifies a delivery like its receiver does, with Standard Webhooks.
func (j journey) checkSignature(source string, d delivery) {
	at, err := strconv.ParseInt(d.header.Get("Webhook-Timestamp"), 10, 64)
	require.NoError(j.t, err)
	require.WithinDuration(j.t, time.Now(), time.Unix(at, 0), 5*time.Minute)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(j.signingSecret(source), "whsec_"))
	require.NoError(j.t, err)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(d.id() + "." + d.header.Get("Webhook-Timestamp") + "."))
	mac.Write(d.body)
	require.Equal(j.t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), d.header.Get("Webhook-Signature"))
}

// signingSecret reads the signing secret of a source's destination.
func (j journey) signingSecret(source string) string {
	var stored struct {
		ID     string `db:"id"`
		Secret string `db:"signing_secret"`
	}
	require.NoError(j.t, j.open().Get(j.t.Context(), &stored, `SELECT d.id, d.signing_secret FROM destinations d
		JOIN integrations i ON i.id = d.integration_id WHERE i.source = $1`, source))
	return unsealed(j.t, j.secretsKey, "destinations.signing_secret/"+stored.ID, stored.Secret)
}

// exhaustAttempts lets an event's destination fail until the gateway gives up, and checks
// the attempts against the settings.
func (j journey) exhaustAttempts() receipt {
	held := newGate()
	j.receiver.respondWith(func(d delivery) int {
		if d.nth == 1 {
			held.hold(d)
		}
		return http.StatusServiceUnavailable
	})
	defer j.receiver.respondWith(func(delivery) int { return http.StatusOK })
	defer held.release()
	r := j.send(http.StatusAccepted, "acme", order("evt_j3", "ord_8"), "7b0f3f0e-5a57-4a52-9d0e-0d6f6f1b7a11")
	eventually(j.t, func() bool { return j.receiver.count(r.EventID) == 1 }, "the first attempt")
	status, attempts := j.status(r.EventID)
	require.Equal(j.t, "processing", status)
	require.Zero(j.t, attempts)
	held.release()
	j.waitForStatus(r.EventID, "retrying")
	j.waitForStatus(r.EventID, "failed")
	require.Equal(j.t, 3, j.receiver.count(r.EventID))

	history := j.history(r.EventID)
	require.Equal(j.t, []string{"1 failed 503", "2 failed 503", "3 failed 503"}, list(history.DeliveryAttempts))
	require.Equal(j.t, []string{"webhook on process: failed", "retry on retry: failed", "retry on retry: failed"}, list(history.ProcessingJobs))
	require.Contains(j.t, *history.Event.LastError, "503")
	for i, wait := range []time.Duration{300 * time.Millisecond, 600 * time.Millisecond} {
		retry := history.ProcessingJobs[i+1]
		planned := retry.ScheduledAt.Sub(retry.CreatedAt)
		require.GreaterOrEqual(j.t, planned, wait, "base * 2^(attempt-1)")
		require.LessOrEqual(j.t, planned, wait*6/5+time.Millisecond, "and jitter")
		late := retry.StartedAt.Sub(retry.ScheduledAt)
		require.GreaterOrEqual(j.t, late, time.Duration(0), "it is not tried early")
		require.Less(j.t, late, 5*time.Second, "the delay queue brings it back; the relay would be slower")
	}
	return r
}

// history is an event's history as the API shows it.
type history struct {
	Event            eventView `json:"event"`
	DeliveryAttempts []attempt `json:"deliveryAttempts"`
	ProcessingJobs   []job     `json:"processingJobs"`
}

func (j journey) history(eventID string) (h history) {
	j.get("/events/"+eventID, &h)
	return h
}

func list[T interface{ String() string }](items []T) []string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = item.String()
	}
	return texts
}

// replayEvent replays the event after its destination has recovered.
func (j journey) replayEvent(r receipt) {
	header := map[string]string{"X-Internal-Api-Key": managementKey, "Content-Type": "application/json"}
	res, e, err := j.ask(http.MethodPost, "/api/v1/events/"+r.EventID+"/replay",
		[]byte(`{"requestedBy":"dana","reason":"the destination is back"}`), header)
	require.NoError(j.t, err)
	require.Equal(j.t, http.StatusAccepted, res.StatusCode, "%v", e.Error)
	var asked struct{ ReplayRequestID, EventID string }
	require.NoError(j.t, json.Unmarshal(e.Data, &asked))
	require.Equal(j.t, r.EventID, asked.EventID)
	j.waitForStatus(r.EventID, "processed")
	want := replayView{asked.ReplayRequestID, r.EventID, "completed", "dana", "the destination is back"}
	var one replayView
	j.get("/replay-requests/"+asked.ReplayRequestID, &one)
	require.Equal(j.t, want, one)
	var all []replayView
	require.Equal(j.t, 1, j.get("/replay-requests?eventId="+r.EventID, &all))
	require.Equal(j.t, []replayView{want}, all)

	h := j.history(r.EventID)
	require.Equal(j.t, []string{"1 failed 503", "2 failed 503", "3 failed 503", "4 success 200"}, list(h.DeliveryAttempts))
	require.Equal(j.t, []string{"webhook on process: failed", "retry on retry: failed", "retry on retry: failed",
		"replay on replay: succeeded", "replay on process: succeeded"}, list(h.ProcessingJobs))
	require.Equal(j.t, 4, h.Event.ProcessingAttempts)
	require.Nil(j.t, h.Event.LastError)
	var attempts []attempt
	require.Equal(j.t, 4, j.get("/deliveries?eventId="+r.EventID, &attempts))
	slices.Reverse(attempts)
	require.Equal(j.t, h.DeliveryAttempts, attempts)
	require.Equal(j.t, 3, j.get("/deliveries?status=failed&eventId="+r.EventID, &attempts))
	parcels := j.receiver.of(r.EventID)
	require.Len(j.t, parcels, 4)
	for _, d := range parcels {
		require.Equal(j.t, parcels[0].body, d.body, "every attempt sends the same body")
		j.checkSignature("acme", d)
	}
}

// checkAuditTrail reads the whole history from the audit entries.
func (j journey) checkAuditTrail(r receipt) {
	event := j.history(r.EventID).Event
	var entries, received []entry
	j.get("/audit-entries?pageSize=100&entityId="+r.EventID, &entries)
	j.get("/audit-entries?entityId="+event.WebhookEventID, &received)
	entries = append(entries, received...)
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.ID, b.ID) })
	var actions []string
	for _, e := range entries {
		actions = append(actions, e.Action+" by "+e.Actor)
		if strings.HasPrefix(e.Action, "replay.") {
			require.NotEmpty(j.t, e.Details["replayRequestId"])
		} else {
			require.Equal(j.t, r.CorrelationID, e.Details["correlationId"], e.Action)
		}
	}
	require.Equal(j.t, []string{"webhook.received by gateway", "event.normalized by gateway", "event.queued by gateway",
		"event.retry_scheduled by gateway", "event.retry_scheduled by gateway", "event.failed by gateway",
		"replay.requested by management-key", "replay.dispatched by gateway", "event.processed by gateway",
		"replay.completed by gateway"}, actions)
}

// checkCorrelation requires the webhook's correlation id in the log of every process that
// handled it, on each line about it.
func (j journey) checkCorrelation(r receipt) {
	for _, p := range j.processes {
		if args := strings.Fields(p.name); args[0] == "migrate" || args[0] == "seed" {
			continue
		}
		lines := 0
		for _, line := range p.logLines() {
			if line["event_id"] == r.EventID {
				require.Equal(j.t, r.CorrelationID, line["correlation_id"], "gateway %s: %v", p.name, line)
			}
			if line["correlation_id"] == r.CorrelationID {
				lines++
			}
		}
		require.Positive(j.t, lines, "gateway %s logs the event", p.name)
	}
}

// checkSecrets searches logs, output and responses for secrets.
func (j journey) checkSecrets() {
	var anything []any
	for _, path := range []string{"/integrations", "/events?pageSize=100", "/deliveries?pageSize=100", "/audit-entries?pageSize=100", "/replay-requests"} {
		j.get(path, &anything)
	}
	for _, secret := range []string{acmeSecret, globexSecret, managementKey, j.secretsKey, j.signingSecret("acme"), j.signingSecret("globex"), "whsec_"} {
		require.False(j.t, strings.Contains(j.responses.String(), secret), "a response contains %q", secret)
		for _, p := range j.processes {
			require.False(j.t, strings.Contains(p.output.String(), secret), "gateway %s logs %q", p.name, secret)
		}
	}
}
