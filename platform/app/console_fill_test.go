package app

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/integrations"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

// What BenchmarkConsole fills: so many events of benchOwners sources with a destination each, one
// webhook, job and attempt an event, over 30 days. About one in a hundred was refused by its destination
// and is an open dead letter, one in two hundred was refused by the gateway and is in quarantine,
// one in a hundred was replayed. BENCH_CONSOLE=10000000 is what docs/console.md shows; without it
// the tables are small, and the benchmark shows that it works.
const (
	benchOwners = 20
	benchFew    = 20_000
	fillAtOnce  = 200_000
)

func benchEvents(tb testing.TB) int {
	tb.Helper()
	text := os.Getenv("BENCH_CONSOLE")
	if text == "" {
		return benchFew
	}
	n, err := strconv.Atoi(text)
	require.NoError(tb, err, "BENCH_CONSOLE is a number of events")
	return n
}

// fillConsoleSQL writes the rows of events number $1 to $2 of $3. An id is a UUIDv7 with its
// number's time.
const fillConsoleSQL = `
WITH n AS (
    SELECT i, at, lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(i %% 4096), 3, '0') || '8' AS head,
           lpad(to_hex(i), 12, '0') AS tail
    FROM   generate_series(%[1]d, %[2]d) AS i, LATERAL (SELECT now() - interval '30 days' + i * interval '30 days' / %[3]d AS at) AS t
), owners AS (
    SELECT g.id AS integration_id, g.source, d.id AS destination_id, row_number() OVER (ORDER BY g.source) - 1 AS place
    FROM   integrations g JOIN destinations d ON d.integration_id = g.id
), e AS MATERIALIZED (
    SELECT i, at, (head || '001' || tail)::uuid AS webhook_id, (head || '002' || tail)::uuid AS event_id,
           (head || '003' || tail)::uuid AS job_id, (head || '004' || tail)::uuid AS attempt_id, (head || '005' || tail)::uuid AS refused_id, head, tail,
           i %% 101 = 0 AS failed, integration_id, destination_id, source
    FROM   n JOIN owners ON place = i %% %[4]d
), webhooks AS (
    INSERT INTO webhook_events (id, request_headers, raw_body, source_ip)
    SELECT webhook_id, '{"content-type":["application/json"]}',
           convert_to(rpad('{"eventId":"stored-' || i || '","note":"', 338, 'x') || '"}', 'UTF8'), '127.0.0.1'
    FROM   e
), keys AS (
    INSERT INTO idempotency_keys (idempotency_key, event_id)
    SELECT source || ':stored-' || i, event_id FROM e
), events AS (
    INSERT INTO normalized_events (id, webhook_event_id, integration_id, source, provider, external_event_id, event_type, subject,
           occurred_at, normalized_payload, correlation_id, received_at, created_at)
    SELECT event_id, webhook_id, integration_id, source, 'acme', 'stored-' || i, 'order.' || i %% 20, 'ord_' || i, at,
           convert_to(rpad('{"externalEventId":"stored-' || i || '","note":"', 298, 'x') || '"}', 'UTF8'), 'stored-' || i, at, at
    FROM   e
), states AS (
    INSERT INTO event_states (event_id, status, processing_attempts, last_processed_at, received_at, updated_at)
    SELECT event_id, CASE WHEN failed THEN 'failed' ELSE 'processed' END, 1, at, at, at FROM e
), jobs AS (
    INSERT INTO processing_jobs (id, normalized_event_id, destination_id, triggered_by, status, attempt_no, budget_start, parked,
           started_at, completed_at, created_at)
    SELECT job_id, event_id, destination_id, 'webhook', CASE WHEN failed THEN 'failed' ELSE 'succeeded' END, 1, 0, false, at, at, at
    FROM   e
), attempts AS (
    INSERT INTO delivery_attempts (id, normalized_event_id, destination_id, job_id, attempt_no, status, http_status,
           response_body, duration_ms, created_at, error_kind, error_message)
    SELECT attempt_id, event_id, destination_id, job_id, 1, CASE WHEN failed THEN 'failed' ELSE 'success' END,
           CASE WHEN failed THEN 500 ELSE 200 END, '{"stored":true}', 12, at, CASE WHEN failed THEN 'http_status' END, CASE WHEN failed THEN 'HTTP 500' END
    FROM   e
), dead AS (
    INSERT INTO dead_letters (id, kind, queue, event_id, destination_id, job_id, source, provider, event_type, reason, attempts, status, created_at)
    SELECT job_id, 'exhausted', 'ig.events.process', event_id, destination_id, job_id, source, 'acme', 'order.' || i %% 20, 'HTTP 500', 3, 'open', at
    FROM   e
    WHERE  failed
), replayed AS (
    INSERT INTO replay_requests (id, normalized_event_id, integration_id, only_failed, requested_by, reason, actor, status, created_at)
    SELECT job_id, event_id, integration_id, false, 'bench', 'stored', 'bench', 'completed', at
    FROM   e
    WHERE  i %% 103 = 1
), refused AS (
    INSERT INTO quarantine (id, source, integration_id, provider, reason, detail, method, url, request_headers, header_digests, raw_body, size, source_ip, correlation_id, received_at)
    SELECT refused_id, source, integration_id, 'acme', 'no_match', 'no secret matches', 'POST', '/api/v1/webhooks/' || source, '{"Content-Type":["application/json"]}', '{}',
           convert_to('{}', 'UTF8'), 2, '127.0.0.1', 'stored-' || i, at
    FROM   e
    WHERE  i %% 199 = 2
)
INSERT INTO audit_groups (id, received, normalized, queued, processed, entities, created_at, entries)
SELECT (min(head) || CASE WHEN outcome THEN '006' ELSE '005' END || left(min(tail), 8) || '0000')::uuid,
       count(*) FILTER (WHERE k = 1), count(*) FILTER (WHERE k = 2), count(*) FILTER (WHERE k = 3), count(*) FILTER (WHERE k = 4),
       decode(string_agg(right(replace(entity_id::text, '-', ''), 8), '' ORDER BY i, k) FILTER (WHERE k <> 3), 'hex'), max(at),
       '[' || string_agg('["' || action || '","' || entity_id || '",' || rpad('{"correlationId":"stored-' || i || '","note":"', 198, 'x') || '"}]',
                         ',' ORDER BY i, k) || ']'
FROM   (SELECT i, at, head, tail, k, action, k = 4 AS outcome, CASE k WHEN 1 THEN webhook_id ELSE event_id END AS entity_id
        FROM   e, (VALUES (1, 'webhook.received'), (2, 'event.normalized'), (3, 'event.queued'), (4, 'event.processed')) AS a (k, action)) AS x
GROUP  BY outcome, i / 25`

