package delivery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// manySQL are 40,000 attempts and as many dead letters, one a second. The first 40 of each are
// unlike all others.
const manySQL = `
WITH n AS (
    SELECT i, i < 40 AS rare, timestamptz '2026-03-01 12:00:00Z' + i * interval '1 second' AS at,
           ('0195' || lpad(to_hex(i), 8, '0') || '70008000000000000000')::uuid AS id,
           ('0195000000007000800000000000000' || CASE WHEN i < 40 THEN '1' ELSE '2' END)::uuid AS destination
    FROM   generate_series(0, 39999) AS i
), attempts AS (
    INSERT INTO delivery_attempts (id, normalized_event_id, destination_id, job_id, attempt_no, status, error_kind, duration_ms, created_at)
    SELECT id, id, destination, id, 1, CASE WHEN i % 2 = 0 THEN 'failed' ELSE 'success' END,
           CASE WHEN i % 2 = 1 THEN NULL WHEN rare THEN 'egress_refused:private' ELSE 'timeout' END, 7, at
    FROM   n
)
INSERT INTO dead_letters (id, kind, queue, event_id, destination_id, source, provider, event_type, reason, attempts, status, created_at)
SELECT id, CASE WHEN rare THEN 'refused' ELSE 'exhausted' END, 'process', id, destination, CASE WHEN rare THEN 'globex' ELSE 'acme' END,
       CASE WHEN rare THEN 'globex' ELSE 'acme' END, CASE WHEN rare THEN 'order.lost' ELSE 'order.paid' END, 'HTTP 500', 3,
       CASE WHEN rare THEN 'resolved' ELSE 'open' END, at
FROM   n`

// TestListsOfDeliveriesReadLittle holds that a page of any documented filter reads the rows that
// it shows, and few others, wherever they lie.
func TestListsOfDeliveriesReadLittle(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.Postgres(t)), Config{})
	h.exec(manySQL)
	h.exec("ANALYZE delivery_attempts")
	h.exec("ANALYZE dead_letters")
	const rare, common = "01950000-0000-7000-8000-000000000001", "01950000-0000-7000-8000-000000000002"
	page := database.Page{Number: 1, Size: 20}
	for _, query := range []string{
		"", "status=failed", "status=success", "errorKind=timeout", "errorKind=egress_refused", "errorKind=dns",
		"eventId=01950000-0007-7000-8000-000000000000", "destinationId=" + rare, "destinationId=" + common,
		"createdFrom=2026-03-01T23:06:00Z", "createdFrom=2026-03-01T23:06:00Z&status=failed",
	} {
		q, err := httpapi.ParseQuery(query, deliveriesSpec)
		require.NoError(t, err)
		statement, args, err := newestAttempts.Statement(attemptFilter(q), page)
		require.NoError(t, err)
		read, plan := testkit.RowsRead(t, h.db, statement, args...)
		require.LessOrEqual(t, read, 100, "%s\n%s\n%s", query, statement, plan)
	}
	for _, query := range []string{
		"", "kind=refused", "kind=exhausted", "kind=unreadable", "status=resolved", "status=open", "source=globex", "source=acme",
		"provider=globex", "provider=github", "eventType=order.lost", "eventType=order.paid", "destinationId=" + rare, "destinationId=" + common,
		"eventId=01950000-0007-7000-8000-000000000000", "to=2026-03-01T12:01:00Z", "from=2026-03-01T23:06:00Z",
	} {
		f, wrong := ParseDeadLetterFilter(func(name string) string {
			value, _ := strings.CutPrefix(query, name+"=")
			if value == query {
				return ""
			}
			return value
		})
		require.Empty(t, wrong, query)
		statement, args, err := newestDead.Statement(f.conditions(t.Context()), page)
		require.NoError(t, err)
		read, plan := testkit.RowsRead(t, h.db, statement, args...)
		require.LessOrEqual(t, read, 100, "%s\n%s\n%s", query, statement, plan)
	}
}

const manyPublishedSQL = `
INSERT INTO processing_jobs (id, normalized_event_id, destination_id, triggered_by, status, attempt_no, budget_start, parked,
       published_at, scheduled_at, created_at)
SELECT n.id, n.id, CASE WHEN i % 10000 = 9999 THEN NULL ELSE n.id END, 'webhook', 'queued', 1, 0, false, at, at, at
FROM   (SELECT i, timestamptz '2026-03-01 12:00:00Z' + i * interval '1 second' AS at,
               ('0195' || lpad(to_hex(i), 8, '0') || '70008000000000000000')::uuid AS id
        FROM   generate_series(0, 39999) AS i) n`

// TestABacklogIsNotReadAsAWhole holds that what looks for published jobs reads those that it takes,
// and few others, however many wait. Four times a second such a look read all for replays.
func TestABacklogIsNotReadAsAWhole(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.Postgres(t)), Config{})
	h.exec(manyPublishedSQL)
	h.exec("ANALYZE processing_jobs")
	now := h.now()
	for _, queue := range []broker.Queue{broker.Process, broker.Replay} {
		read, plan := testkit.RowsRead(t, h.db, fmt.Sprintf(selectStuckSQL, inQueueSQL[queue]), now, bypassBatch)
		require.LessOrEqual(t, read, 2*bypassBatch, "%s: %s", queue, plan)
		if queue == broker.Replay { // an index of the others would be read to its end
			require.Contains(t, plan, "_published_at_idx1", "the partition's part of processing_jobs_published_replay")
		}
	}
	first, last := tokensOf(id.New())
	for what, read := range map[string]func() (int, string){
		"the sweep": func() (int, string) {
			return testkit.RowsRead(t, h.db, fmt.Sprintf(selectWokenSQL, h.db.Dialect.LeaseNow), now, relayAtOnce)
		},
		"a reclaim": func() (int, string) { return testkit.RowsRead(t, h.db, selectClaimedSQL, first, last) },
		"a start":   func() (int, string) { return testkit.RowsRead(t, h.db, selectRunningSQL) },
		"the relay": func() (int, string) {
			return testkit.RowsRead(t, h.db, fmt.Sprintf(selectDueSQL, ""), now, relayAtOnce)
		},
	} {
		n, plan := read()
		require.Zero(t, n, "%s: %s", what, plan)
	}
	for _, queue := range []broker.Queue{broker.Process, broker.Replay, broker.Delayed} {
		since := time.Unix(0, 0)
		if queue == broker.Delayed {
			since = now.Add(-2 * broker.MaxDelay)
		}
		for range 3 { // batches, of which none reads what the one before it took
			read, plan := testkit.RowsRead(t, h.db, fmt.Sprintf(selectPublishedSQL, inQueueSQL[queue], ""), now, since, relayAtOnce)
			require.LessOrEqual(t, read, 2*relayAtOnce, "%s: %s", queue, plan)
			h.exec(fmt.Sprintf(republishAllSQL, inQueueSQL[queue], h.db.Dialect.SkipLocked), now, since, relayAtOnce)
		}
	}
}
