package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// records returns a seeded database file, and a function that runs statements on it.
func records(t *testing.T) (*database.DB, func(query string, args ...any)) {
	t.Helper()
	setup(t, "DATABASE_URL", "sqlite://records/gateway.db", "LOG_LEVEL", "error")
	for _, line := range []string{"migrate up", "seed"} {
		code, _, stderr := runLine(t, line)
		require.Zero(t, code, stderr)
	}
	db, err := database.Open(database.Config{URL: "sqlite://records/gateway.db"}, clock.System)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db, func(query string, args ...any) {
		t.Helper()
		require.NoError(t, db.InTx(context.Background(), func(tx *database.Tx) error {
			_, err := tx.Exec(context.Background(), query, args...)
			return err
		}))
	}
}

func TestVerify(t *testing.T) {
	db, exec := records(t)
	code, stdout, stderr := runLine(t, "verify --grace 0s")
	require.Zero(t, code, stdout+stderr)
	require.Contains(t, stdout, "The consistency check passed.")
	require.NotContains(t, stdout, "QUEUES", "without a broker")

	var eventID string
	require.NoError(t, db.Get(context.Background(), &eventID, `SELECT id FROM normalized_events WHERE external_event_id = 'evt_example_failed'`))
	exec(`UPDATE event_states SET status = 'processed' WHERE event_id = $1`, eventID)
	code, stdout, stderr = runLine(t, "verify --limit 1")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "wrong_status: 1\n  source acme, event "+eventID+": processed, but its jobs imply failed\n")
	require.Contains(t, stderr, "gateway: the consistency check failed: 1 problem\n")

	code, stdout, _ = runLine(t, "verify --json")
	require.Equal(t, exitFailed, code)
	var report struct {
		Holds  bool
		Checks map[string]struct {
			Found    int
			Problems []struct{ EventID string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &report), stdout)
	require.False(t, report.Holds)
	require.Equal(t, eventID, report.Checks["wrong_status"].Problems[0].EventID)

	code, stdout, stderr = runLine(t, "verify --repair")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "The consistency check passed after 1 repair.")
	code, _, _ = runLine(t, "verify --grace 0s")
	require.Zero(t, code)
	var actor string
	require.NoError(t, db.Get(context.Background(), &actor, `SELECT actor FROM audit_entries WHERE action = 'books.repaired' AND entity_id = $1`, eventID))
	require.Equal(t, "gateway-cli", actor)
}

