package audit

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

// manyEntriesSQL makes 40,000 entries, one per second. All but the first 40 are of events that
// failed for a while; what every event leaves is in groups.
const manyEntriesSQL = `
INSERT INTO audit_entries (id, entity_type, entity_id, action, actor, details, created_at)
SELECT ('0195' || lpad(to_hex(i), 8, '0') || '70008000000000000000')::uuid,
       CASE WHEN i < 40 THEN 'integration' ELSE 'normalized_event' END,
       ('0195' || lpad(to_hex(i), 8, '0') || '70008000000000000001')::uuid,
       CASE WHEN i < 40 THEN 'integration.created' ELSE 'event.retry_scheduled' END,
       'gateway', '{}', timestamptz '2026-03-01 12:00:00Z' + i * interval '1 second'
FROM   generate_series(0, 39999) AS i`

// TestListsOfEntriesReadLittle checks that a page reads the rows that it shows, and few
// others.
func TestListsOfEntriesReadLittle(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(t.Context(), manyEntriesSQL)
		return err
	}))
	for _, want := range []filter{
		{}, {entityType: "integration"}, {entityType: "destination"}, {entityType: "webhook_event"}, {entityType: "normalized_event"},
		{action: "integration.created"}, {action: "event.erased"}, {action: "webhook.received"}, {action: "event.retry_scheduled"},
		{entityID: "01950000-0007-7000-8000-000000000001"}, {entityType: "integration", action: "integration.created"},
		{actor: "gateway"}, {actor: "api-key:oncall"}, {source: "acme"}, {source: "acme", action: "event.retry_scheduled"}, {actor: "api-key:oncall", entityType: "normalized_event"},
	} {
		statement, args, err := newestFirst.Statement(want.conditions(), database.Page{Number: 1, Size: 20})
		require.NoError(t, err)
		read, plan := testkit.RowsRead(t, db, statement, args...)
		require.LessOrEqual(t, read, 200, "%+v\n%s\n%s", want, statement, plan)
	}
}

// manyGroupsSQL makes 20,000 groups, ten per second, each with an entry of one event.
const manyGroupsSQL = `
INSERT INTO audit_groups (id, received, normalized, queued, processed, entities, created_at, entries)
SELECT (head || '70008000000000000000')::uuid, 0, 0, 1, 0, decode(lpad(to_hex(i), 8, '0'), 'hex'), at,
       '[["event.queued","' || (head || '700080000000' || lpad(to_hex(i), 8, '0'))::uuid || '",{}]]'
FROM   generate_series(0, 19999) AS i,
       LATERAL (SELECT timestamptz '2026-03-01 12:00:00Z' + i * interval '100 milliseconds' AS at) AS t,
       LATERAL (SELECT lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') AS head) AS h`

// TestListsOfGroupsReadLittle is the same for the entries in groups: of one entity, only the
// groups of its minute are read.
func TestListsOfGroupsReadLittle(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	for _, fill := range []string{manyEntriesSQL, manyGroupsSQL} {
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), fill)
			return err
		}))
	}
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(t.Context(), `ANALYZE audit_entries, audit_groups`)
		return err
	}))
	const tenThousandth = "019ca954-4c40-7000-8000-000000002710" // of 12:16:40
	for _, c := range []struct {
		want  filter
		found int
		most  int
	}{
		{filter{}, 20, 200},
		{filter{action: "event.queued"}, 20, 200},
		{filter{action: "event.processed"}, 0, 200},
		{filter{action: "event.retry_scheduled"}, 20, 200},
		{filter{entityType: "normalized_event"}, 20, 200},
		{filter{actor: "gateway"}, 20, 200},
		{filter{actor: "api-key:oncall"}, 0, 200},
		{filter{source: "acme"}, 0, 200},
		{filter{action: "event.queued", entityType: "normalized_event"}, 20, 200},
		{filter{entityID: tenThousandth}, 1, 800},
		{filter{entityID: tenThousandth, action: "event.queued"}, 1, 800},
	} {
		list, err := readEntries(t.Context(), db, slog.New(slog.DiscardHandler), c.want, database.Page{Number: 1, Size: 20})
		require.NoError(t, err)
		require.Len(t, list.Items, c.found, "%+v", c.want)
		columns := c.want.groupColumns()
		if len(columns) == 0 {
			continue // of entries alone, as above
		}
		statement, args := c.want.unitsStatement(db.Dialect, columns, "", 23)
		read, plan := testkit.RowsRead(t, db, statement, args...)
		require.LessOrEqual(t, read, c.most, "%+v\n%s\n%s", c.want, statement, plan)
		require.NotRegexp(t, `"Seq Scan"[^}]*_older"`, plan, "the other partitions are empty\n%s", statement)
	}
}
