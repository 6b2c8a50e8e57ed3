package app

import (
	"compress/gzip"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/integrations"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// What BenchmarkConsole fills: so many events of benchOwners sources with a destination each, one
// webhook, job and attempt an event, over 30 days. One in a hundred was refused by its destination
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
           i %% 100 = 0 AS failed, integration_id, destination_id, source
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
    WHERE  i %% 100 = 1
), refused AS (
    INSERT INTO quarantine (id, source, integration_id, provider, reason, detail, method, url, request_headers, header_digests, raw_body, size, source_ip, correlation_id, received_at)
    SELECT refused_id, source, integration_id, 'acme', 'no_match', 'no secret matches', 'POST', '/api/v1/webhooks/' || source, '{"Content-Type":["application/json"]}', '{}',
           convert_to('{}', 'UTF8'), 2, '127.0.0.1', 'stored-' || i, at
    FROM   e
    WHERE  i %% 200 = 2
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

// benched is a gateway with a console and many events.
type benched struct {
	b      *testing.B
	g      *system
	http   http.Handler
	cookie *http.Cookie
}

func newBenched(b *testing.B, events int) *benched {
	b.Helper()
	address := testkit.Postgres(b)
	db := testkit.Open(b, address)
	pool, err := sql.Open("postgres", address) // without the bounds that the program's own statements have
	require.NoError(b, err)
	defer func() { _ = pool.Close() }()
	g, err := wire(devConfig(b), &stores{db: db, broker: broker.NewMemory(clock.System, nil), cache: cache.NewMemory(0, clock.System)}, quiet)
	require.NoError(b, err)
	ctx := httpapi.WithActor(context.Background(), httpapi.ManagementActor)
	require.NoError(b, db.InTx(ctx, func(tx *database.Tx) error {
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
	exec := func(statement string) {
		ctx, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		_, err := pool.ExecContext(ctx, statement)
		require.NoError(b, err)
	}
	for from := 1; from <= events; from += fillAtOnce {
		exec(fmt.Sprintf(fillConsoleSQL, from, min(from+fillAtOnce-1, events), events, benchOwners))
	}
	exec("VACUUM (ANALYZE)")
	s := &benched{b: b, g: g, http: g.manager.Handler()}
	res := s.request(http.MethodPost, "/console/sign-in", url.Values{"key": {config.DemoKey}})
	require.Equal(b, http.StatusSeeOther, res.Code)
	s.cookie = res.Result().Cookies()[0] //nolint:bodyclose // it is in memory
	return s
}

func (s *benched) request(method, path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:3000"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Accept-Encoding", "gzip")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://localhost:3000")
	}
	if s.cookie != nil {
		r.AddCookie(s.cookie)
	}
	w := httptest.NewRecorder()
	s.http.ServeHTTP(w, r)
	return w
}

// text reads a page.
func (s *benched) text(w *httptest.ResponseRecorder) string {
	s.b.Helper()
	in, err := gzip.NewReader(w.Body)
	require.NoError(s.b, err)
	text, err := io.ReadAll(in)
	require.NoError(s.b, err)
	return string(text)
}

// one returns an id of a column.
func (s *benched) one(query string) string {
	s.b.Helper()
	var found string
	require.NoError(s.b, s.g.db.Get(s.b.Context(), &found, query))
	return found
}

// pages are all pages by their names.
func (s *benched) pages() []struct{ name, path string } {
	const ofMiddle = ` ORDER BY id OFFSET 100 LIMIT 1`
	event := "/console/events/" + s.one(`SELECT normalized_event_id FROM delivery_attempts WHERE status = 'failed' ORDER BY id LIMIT 1 OFFSET 100`)
	integration := s.one(`SELECT id FROM integrations ORDER BY source LIMIT 1`)
	next := regexp.MustCompile(`rel="next" href="([^"]+)"`).FindStringSubmatch(s.text(s.request(http.MethodGet, "/console/events", nil)))
	require.NotNil(s.b, next)
	return []struct{ name, path string }{
		{"sign-in", "/console/sign-in"},
		{"overview", "/console"},
		{"overview, 7 days", "/console?span=7d"},
		{"events", "/console/events"},
		{"events, second page", strings.ReplaceAll(next[1], "&amp;", "&")},
		{"events, failed", "/console/events?status=failed"},
		{"events of a source", "/console/events?source=source-07"},
		{"events of a type, two hours", "/console/events?type=order.7&since=2h"},
		{"events, one subject", "/console/events?subject=ord_5000"},
		{"events, none", "/console/events?type=none.such"},
		{"an id in the search box", "/console/search?q=stored-5000"},
		{"event", event},
		{"event, answers", event + "?tab=answers"},
		{"event, jobs", event + "?tab=jobs"},
		{"event, audit", event + "?tab=audit"},
		{"event, related", event + "?tab=related"},
		{"event, diff", event + "?tab=diff"},
		{"dead letters", "/console/dead-letters"},
		{"quarantine", "/console/quarantine"},
		{"quarantined", "/console/quarantine/" + s.one(`SELECT id FROM quarantine`+strings.Replace(ofMiddle, "100", "10", 1))},
		{"destinations", "/console/destinations"},
		{"destination", "/console/destinations/" + s.one(`SELECT id FROM destinations WHERE integration_id = '`+integration+`' LIMIT 1`)},
		{"replays", "/console/replays"},
		{"new replay", "/console/replays/new?source=source-07&since=2h"},
		{"integrations", "/console/integrations"},
		{"integration", "/console/integrations/" + integration},
		{"new integration", "/console/integrations/new"},
		{"alerts", "/console/alerts"},
		{"audit", "/console/audit"},
		{"audit of an action", "/console/audit?action=integration.created"},
		{"keys", "/console/keys"},
		{"system", "/console/system"},
	}
}

// BenchmarkConsole measures every page on PostgreSQL: from the request to the whole answer in this
// process, bytes as a browser without a cache gets them packed (the page, its style sheet and its
// scripts), and the number of these requests. Every visit is one iteration of a page's benchmark.
//
//	BENCH_CONSOLE=10000000 go test ./platform/app -run '^$' -bench Console -benchtime 40x -timeout 3h
func BenchmarkConsole(b *testing.B) {
	s := newBenched(b, benchEvents(b))
	for _, page := range s.pages() {
		b.Run(page.name, func(b *testing.B) {
			first := s.request(http.MethodGet, page.path, nil)
			require.Contains(b, []int{http.StatusOK, http.StatusSeeOther}, first.Code, page.path)
			alone, all, requests := first.Body.Len(), first.Body.Len(), 1
			if first.Code == http.StatusOK {
				for _, asset := range regexp.MustCompile(`(?:href|src)="(/console/assets/[^"]+)"`).FindAllStringSubmatch(s.text(first), -1) {
					all, requests = all+s.request(http.MethodGet, asset[1], nil).Body.Len(), requests+1
				}
			}
			took := make([]time.Duration, 0, 64)
			for b.Loop() {
				at := clock.Monotonic()
				s.request(http.MethodGet, page.path, nil)
				took = append(took, clock.Monotonic()-at)
			}
			slices.Sort(took)
			millis := func(percent int) float64 { return float64(took[(len(took)-1)*percent/100].Microseconds()) / 1000 }
			b.ReportMetric(millis(50), "p50-ms")
			b.ReportMetric(millis(95), "p95-ms")
			b.ReportMetric(float64(alone)/1000, "page-kB")
			b.ReportMetric(float64(all)/1000, "all-kB")
			b.ReportMetric(float64(requests), "requests")
			require.Less(b, all, 60_000, "a page and what it loads is below 60 kB")
		})
	}
}