func TestDeadLetters(t *testing.T) {
	db, exec := records(t)
	var event struct {
		ID          string `db:"id"`
		Destination string `db:"destination_id"`
		Job         string `db:"job_id"`
	}
	require.NoError(t, db.Get(context.Background(), &event, `SELECT e.id, j.destination_id, j.id AS job_id FROM normalized_events e
		JOIN processing_jobs j ON j.normalized_event_id = e.id WHERE e.external_event_id = 'evt_example_failed' ORDER BY j.id DESC LIMIT 1`))
	refused, unreadable := id.New(), id.New()
	exec(`DELETE FROM dead_letters`)
	exec(`INSERT INTO dead_letters (id, kind, queue, event_id, destination_id, job_id, source, provider, event_type, reason, attempts, status, created_at)
		VALUES ($1, 'refused', 'q', $2, $3, $4, 'acme', 'acme', 'order.cancelled', $5, 2, 'open', $6)`,
		refused, event.ID, event.Destination, event.Job, "gone\x1b[2J", clock.System())
	exec(`INSERT INTO dead_letters (id, kind, queue, reason, body, attempts, status, created_at) VALUES ($1, 'unreadable', 'q', 'not-ours', $2, 0, 'open', $3)`,
		unreadable, []byte("{\x1b]"), clock.System())
	for _, step := range []struct {
		sentence, line string
		code           int
		says           string
	}{
		{"all are listed", "dead-letters list", 0, "2 of 2"},
		{"by filter", "dead-letters list --kind refused --status open --source acme --provider acme --event-type order.cancelled --event-id " + event.ID, 0, "1 of 1"},
		{"by page", "dead-letters list --limit 1", 0, "1 of 2"},
		{"by time", "dead-letters list --to 2001-01-01T00:00:00Z", 0, "No dead letter matches."},
		{"as JSON", "dead-letters list --json --kind refused", 0, `"eventId": "` + event.ID + `"`},
		{"one is shown", "dead-letters show " + strings.ToUpper(refused), 0, "event type      order.cancelled"},
		{"a message is quoted", "dead-letters show " + unreadable, 0, `body            "{\x1b]"`},
		{"as JSON in base64", "dead-letters show --json " + unreadable, 0, `"body": "extd"`},
		{"none is shown", "dead-letters show " + id.New(), exitNotFound, "There is no dead letter"},
		{"a dry run counts", "dead-letters requeue --all --dry-run", 0, "2 would be requeued"},
		{"a dry run of closing counts", "dead-letters resolve --error not-ours --dry-run", 0, "1 would be closed"},
		{"closing many asks", "dead-letters resolve --all --reason closed-shop", exitUsage, "2 open dead letters will be closed for good; nothing is sent.\ngateway: not a terminal"},
		{"a message needs a broker", "dead-letters requeue " + unreadable, exitUnavailable, "set RABBITMQ_URL, or use the running gateway's API"},
		{"in bulk", "dead-letters requeue --kind refused --requested-by ada --reason 'x'", exitUsage, "reason must be text of 5 to 500"},
		{"in bulk", "dead-letters requeue --kind refused --requested-by ada", 0, "requeued 1 of 1; 0 cannot be requeued"},
		{"not twice", "dead-letters requeue " + refused, exitRefused, "is already requeued"},
		{"none is left of that kind", "dead-letters requeue --kind refused --json", exitFailed, `"matched": 0`},
		{"closing by error", "dead-letters resolve --error not-ours --reason sent-by-hand --yes", 0, "closed 1 of 1\n"},
		{"closing none", "dead-letters resolve --kind unreadable --reason sent-by-hand --json", exitFailed, `"resolved": 0`},
	} {
		code, stdout, stderr := runLine(t, step.line)
		require.Equal(t, step.code, code, "%s: %s%s", step.line, stdout, stderr)
		require.Contains(t, stdout+stderr, step.says, step.line)
		require.NotContains(t, stdout, "\x1b", "foreign text does not control the terminal")
	}
	var trail struct{ Actor, Details string }
	require.NoError(t, db.Get(context.Background(), &trail, `SELECT actor, details FROM audit_entries WHERE action = 'dead_letter.requeued' AND entity_id = $1`, refused))
	require.Equal(t, "gateway-cli", trail.Actor)
	require.Contains(t, trail.Details, `"requestedBy":"ada"`)
	var status string
	require.NoError(t, db.Get(context.Background(), &status, `SELECT status FROM replay_requests WHERE normalized_event_id = $1`, event.ID))
	require.Equal(t, "queued", status, "a worker takes it")
}

