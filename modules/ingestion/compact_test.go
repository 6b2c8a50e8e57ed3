package ingestion

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/compact"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

// storedWide reads the wide columns as they are stored, and opens them.
func (g *gateway) storedWide(query string, open func(id string, stored, base []byte) ([]byte, error)) (texts []string) {
	g.t.Helper()
	var rows []struct {
		ID     string `db:"id"`
		Stored []byte `db:"stored"`
		Base   []byte `db:"base"`
	}
	require.NoError(g.t, g.db.Select(g.t.Context(), &rows, query))
	for _, r := range rows {
		text, err := open(r.ID, r.Stored, r.Base)
		require.NoError(g.t, err)
		texts = append(texts, string(text))
	}
	return texts
}

// storedHeaders are the headers of all stored webhooks.
func (g *gateway) storedHeaders() []string {
	g.t.Helper()
	return g.storedWide(`SELECT w.id, w.request_headers AS stored, h.headers AS base FROM webhook_events w LEFT JOIN header_sets h ON h.id = w.header_set_id ORDER BY w.id`,
		func(id string, stored, set []byte) ([]byte, error) { return openHeaders("webhook", id, stored, set) })
}

// storedBodies are the bodies of all stored webhooks.
func (g *gateway) storedBodies() []string {
	g.t.Helper()
	return g.storedWide(`SELECT id, raw_body AS stored, raw_body AS base FROM webhook_events ORDER BY id`,
		func(id string, stored, _ []byte) ([]byte, error) { return openBody("webhook", id, stored) })
}

// storedPayloads are the payloads of all stored events.
func (g *gateway) storedPayloads() []string {
	g.t.Helper()
	return g.storedWide(`SELECT e.id, e.normalized_payload AS stored, w.raw_body AS base FROM normalized_events e LEFT JOIN webhook_events w ON w.id = e.webhook_event_id ORDER BY e.id`,
		openPayload)
}

// TestWhatIsStoredCompactlyComesBackExactly holds for bodies of every size, on both databases.
func TestWhatIsStoredCompactlyComesBackExactly(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable
		for i := range 60 {
			note := make([]byte, random.IntN(1<<(1+i%15)))
			for at := range note {
				note[at] = "abcdefghij é{}[]:,0123456789"[random.IntN(1+random.IntN(28))] & 0x7f
			}
			body := fmt.Sprintf(`{"eventId":"e%d","eventType":"order.created","occurredAt":"2026-01-31T12:00:00Z","data":{"id":"o%d","note":%q}}`, i, i, strings.TrimSpace(strings.Map(func(r rune) rune {
				if r < ' ' {
					return '.'
				}
				return r
			}, string(note))))
			r := request("acme", body)
			r.Header.Set("X-Acme-Signature", sign(body))
			r.Header.Set("User-Agent", fmt.Sprintf("Acme/%d", i/40))
			r.Header.Set("X-Number", fmt.Sprint(i))
			a := g.do(r)
			require.Equal(t, http.StatusAccepted, a.Status)
			if i%5 == 0 {
				require.NoError(t, g.module.flushHeaderSets(t.Context()))
			}
			event := a.receipt(t).EventID
			data := `"data":` + body[strings.Index(body, `"data":`)+len(`"data":`):len(body)-1]
			deliverables, err := g.module.Deliverables(t.Context(), []string{event})
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf(`{"provider":"acme","eventType":"order.created","externalEventId":"e%d","occurredAt":"2026-01-31T12:00:00.000Z","subject":"o%d",%s}`, i, i, data),
				string(deliverables[0].Payload))
			originals, err := g.module.Originals(t.Context(), []string{event})
			require.NoError(t, err)
			require.Equal(t, body, string(originals[0].Body))
			var headers map[string][]string
			require.NoError(t, json.Unmarshal(originals[0].Headers, &headers))
			require.Equal(t, []string{fmt.Sprint(i)}, headers["x-number"])
			require.Equal(t, []string{fmt.Sprintf("Acme/%d", i/40)}, headers["user-agent"])
		}
		var sizes struct {
			Sets    int `db:"sets"`
			Against int `db:"against"`
			Headers int `db:"headers"`
		}
		require.NoError(t, db.Get(t.Context(), &sizes, `SELECT (SELECT count(*) FROM header_sets) AS sets, count(header_set_id) AS against,
			max(CASE WHEN header_set_id IS NULL THEN 0 ELSE length(request_headers) END) AS headers FROM webhook_events`))
		require.Equal(t, 1, sizes.Sets)
		require.Equal(t, 60-learnedFrom, sizes.Against, "all from the first flush after these on")
		require.Less(t, sizes.Headers, 100)
		for _, set := range g.storedWide(`SELECT source AS id, headers AS stored, headers AS base FROM header_sets`, func(_ string, s, _ []byte) ([]byte, error) { return s, nil }) {
			require.NotContains(t, set, sign(""), "nothing of one webhook alone")
			require.Contains(t, set, `"x-number":[""]`)
			require.Contains(t, set, `"user-agent":["Acme/0"]`)
		}
	})
}