// fillConsole fills the database, if it has no events, with so many, and with figures of now.
func fillConsole(b *testing.B, g *system, address string, events int) {
	b.Helper()
	pool, err := sql.Open("postgres", address) // without the bounds that the program's own statements have
	require.NoError(b, err)
	defer func() { _ = pool.Close() }()
	ctx := httpapi.WithActor(context.Background(), httpapi.ManagementActor)
	exec := func(statement string) {
		ctx, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		_, err := pool.ExecContext(ctx, statement)
		require.NoError(b, err)
	}
	var filled bool
	require.NoError(b, pool.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM normalized_events)`).Scan(&filled))
	if !filled {
		require.NoError(b, g.db.InTx(ctx, func(tx *database.Tx) error {
			for i := range benchOwners {
				to := fmt.Sprintf("http://127.0.0.1:9/%d", i)
				_, err := g.integrations.CreateIntegration(ctx, tx, integrations.IntegrationConfig{Source: fmt.Sprintf("source-%02d", i), Provider: "acme",
					Secrets: []integrations.SecretConfig{{Value: secret.New("a-long-secret")}}, Destinations: []contract.DestinationConfig{{URL: &to}}})
				if err != nil {
					return err
				}
			}
			return nil
		}))
		for from := 1; from <= events; from += fillAtOnce {
			exec(fmt.Sprintf(fillConsoleSQL, from, min(from+fillAtOnce-1, events), events, benchOwners))
		}
	}
	exec(`TRUNCATE figures_minutes, figures_hours, figures_merge`)
	countEvents(b, g, events)
	for _, statement := range fillFiguresSQL {
		exec(fmt.Sprintf(statement, min(30, max(2, 3*events/1_000_000))))
	}
	exec("VACUUM (ANALYZE)")
}

// countEvents has the figures count what one of two processes counts in an average minute, and
// what both do in an hour, in the last two minutes.
func countEvents(b *testing.B, g *system, events int) {
	b.Helper()
	var of []struct {
		Source      string `db:"source"`
		Destination string `db:"id"`
	}
	require.NoError(b, g.db.Select(b.Context(), &of, `SELECT source, d.id FROM integrations i JOIN destinations d ON d.integration_id = i.id`))
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	minute := g.db.Now().Truncate(time.Minute)
	for _, each := range of {
		for i, perHour := range []int{60, 1} {
			ago := time.Duration(i+1) * time.Minute
			for range max(1, events/(benchOwners*2*30*24*perHour)) {
				took := time.Duration(random.ExpFloat64() * float64(40*time.Millisecond))
				g.figures.Received(each.Source, "accepted", minute.Add(-ago), 0)
				attempt := contract.CountedAttempt{Source: each.Source, DestinationID: each.Destination, At: minute.Add(-ago), Took: took, EndToEnd: 3 * took}
				switch random.IntN(50) {
				case 0:
					attempt.ErrorKind = "http_status"
				case 1:
					g.figures.Refused(each.Source, "no_match", minute.Add(-ago))
				}
				g.figures.Attempted(attempt)
			}
		}
	}
	ended, end := context.WithCancel(b.Context())
	end()
	require.NoError(b, g.figures.Run(ended), "what is left is stored")
}

// fillFiguresSQL repeats the counts of a minute and of an hour for the days before: of two
// processes that receive and two that deliver, as ten million events of 30 days leave them.
var fillFiguresSQL = []string{`
INSERT INTO figures_minutes (at, source, destination_id, process_id, merged, counts)
SELECT last.at - i * interval '1 minute', source, destination_id, process, last.at - i * interval '1 minute' < date_trunc('hour', now()), counts
FROM   figures_minutes f JOIN (SELECT max(at) AS at FROM figures_minutes) AS last USING (at),
       generate_series(2, %d * 24 * 60) AS i, unnest(ARRAY[gen_random_uuid(), gen_random_uuid()]) AS process`, `
INSERT INTO figures_hours (at, source, destination_id, counts)
SELECT date_trunc('hour', now()) - i * interval '1 hour', source, destination_id, counts
FROM   figures_minutes f JOIN (SELECT max(at) AS at FROM figures_minutes) AS last ON f.at = last.at - interval '1 minute',
       generate_series(1, 13 * %d * 24) AS i`, `
INSERT INTO figures_merge (id, merged_until)
SELECT 1, date_trunc('hour', now()) WHERE %d > 0`, `
DELETE FROM figures_minutes WHERE at = (SELECT max(at) - interval '1 minute' FROM figures_minutes) AND %d > 0`}
