package ingestion

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/testkit"
)

// manyEventsSQL are 40,000 events, one a second. The first 40 are unlike all others: they are
// what a list that reads along its order comes to last.
const manyEventsSQL = `
WITH n AS (
    SELECT i, i < 40 AS rare, timestamptz '2026-03-01 12:00:00Z' + i * interval '1 second' AS at,
           ('0195' || lpad(to_hex(i), 8, '0') || '70008000000000000000')::uuid AS id
    FROM   generate_series(0, 39999) AS i
), events AS (
    INSERT INTO normalized_events (id, webhook_event_id, integration_id, source, provider, external_event_id, event_type, subject,
           occurred_at, normalized_payload, correlation_id, received_at, created_at)
    SELECT n.id, n.id, i.id, i.source, i.source, 'external-' || n.i, CASE WHEN rare THEN 'order.lost' ELSE 'order.paid' END,
           CASE WHEN rare THEN 'Ada''s parcel ' ELSE 'parcel ' END || n.i, at, '{}', 'correlation-' || n.i, at, at
    FROM   n JOIN (VALUES ($1::uuid, 'acme'), ($2::uuid, 'globex')) AS i (id, source) ON i.source = CASE WHEN rare THEN 'globex' ELSE 'acme' END
)
INSERT INTO event_states (event_id, status, processing_attempts, received_at, updated_at)
SELECT id, CASE WHEN rare THEN 'failed' ELSE 'processed' END, 1, at, at FROM n`

// TestListsOfEventsReadLittle holds that a page of any documented filter or order reads the rows
// that it shows, and few others, wherever they lie.
func TestListsOfEventsReadLittle(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	g := setup(t, db)
	g.exec(manyEventsSQL, g.acme, g.globex)
	for _, table := range []string{"normalized_events", "event_states"} {
		g.exec("ANALYZE " + table)
	}
	early, late := "2026-03-01T12:01:00Z", "2026-03-01T23:06:00Z"
	for _, query := range []string{
		"", "sortOrder=asc", "sortBy=createdAt", "sortBy=occurredAt", "sortBy=status", "sortBy=status&sortOrder=asc", "sortBy=status&page=100",
		"source=globex", "source=acme", "provider=globex", "provider=acme", "provider=github", "eventType=order.lost", "eventType=order.paid",
		"externalEventId=external-7", "correlationId=correlation-7", "subject=parcel", "subject=ada%27s+PARCEL", "subject=nobody", "exactSubject=parcel+77", "exactSubject=Ada%27s+parcel+7", "exactSubject=nobody", "exactSubject=parcel+77&source=acme",
		"status=failed", "status=processed", "status=retrying", "status=processed&sortOrder=asc", "status=failed&source=acme", "status=processed&source=globex",
		"from=" + late, "to=" + early, "from=" + late + "&sortOrder=asc", "from=" + early + "&to=" + late,
		"receivedTo=" + early, "receivedFrom=" + late + "&sortOrder=asc", "status=failed&receivedTo=" + early,
		"source=acme&from=" + late + "&sortOrder=asc", "eventType=order.paid&to=" + early,
	} {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		q, err := httpapi.ParseQuery(values.Encode(), eventsSpec)
		require.NoError(t, err)
		l, f, paging, err := g.module.eventQuery(t.Context(), q)
		require.NoError(t, err, query)
		statement, args, err := l.Statement(f, paging.Page)
		require.NoError(t, err)
		read, plan := testkit.RowsRead(t, db, statement, args...)
		require.LessOrEqual(t, read, (paging.Number+1)*100, "%s\n%s\n%s", query, statement, plan)
	}
}

// TestASubjectIsLookedUpOnce holds that a page of one subject, and its total, come from one look
// into the index, and that a subject of very many events is listed as without one.
func TestASubjectIsLookedUpOnce(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	g := setup(t, db)
	g.exec(manyEventsSQL, g.acme, g.globex)
	for _, table := range []string{"normalized_events", "event_states"} {
		g.exec("ANALYZE " + table)
	}
	ids, meta := g.get("/events?subject=ada&pageSize=15").list(t)
	require.Len(t, ids, 15)
	require.InDelta(t, 40, meta["total"], 0)
	require.Equal(t, false, meta["totalIsEstimate"])
	matched := fmt.Sprintf(selectMatchedSQL, ` WHERE e.subject ILIKE $1 ESCAPE '\'`, database.CountedAtMost+1, "", "DESC", 16, 0)
	read, plan := testkit.RowsRead(t, db, matched, "%Ada%")
	require.LessOrEqual(t, read, 200, plan)

	ids, meta = g.get("/events?subject=parcel&pageSize=15").list(t)
	require.Len(t, ids, 15)
	require.Equal(t, "01950000-9c3f-7000-8000-000000000000", ids[0], "the newest of 40,000, of which 10,001 are looked at")
	require.Greater(t, meta["total"], float64(database.CountedAtMost))
	require.Equal(t, true, meta["totalIsEstimate"])
}

// TestASubjectIsFoundByItsHash holds that the events of one subject are read by the index of whole
// subjects, also where one subject has very many, and that parts, other cases and other sources do
// not match.
func TestASubjectIsFoundByItsHash(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	g := setup(t, db)
	g.exec(manyEventsSQL, g.acme, g.globex)
	g.exec("UPDATE normalized_events SET subject = 'everything' WHERE source = 'acme' AND external_event_id LIKE '%5'")
	for _, table := range []string{"normalized_events", "event_states"} {
		g.exec("ANALYZE " + table)
	}
	values, err := httpapi.ParseQuery("exactSubject=parcel+77", eventsSpec)
	require.NoError(t, err)
	_, f, _, err := g.module.eventQuery(t.Context(), values)
	require.NoError(t, err)
	where, args := f.Where()
	read, plan := testkit.RowsRead(t, db, fmt.Sprintf(selectMatchedSQL, where, database.CountedAtMost+1, "", "DESC", 16, 0), args...)
	require.Contains(t, plan, `"Index Cond": "(hashtext(subject) = `)
	require.LessOrEqual(t, read, 10, plan)

	ids, meta := g.get("/events?exactSubject=parcel+77").list(t)
	require.Len(t, ids, 1)
	require.InDelta(t, 1, meta["total"], 0)
	ids, meta = g.get("/events?exactSubject=everything&pageSize=15").list(t)
	require.Len(t, ids, 15)
	require.InDelta(t, 3996, meta["total"], 0)
	for _, none := range []string{"exactSubject=parcel+7", "exactSubject=Parcel+77", "exactSubject=parcel+77&source=globex", "exactSubject=parcel+%25"} {
		ids, _ = g.get("/events?" + none).list(t)
		require.Empty(t, ids, none)
	}
}
