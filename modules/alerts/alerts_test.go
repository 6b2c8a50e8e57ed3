package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/backoff"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/standardwebhooks"
	"integration-gateway/platform/testkit"
)

const managementKey = "a-management-key-for-alerts"

// fixture is the module with neighbours that record what reaches them.
type fixture struct {
	*Module
	t       *testing.T
	handler http.Handler
	gauges  contract.Gauges
	traffic []contract.SourceTraffic
	refuse  error // what a target answers with
	sent    []*http.Request
	bodies  []string
	audited []contract.AuditEntry
	certs   map[string]time.Time
	clients map[string]time.Time
}

func (f *fixture) Last() (contract.Gauges, bool) { return f.gauges, !f.gauges.At.IsZero() }

func (f *fixture) Traffic(context.Context) ([]contract.SourceTraffic, error) { return f.traffic, nil }

func (f *fixture) Do(req *http.Request, _ *egress.TLS) (egress.Response, error) {
	body, err := io.ReadAll(req.Body)
	require.NoError(f.t, err)
	if f.refuse != nil {
		return egress.Response{}, f.refuse
	}
	f.sent, f.bodies = append(f.sent, req), append(f.bodies, string(body))
	return egress.Response{Status: http.StatusNoContent}, nil
}

func (f *fixture) Record(_ context.Context, _ *database.Tx, entries []contract.AuditEntry) error {
	f.audited = append(f.audited, entries...)
	return nil
}

// thresholds are those of the tests.
var thresholds = Thresholds{JobsOverdue: 60, OutboxBehind: 60, SpoolWaiting: 60, SpoolParked: 2, SealsBehind: 60, PartitionsEnd: 3600, DeadLetters: 2, Quarantine: 5,
	WebhooksRefused: 20, DestinationFailing: 50, SourceSilent: 3, CertificateExpires: 3600}

const (
	signingSecret = "whsec_YWxlcnRzLXNlY3JldC1vZi10aGUtdGVzdA=="
	slackURL      = "https://hooks.slack.example/services/T000/B000/not-to-be-shown"
)

func setup(t *testing.T, db *database.DB) *fixture {
	f := &fixture{t: t}
	f.Module = New(Config{
		Thresholds: thresholds,
		Host:       "web-1",
		Targets: []Target{{Name: "webhook", Kind: Webhook, URL: secret.New("https://alerts.example/in"), Secret: secret.New(signingSecret)},
			{Name: "slack", Kind: Slack, URL: secret.New(slackURL)}},
		Every: time.Nanosecond, Calm: time.Nanosecond, Retry: backoff.Exponential{Min: time.Nanosecond, Max: time.Nanosecond},
	}, Deps{DB: db, Log: slog.New(slog.DiscardHandler), Now: db.Now, Gauges: f, Traffic: f, Sender: f, Audit: f, Certificates: func() map[string]time.Time { return f.certs },
		ClientCertificates: func() map[string]time.Time { return f.clients }})
	server := httpapi.New(httpapi.Config{ManagementKey: secret.New(managementKey)}, httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System})
	f.Routes(server.Routes())
	f.handler = testkit.Checked(t, server.Handler())
	return f
}

// evaluate runs a round on a state of the records.
func (f *fixture) evaluate(change func(g *contract.Gauges)) {
	f.t.Helper()
	f.gauges = contract.Gauges{At: f.d.Now(), DeadLetters: map[string]int64{}}
	change(&f.gauges)
	require.NoError(f.t, f.round(f.t.Context()))
}

func (f *fixture) request(method, path, body string, into any) int {
	f.t.Helper()
	r := httptest.NewRequest(method, "/api/v1"+path, bytes.NewReader([]byte(body)))
	r.Header.Set("X-Internal-Api-Key", managementKey)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	if into != nil {
		var e struct{ Data json.RawMessage }
		require.NoError(f.t, json.Unmarshal(w.Body.Bytes(), &e), w.Body.String())
		require.NoError(f.t, json.Unmarshal(e.Data, into), w.Body.String())
	}
	return w.Code
}

func (f *fixture) alerts(query string) (list []view) {
	f.t.Helper()
	require.Equal(f.t, http.StatusOK, f.request(http.MethodGet, "/alerts"+query, "", &list))
	return list
}

func deadLetters(n int64) func(*contract.Gauges) {
	return func(g *contract.Gauges) { g.DeadLetters["exhausted"] = n }
}

