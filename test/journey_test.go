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

// journeySettings make retries quick: 300 ms, then 600 ms, then it has failed.
var journeySettings = []string{"MAX_PROCESSING_RETRIES", "3", "RETRY_BASE_DELAY_MS", "300", "LOG_LEVEL", "debug"}

func TestJourneyOfTheEmbeddedDefault(t *testing.T) {
	t.Parallel()
	g := embedded(t, journeySettings...)
	g.dev()
	key, err := os.ReadFile(filepath.Join(g.env["data"], "secrets.key"))
	require.NoError(t, err)
	journey{t: t, gateway: g, secretsKey: strings.TrimSpace(string(key)), deliverer: func() {}}.make()
}

func TestJourneyOnTheServers(t *testing.T) {
	t.Parallel()
	g := onServers(t, journeySettings...)
	g.serve()
	journey{t: t, gateway: g, secretsKey: secretsKey, apart: true, deliverer: func() { g.work() }}.make()
}

// journey follows webhooks through a gateway from the provider to the trail that
// they leave.
type journey struct {
	*gateway
	t          *testing.T
	secretsKey string
	apart      bool   // nothing is delivered until deliverer has run
	deliverer  func() // starts whoever delivers
}

func (j journey) make() {
	j.acme()
	j.globex()
	failing := j.failure()
	j.replayed(failing)
	j.trail(failing)
	j.correlated(failing)
	j.keepsSecrets()
}

const acmeBody = `{"eventId":"evt_j1","eventType":"order.created","occurredAt":"2026-01-05T10:00:00+02:00",` +
	`"data":{"id":"ord_7","amount":1.10,"number":12345678901234567891,"note":"caf\u00e9 \u0000 <&>"}}`

func (j journey) acme() {
	first := j.send(http.StatusAccepted, "acme", acmeBody, "journey-acme")
	require.Equal(j.t, receipt{first.EventID, "queued", false, "journey-acme"}, first)
	if j.apart {
		status, attempts := j.status(first.EventID)
		require.Equal(j.t, "pending", status)
		require.Zero(j.t, attempts)
	}
	j.deliverer()
	j.arrived("acme", first, `{"provider":"acme","eventType":"order.created","externalEventId":"evt_j1",`+
		`"occurredAt":"2026-01-05T08:00:00.000Z","subject":"ord_7",`+
		`"data":{"id":"ord_7","amount":1.10,"number":12345678901234567891,"note":"caf\u00e9 \u0000 <&>"}}`)

	again := j.send(http.StatusOK, "acme", acmeBody, "another-id")
	require.Equal(j.t, receipt{first.EventID, "duplicate", true, "journey-acme"}, again)
	j.ends(first.EventID, "processed")
	require.Equal(j.t, 1, j.receiver.count(first.EventID), "the repeat is not delivered again")

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
	require.NotEmpty(j.t, first.CorrelationID, "the gateway makes one")
	j.arrived("globex", first, `{"provider":"globex","eventType":"invoice.paid","externalEventId":"evt_j2",`+
		`"occurredAt":"2026-01-05T09:00:00.123Z","subject":"inv_9",`+
		`"data":{"id":"inv_9","amount":0.30},"resource":{"id":"inv_9","amount":0.30}}`)
	again := j.send(http.StatusOK, "globex", body, "")
	require.Equal(j.t, receipt{first.EventID, "duplicate", true, first.CorrelationID}, again)
	j.ends(first.EventID, "processed")
}

// arrived waits for an event's only delivery and holds it against the contract.
func (j journey) arrived(source string, r receipt, body string) {
	p := j.receiver.one(j.t, r.EventID)
	require.Equal(j.t, "/"+source, p.path)
	require.Equal(j.t, body, string(p.body), "the canonical event, numbers and escapes as they were sent")
	require.Equal(j.t, "application/json", p.header.Get("Content-Type"))
	require.Equal(j.t, source, p.header.Get("X-Integration-Provider"))
	require.Equal(j.t, r.EventID, p.header.Get("X-Event-Id"))
	require.Equal(j.t, r.CorrelationID, p.header.Get("X-Correlation-Id"))
	j.signed(source, p)
}

// signed verifies a delivery as its receiver does, by Standard Webhooks.
func (j journey) signed(source string, p parcel) {
	at, err := strconv.ParseInt(p.header.Get("Webhook-Timestamp"), 10, 64)
	require.NoError(j.t, err)
	require.WithinDuration(j.t, time.Now(), time.Unix(at, 0), 5*time.Minute)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(j.signingSecret(source), "whsec_"))
	require.NoError(j.t, err)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(p.id() + "." + p.header.Get("Webhook-Timestamp") + "."))
	mac.Write(p.body)
	require.Equal(j.t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), p.header.Get("Webhook-Signature"))
}

