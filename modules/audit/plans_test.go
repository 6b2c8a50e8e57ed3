package audit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

// manyEntriesSQL are 40,000 entries, one a second, as events leave them but for the first 40.
const manyEntriesSQL = `
INSERT INTO audit_entries (id, entity_type, entity_id, action, actor, details, created_at)
SELECT ('0195' || lpad(to_hex(i), 8, '0') || '70008000000000000000')::uuid,
       CASE WHEN i < 40 THEN 'integration' WHEN i % 4 = 0 THEN 'webhook_event' ELSE 'normalized_event' END,
       ('0195' || lpad(to_hex(i), 8, '0') || '70008000000000000001')::uuid,
       CASE WHEN i < 40 THEN 'integration.created' WHEN i % 4 = 0 THEN 'webhook.received' ELSE 'event.queued' END,
       'gateway', '{}', timestamptz '2026-03-01 12:00:00Z' + i * interval '1 second'
FROM   generate_series(0, 39999) AS i`

// TestListsOfEntriesReadLittle holds that a page reads the rows that it shows, and few others.
func TestListsOfEntriesReadLittle(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(t.Context(), manyEntriesSQL)
		return err
	}))
	for _, want := range []filter{
		{}, {entityType: "integration"}, {entityType: "destination"}, {entityType: "webhook_event"}, {entityType: "normalized_event"},
		{action: "integration.created"}, {action: "event.erased"}, {action: "webhook.received"},
		{entityID: "01950000-0007-7000-8000-000000000001"}, {entityType: "integration", action: "integration.created"},
	} {
		statement, args, err := newest.Statement(want.conditions(), database.Page{Number: 1, Size: 20})
		require.NoError(t, err)
		read, plan := testkit.RowsRead(t, db, statement, args...)
		require.LessOrEqual(t, read, 200, "%+v\n%s\n%s", want, statement, plan)
	}
}