// TestAnAlertOpensIsToldAndResolved follows one through everything, on both targets.
func TestAnAlertOpensIsToldAndResolved(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db)
		f.evaluate(deadLetters(1))
		require.Empty(t, f.alerts(""))
		f.evaluate(deadLetters(3))
		f.evaluate(deadLetters(4)) // it stays the same alert, and is told once
		open := f.alerts("?state=open")
		require.Len(t, open, 1)
		require.Equal(t, "dead_letters", open[0].Condition)
		require.Equal(t, "Open dead letters of the kind exhausted: 4.", open[0].Summary)
		require.NoError(t, f.sendDue(t.Context()))
		require.Len(t, f.sent, 2)

		var said message
		require.NoError(t, json.Unmarshal([]byte(f.bodies[0]), &said))
		require.Equal(t, "alert.opened", said.Type)
		require.Equal(t, open[0].ID, said.Data.ID)
		signed := f.sent[0].Header
		at, err := strconv.ParseInt(signed.Get("Webhook-Timestamp"), 10, 64)
		require.NoError(t, err)
		require.Equal(t, standardwebhooks.Sign([]secret.Value{secret.New(signingSecret)}, signed.Get("Webhook-Id"), time.Unix(at, 0), []byte(f.bodies[0])), signed.Get("Webhook-Signature"))
		require.Contains(t, f.bodies[1], `{"text":"[ticket] Open dead letters of the kind exhausted: 3.\nSince `)

		f.evaluate(deadLetters(0))
		require.Len(t, f.alerts("?state=open"), 1, "it must not hold for a while")
		f.evaluate(deadLetters(0))
		resolved := f.alerts("?state=resolved&condition=dead_letters")
		require.Len(t, resolved, 1)
		require.NotNil(t, resolved[0].ResolvedAt)
		require.NoError(t, f.sendDue(t.Context()))
		require.Len(t, f.sent, 4)
		require.Contains(t, f.bodies[2], `"alert.resolved"`)
		require.Contains(t, f.bodies[3], `"text":"Resolved: `)
		f.evaluate(deadLetters(9))
		require.Len(t, f.alerts(""), 2, "another time is another alert")
	})
}

