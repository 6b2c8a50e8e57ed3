package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// Each table is read in order and to the limit by itself, as in unitsAfter.
const trailRowsSQL = `
SELECT id, is_group FROM (SELECT id, CAST(0 AS boolean) AS is_group FROM audit_entries WHERE id > $1 ORDER BY id LIMIT $2) AS r
UNION  ALL
SELECT id, is_group FROM (SELECT id, CAST(1 AS boolean) AS is_group FROM audit_groups WHERE id > $1 ORDER BY id LIMIT $2) AS g
ORDER  BY id LIMIT $2`

// RowsAfter returns the first rows of the trail with greater ids than after, oldest first. A
// row that commits later may have a lower id than those that were returned.
func (m *Module) RowsAfter(ctx context.Context, after string, limit int) ([]contract.TrailRow, error) {
	var rows []struct {
		ID    string `db:"id"`
		Group bool   `db:"is_group"`
	}
	if err := m.db.Select(ctx, &rows, trailRowsSQL, after, limit); err != nil {
		return nil, fmt.Errorf("read the audit trail: %w", err)
	}
	found := make([]contract.TrailRow, len(rows))
	for i, r := range rows {
		found[i] = contract.TrailRow(r)
	}
	return found, nil
}

const trailEntriesSQL = `
SELECT e.id, e.entity_type, e.entity_id, e.action, e.actor, e.details, e.created_at
FROM   v JOIN audit_entries e ON e.id = v.id`

// EntriesOf returns the entries of rows, in the order of the rows' ids. Rows that were
// removed since have none.
func (m *Module) EntriesOf(ctx context.Context, rows []contract.TrailRow) ([]contract.TrailEntry, error) {
	var single, groups []string
	for _, r := range rows {
		if r.Group {
			groups = append(groups, r.ID)
		} else {
			single = append(single, r.ID)
		}
	}
	var found []contract.TrailEntry
	add := func(row string, e entry) {
		e = e.readable()
		found = append(found, contract.TrailEntry{ID: e.ID, Row: row, EntityType: e.EntityType, EntityID: e.EntityID,
			Action: e.Action, Details: json.RawMessage(e.Details), CreatedAt: e.CreatedAt})
	}
	if len(single) > 0 {
		var entries []entry
		if err := m.db.SelectRows(ctx, &entries, database.IDs(single), trailEntriesSQL); err != nil {
			return nil, fmt.Errorf("read audit entries: %w", err)
		}
		for _, e := range entries {
			add(e.ID, e)
		}
	}
	err := eachGroup(ctx, m.db, groups, func(g group) error {
		for _, e := range g.readable(m.log) {
			add(g.ID, e)
		}
		return nil
	})
	slices.SortFunc(found, func(a, b contract.TrailEntry) int {
		return cmp.Or(strings.Compare(a.Row, b.Row), strings.Compare(a.ID, b.ID))
	})
	return found, err
}