// What is damaged is the failure of its own event, and not of those that are read with it.
func TestADamagedPayloadIsAnErrorThatNamesItsEvent(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		body := acmeBody("damaged")
		r := request("acme", body)
		r.Header.Set("X-Acme-Signature", sign(body))
		event := g.do(r).receipt(t).EventID
		g.exec(`UPDATE webhook_events SET raw_body = $1`, []byte(strings.Replace(body, "order", "ORDER", 1)))
		whole := g.do(signed("acme", acmeBody("whole"))).receipt(t).EventID
		deliverables, err := g.module.Deliverables(t.Context(), []string{event, whole})
		require.NoError(t, err)
		require.Len(t, deliverables, 2)
		for _, d := range deliverables {
			if d.EventID == whole {
				require.NoError(t, d.Unreadable)
				require.NotEmpty(t, d.Payload)
				continue
			}
			require.ErrorIs(t, d.Unreadable, compact.ErrDamaged)
			require.ErrorContains(t, d.Unreadable, event)
			require.Empty(t, d.Payload)
		}
	})
}

// TestALostHeaderSetIsStoredAgain: a database that fails over may have lost the set that a process
// names in every webhook.
func TestALostHeaderSetIsStoredAgain(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		send := func(n int) string {
			r := signed("acme", acmeBody(fmt.Sprintf("set-%d", n)))
			r.Header.Set("User-Agent", "Acme/1 of a sender whose headers are always the same")
			return g.do(r).receipt(t).EventID
		}
		for n := range learnedFrom {
			send(n)
		}
		require.NoError(t, g.module.flushHeaderSets(t.Context()))
		event := send(learnedFrom)
		g.exec(`DELETE FROM header_sets`)
		originals, err := g.module.Originals(t.Context(), []string{event})
		require.NoError(t, err)
		require.ErrorIs(t, originals[0].Unreadable, compact.ErrDamaged)
		require.NoError(t, g.module.keepHeaderSets(t.Context()))
		require.NoError(t, g.module.keepHeaderSets(t.Context()), "it is there already")
		originals, err = g.module.Originals(t.Context(), []string{event})
		require.NoError(t, err)
		require.NoError(t, originals[0].Unreadable)
		require.Contains(t, string(originals[0].Headers), "Acme/1 of a sender")
	})
}

func TestValuesThatMayNameAPersonAreInNoSet(t *testing.T) {
	require.True(t, impersonal([]string{"Acme/1", "text/plain"}))
	require.False(t, impersonal([]string{"Acme/1", "Bot (+mailto:ada@example.com)"}))
	require.False(t, impersonal([]string{strings.Repeat("x", maxSharedValue+1)}))
}

// TestWhatOneEventTakes prints what the wide columns of the benchmark's webhooks take.
func TestWhatOneEventTakes(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	g := setup(t, db)
	for i := range 200 {
		body := fmt.Sprintf(`{"eventId":"bench-%08d","eventType":"order.created","occurredAt":"2026-01-05T09:00:00Z","data":{"id":"ord_%08d","total":"19.90","currency":"EUR","note":"`, i, i)
		body += strings.Repeat("x", 341-len(body)-len(`"}}`)) + `"}}`
		require.Equal(t, http.StatusAccepted, g.do(acmeRequest(body)).Status)
		if i == learnedFrom {
			require.NoError(t, g.module.flushHeaderSets(t.Context()))
		}
	}
	var size struct {
		Headers float64 `db:"headers"`
		Body    float64 `db:"body"`
		Payload float64 `db:"payload"`
		Set     float64 `db:"set"`
	}
	require.NoError(t, db.Get(t.Context(), &size, `SELECT avg(pg_column_size(w.request_headers)) AS headers, avg(pg_column_size(w.raw_body)) AS body,
		avg(pg_column_size(e.normalized_payload)) AS payload, avg(pg_column_size(w.header_set_id)) AS set
		FROM normalized_events e JOIN webhook_events w ON w.id = e.webhook_event_id WHERE w.header_set_id IS NOT NULL`))
	t.Logf("bytes: headers %.0f and %.0f of the set's id, body %.0f, payload %.0f", size.Headers, size.Set, size.Body, size.Payload)
	require.LessOrEqual(t, size.Payload, 48.0)
	require.Less(t, size.Headers, 100.0)
	t.Logf("before: headers %d, payload %d", len(g.storedHeaders()[199])+4, len(g.storedPayloads()[199])+4)
}