func TestAConditionMustHoldForAWhile(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db)
		late := func(g *contract.Gauges) { g.OldestDue = map[contract.Queue]float64{contract.ProcessQueue: 61} }
		f.evaluate(late)
		f.evaluate(late)
		require.Empty(t, f.alerts(""), "not for a minute yet")
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE alerts SET since = $1`, tx.Now.Add(-time.Minute))
			return err
		}))
		f.evaluate(late)
		require.Len(t, f.alerts("?state=open"), 1)
		f.evaluate(func(*contract.Gauges) {})
		f.evaluate(late)
		f.evaluate(func(*contract.Gauges) {})
		require.Len(t, f.alerts("?state=open"), 1, "what comes back at once was never gone")
	})
}

func TestATargetThatIsDownGetsItLater(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db)
		f.refuse = errors.New("connection refused")
		f.evaluate(deadLetters(2))
		f.evaluate(deadLetters(0))
		f.evaluate(deadLetters(0))
		require.NoError(t, f.sendDue(t.Context()))
		require.Empty(t, f.sent)
		f.refuse = nil
		again := New(f.cfg, f.d) // in another process
		require.Eventually(t, func() bool {
			require.NoError(t, again.sendDue(t.Context()))
			return len(f.sent) == 4
		}, 30*time.Second, 10*time.Millisecond)
		for target, order := range map[string][]string{`{"type":`: {`"alert.opened"`, `"alert.resolved"`}, `{"text":`: {"[ticket]", "Resolved: "}} {
			said := slices.DeleteFunc(slices.Clone(f.bodies), func(body string) bool { return !strings.HasPrefix(body, target) })
			require.Len(t, said, 2)
			require.Contains(t, said[0], order[0])
			require.Contains(t, said[1], order[1])
		}
	})
}

func TestAMutedAlertIsToldWhenTheMuteEnds(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db)
		until := clock.At(db.Now().Add(time.Hour)).UTC().Format(time.RFC3339)
		var made mute
		body := `{"condition":"dead_letters","subject":"exhausted","until":"` + until + `","reason":"we know"}`
		require.Equal(t, http.StatusCreated, f.request(http.MethodPost, "/alerts/mutes", body, &made))
		f.evaluate(deadLetters(2))
		open := f.alerts("?state=open")
		require.Len(t, open, 1)
		require.Nil(t, open[0].NotifiedAt)
		require.NoError(t, f.sendDue(t.Context()))
		require.Empty(t, f.sent)
		var acknowledged view
		require.Equal(t, http.StatusOK, f.request(http.MethodPost, "/alerts/"+open[0].ID+"/acknowledge", `{"note":"on it"}`, &acknowledged))
		require.Equal(t, "on it", *acknowledged.Note)

		require.Equal(t, http.StatusNoContent, f.request(http.MethodDelete, "/alerts/mutes/"+made.ID, "", nil))
		require.Equal(t, http.StatusNotFound, f.request(http.MethodDelete, "/alerts/mutes/"+made.ID, "", nil))
		f.evaluate(deadLetters(2))
		require.NoError(t, f.sendDue(t.Context()))
		require.Len(t, f.sent, 2)
		var actions []string
		for _, e := range f.audited {
			actions = append(actions, e.Action)
		}
		require.Equal(t, []string{"alert.muted", "alert.acknowledged", "alert.unmuted"}, actions)
	})
}

func TestATestReachesEveryTarget(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	var said tested
	require.Equal(t, http.StatusAccepted, f.request(http.MethodPost, "/alerts/test", "", &said))
	require.Equal(t, []string{"webhook", "slack"}, said.Targets)
	require.NoError(t, f.sendDue(t.Context()))
	require.Len(t, f.sent, 2)
	require.Empty(t, f.alerts(""), "a test is no alert")
	f.cfg.Targets = nil
	require.Equal(t, http.StatusConflict, f.request(http.MethodPost, "/alerts/test", "", nil))
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	for _, body := range []string{`{"condition":"everything","until":"2099-01-01T00:00:00Z","reason":"no"}`, `{"condition":"quarantine","until":"2099-01-01T00:00:00Z","reason":"x y"}`,
		`{"condition":"quarantine","until":"2001-01-01T00:00:00Z","reason":"x y"}`, `{}`} {
		require.Equal(t, http.StatusBadRequest, f.request(http.MethodPost, "/alerts/mutes", body, nil), body)
	}
	require.Equal(t, http.StatusNotFound, f.request(http.MethodPost, "/alerts/01a220e7-2c33-7290-8b90-50479b2558ea/acknowledge", `{"note":"on it"}`, nil))
}

// TestFindings holds each condition at its threshold, and beyond it.
func TestFindings(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	atBounds := contract.Gauges{OldestDue: map[contract.Queue]float64{contract.ProcessQueue: 60}, Unpublished: 60, Breakers: map[string]int{"acme/1": 0},
		DeadLetters: map[string]int64{"exhausted": 1}, Quarantined: map[string]int64{"acme": 4}, SealLag: 60, Partitions: map[string]float64{"audit_entries": 3600},
		Destinations: []contract.DestinationGauges{{ID: "d-1", Name: "acme/1"}, {ID: "d-2", Name: "acme/2"}}}
	atBounds.Spool = contract.SpoolGauges{Waiting: 9, Oldest: 60, Parked: 1}
	atBounds.Check = &contract.CheckSummary{Holds: true}
	attempts := func(first, second contract.DestinationTraffic) map[string]contract.DestinationTraffic {
		return map[string]contract.DestinationTraffic{"d-1": first, "d-2": second}
	}
	quiet := []contract.SourceTraffic{{Source: "acme", Received: 19, Refused: map[string]int64{"no_match": 19}, LastAccepted: now.Add(-30 * time.Minute), UsualGap: 10 * time.Minute,
		Destinations: attempts(contract.DestinationTraffic{Attempts: 19, Failed: map[string]int64{"dns": 19}}, contract.DestinationTraffic{Attempts: 100, Failed: map[string]int64{"dns": 20, "tls": 29}})},
		{Source: "globex", Received: 100, Refused: map[string]int64{"no_match": 19}}}
	valid := []certificate{{"public", "web-1", clock.At(now.Add(time.Hour))}}
	require.Empty(t, thresholds.findings(observed{now, atBounds, quiet, valid}))
	beyond := contract.Gauges{OldestDue: map[contract.Queue]float64{contract.ProcessQueue: 61}, Unpublished: 61, Breakers: map[string]int{"acme/1": 1},
		DeadLetters: map[string]int64{"exhausted": 2}, Quarantined: map[string]int64{"acme": 5}, SealLag: 61, Partitions: map[string]float64{"audit_entries": 3599},
		Destinations: atBounds.Destinations}
	beyond.Spool = contract.SpoolGauges{Waiting: 9, Oldest: 61, Parked: 2}
	beyond.Check = &contract.CheckSummary{Problems: 1}
	failing := contract.DestinationTraffic{Attempts: 20, Failed: map[string]int64{"dns": 4, "tls": 6}}
	loud := []contract.SourceTraffic{{Source: "acme", Received: 20, Refused: map[string]int64{"no_match": 4}, LastAccepted: now.Add(-31 * time.Minute), UsualGap: 10 * time.Minute,
		Destinations: attempts(failing, failing)}}
	ending := []certificate{{"public", "web-1", clock.At(now.Add(time.Hour - time.Second))}, {"public", "web-2", clock.At(now.Add(-time.Second))}}
	var found []string
	by := map[key]finding{}
	for _, f := range thresholds.findings(observed{now, beyond, loud, ending}) {
		found, by[f.key()] = append(found, f.condition+" "+f.subject), f
		require.NotEmpty(t, f.summary)
	}
	require.Equal(t, []string{"books ", "certificate_expires public web-1", "certificate_expires public web-2", "dead_letters exhausted", "destination_down acme/1",
		"destination_failing acme/2", "jobs_overdue process", "outbox_behind ", "partitions_end audit_entries", "quarantine acme", "seals_behind ", "source_silent acme",
		"spool_parked ", "spool_waiting ", "webhooks_refused acme no_match"}, found, "a destination that is down is not told of twice")
	require.Equal(t, "50 % of 20 attempts at acme/2 failed in the last ten minutes, most of them for tls.", by[key{DestinationFailing, "acme/2"}].summary)
	require.Contains(t, by[key{CertificateExpires, "public web-2"}].summary, "has expired")
	for _, c := range conditions {
		require.True(t, slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, c.name+" ") }), c.name)
		_, configured := thresholds[c.name]
		require.Equal(t, c.unit != "", configured, c.name)
	}
}