// signingSecret reads the secret that the owner of a source's destination was given.
func (j journey) signingSecret(source string) string {
	var stored string
	require.NoError(j.t, j.open().Get(j.t.Context(), &stored, `SELECT d.signing_secret FROM destinations d
		JOIN integrations i ON i.id = d.integration_id WHERE i.source = $1`, source))
	return unsealed(j.t, j.secretsKey, stored)
}

// failure lets an event's destination fail until the gateway gives up, and holds its
// way against the settings.
func (j journey) failure() receipt {
	held := newGate()
	j.receiver.answers(func(p parcel) int {
		if p.nth == 1 {
			held.hold(p)
		}
		return http.StatusServiceUnavailable
	})
	defer j.receiver.answers(func(parcel) int { return http.StatusOK })
	defer held.release()
	r := j.send(http.StatusAccepted, "acme", order("evt_j3", "ord_8"), "journey-failing")
	eventually(j.t, func() bool { return j.receiver.count(r.EventID) == 1 }, "the first attempt")
	status, attempts := j.status(r.EventID)
	require.Equal(j.t, "processing", status)
	require.Zero(j.t, attempts)
	held.release()
	j.ends(r.EventID, "retrying")
	j.ends(r.EventID, "failed")
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
		require.GreaterOrEqual(j.t, late, time.Duration(0), "it is not tried before its time")
		require.Less(j.t, late, 5*time.Second, "the retry queue brings it back; the relay would come later")
	}
	return r
}

// history is what an event's page shows of its way.
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

// replayed sends the event again now that its destination has recovered.
func (j journey) replayed(r receipt) {
	header := map[string]string{"X-Internal-Api-Key": managementKey, "Content-Type": "application/json"}
	res, e, err := j.ask(http.MethodPost, "/api/v1/events/"+r.EventID+"/replay",
		[]byte(`{"requestedBy":"dana","reason":"the destination is back"}`), header)
	require.NoError(j.t, err)
	require.Equal(j.t, http.StatusAccepted, res.StatusCode, "%v", e.Error)
	var asked struct{ ReplayRequestID, EventID string }
	require.NoError(j.t, json.Unmarshal(e.Data, &asked))
	require.Equal(j.t, r.EventID, asked.EventID)
	j.ends(r.EventID, "processed")
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
	for _, p := range parcels {
		require.Equal(j.t, parcels[0].body, p.body, "every attempt sends the same")
		j.signed("acme", p)
	}
}

// trail reads the whole story from the audit entries.
func (j journey) trail(r receipt) {
	event := j.history(r.EventID).Event
	var entries, received []entry
	j.get("/audit-entries?pageSize=100&entityId="+r.EventID, &entries)
	j.get("/audit-entries?entityId="+event.WebhookEventID, &received)
	entries = append(entries, received...)
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.ID, b.ID) })
	var story []string
	for _, e := range entries {
		story = append(story, e.Action+" by "+e.Actor)
		if strings.HasPrefix(e.Action, "replay.") {
			require.NotEmpty(j.t, e.Details["replayRequestId"])
		} else {
			require.Equal(j.t, r.CorrelationID, e.Details["correlationId"], e.Action)
		}
	}
	require.Equal(j.t, []string{"webhook.received by gateway", "event.normalized by gateway", "event.queued by gateway",
		"event.retry_scheduled by gateway", "event.retry_scheduled by gateway", "event.failed by gateway",
		"replay.requested by management-key", "replay.dispatched by gateway", "event.processed by gateway",
		"replay.completed by gateway"}, story)
}

// correlated looks for the webhook's correlation id in the log of every process that
// dealt with it, on each line about it.
func (j journey) correlated(r receipt) {
	for _, p := range j.processes {
		if args := strings.Fields(p.name); args[0] == "migrate" || args[0] == "seed" {
			continue
		}
		lines := 0
		for _, line := range p.logged() {
			if line["event_id"] == r.EventID {
				require.Equal(j.t, r.CorrelationID, line["correlation_id"], "gateway %s: %v", p.name, line)
			}
			if line["correlation_id"] == r.CorrelationID {
				lines++
			}
		}
		require.Positive(j.t, lines, "gateway %s tells of the event", p.name)
	}
}

// keepsSecrets searches what was logged, printed and answered.
func (j journey) keepsSecrets() {
	var anything []any
	for _, path := range []string{"/integrations", "/events?pageSize=100", "/deliveries?pageSize=100", "/audit-entries?pageSize=100", "/replay-requests"} {
		j.get(path, &anything)
	}
	for _, secret := range []string{acmeSecret, globexSecret, managementKey, j.secretsKey, j.signingSecret("acme"), j.signingSecret("globex"), "whsec_"} {
		require.False(j.t, strings.Contains(j.said.String(), secret), "an answer holds %q", secret)
		for _, p := range j.processes {
			require.False(j.t, strings.Contains(p.said.String(), secret), "gateway %s says %q", p.name, secret)
		}
	}
}