// Requeues of more than a thousand stopped after the first thousand if there was a limit, and said
// that there had been more than there were.
func TestDeadLettersGoByTheThousand(t *testing.T) {
	for _, c := range []struct {
		line    string
		parts   []string
		limits  []int
		code    int
		says    string
		command string
	}{
		{"requeue --all", []string{`{"matched":2500,"requeued":1000,"failed":0,"skipped":0}`, `{"matched":1500,"requeued":1000,"failed":0,"skipped":0}`, `{"matched":500,"requeued":498,"failed":0,"skipped":2}`},
			[]int{1000, 1000, 1000}, 0, "requeued 2498 of 2500; 0 cannot be requeued; 2 were requeued, closed or removed meanwhile\n", "requeue"},
		{"requeue --all --limit 1500", []string{`{"matched":2500,"requeued":1000,"failed":0,"skipped":0}`, `{"matched":1500,"requeued":500,"failed":0,"skipped":0}`}, []int{1000, 500}, 0, "requeued 1500 of 2500", "requeue"},
		{"requeue --all", []string{`{"matched":2000,"requeued":990,"failed":10,"skipped":0}`}, []int{1000}, exitFailed, "10 of 2000 cannot be requeued", "requeue"},
		{"resolve --all --yes --reason closed-shop", []string{`{"matched":1001,"resolved":1000,"skipped":0}`, `{"matched":1,"resolved":0,"skipped":1}`}, []int{1000, 1000}, 0, "closed 1000 of 1001; 1 were", "resolve"},
		{"resolve --all --yes --reason closed-shop", []string{`{"matched":1,"resolved":0,"skipped":1}`}, []int{1000}, exitFailed, "all were requeued, closed or removed meanwhile", "resolve"},
	} {
		var answers []string
		for _, part := range c.parts {
			answers = append(answers, `{"data":`+part+`}`)
		}
		route := "POST /dead-letters/" + c.command
		f := fakeGateway(t, map[string][]string{route: answers})
		code, stdout, stderr := runLine(t, "dead-letters "+c.line)
		require.Equal(t, c.code, code, "%s: %s%s", c.line, stdout, stderr)
		require.Contains(t, stdout+stderr, c.says, c.line)
		var limits []int
		for _, body := range f.bodies[route] {
			var sent struct{ Limit int }
			require.NoError(t, json.Unmarshal([]byte(body), &sent))
			limits = append(limits, sent.Limit)
		}
		require.Equal(t, c.limits, limits, c.line)
	}
}

func TestAMappingIsTriedOnAStoredEvent(t *testing.T) {
	db, _ := records(t)
	var eventID string
	require.NoError(t, db.Get(context.Background(), &eventID, `SELECT id FROM normalized_events WHERE external_event_id = 'evt_example_failed'`))
	same := runOK(t, "events mapping evt_example_failed")
	require.Regexp(t, `eventType +order\.cancelled\n`, same)
	require.Contains(t, same, "the same event as was stored")
	require.Contains(t, runOK(t, "events mapping --json "+eventID), `"changed": false`)

	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "changed.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	for text, want := range map[string]string{
		"integrations: [{source: globex, provider: globex, options: {}}]": "has no integration with the source of this event, acme",
		"integrations: [{source: acme, provider: acme}]":                  "has no options of acme",
		"integrations: [{source: acme, provider: acme, options: {x: 1}}]": "x",
		"integration: 1": "is not a field",
	} {
		code, stdout, stderr := runLine(t, "events mapping evt_example_failed -f "+file(text))
		require.Equal(t, exitUsage, code, "%s: %s%s", text, stdout, stderr)
		require.Contains(t, stderr, want, text)
	}

	const stored = `"stored":{"externalEventId":"e1","eventType":"order.paid","subject":"Bo","occurredAt":"2026-01-31T12:00:00Z","payload":{}}`
	of := `{"data":{"event":{"source":"shop"}}}`
	changed := file("integrations: [{source: shop, provider: generic, options: {generic: {event: {subject: $.customer.name}}}}]")
	f := fakeGateway(t, map[string][]string{"GET /events/" + eventID + "/status": {`{"data":{}}`}, "GET /events/" + eventID: {of},
		"POST /events/" + eventID + "/mapping": {
			`{"data":{` + stored + `,"mapped":{"externalEventId":"e1","eventType":"order.paid","subject":"Ada","occurredAt":"2026-01-31T12:00:00Z","payload":{"z":12345678901234567890,"a":"<b>"}},"changed":true,"problem":null}}`,
			`{"data":{` + stored + `,"mapped":null,"changed":false,"problem":"no type at $.kind"}}`}})
	shown := runOK(t, "events mapping "+eventID+" -f "+changed)
	require.Regexp(t, `subject +Bo → Ada\n`, shown)
	require.Contains(t, shown, "\"z\": 12345678901234567890,\n    \"a\": \"<b>\"")
	require.JSONEq(t, `{"options":{"generic":{"event":{"subject":"$.customer.name"}}}}`, f.bodies["POST /events/"+eventID+"/mapping"][0])
	code, _, stderr := runLine(t, "events mapping "+eventID+" -f "+changed)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "these options make no event of "+eventID+": no type at $.kind")
}
