package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"integration-gateway/platform/database"
)

// leavesAfter returns the leaves with ids in (after, upTo], in id order, over both tables.
func (k SealKey) leavesAfter(ctx context.Context, db *database.DB, after, upTo string, limit int) ([]leaf, error) {
	units, err := unitsAfter(ctx, db, after, upTo, limit)
	if err != nil {
		return nil, err
	}
	leaves := make([]leaf, 0, len(units))
	for _, u := range units {
		if u.InGroup == 0 {
			leaves = append(leaves, k.leafOf(u.entry))
		}
	}
	return k.withGroups(ctx, db, leaves, groupIDs(units))
}

// withGroups adds the leaves of groups to those of entries, and sorts them.
func (k SealKey) withGroups(ctx context.Context, db *database.DB, leaves []leaf, ids []string) ([]leaf, error) {
	err := eachGroup(ctx, db, ids, func(g group) error {
		leaves = append(leaves, k.leafOfGroup(g))
		return nil
	})
	slices.SortFunc(leaves, func(a, b leaf) int { return strings.Compare(a.id, b.id) })
	return leaves, err
}

const selectGroupIDsSQL = `
SELECT g.id FROM v JOIN audit_groups g ON g.id = v.id ORDER BY g.id`

// leavesByID returns the leaves with these ids, in id order: two if both tables have one.
func (k SealKey) leavesByID(ctx context.Context, db *database.DB, ids []string) ([]leaf, error) {
	entries, err := entriesByID(ctx, db, ids)
	if err != nil {
		return nil, err
	}
	leaves := make([]leaf, len(entries), len(ids))
	for i, e := range entries {
		leaves[i] = k.leafOf(e)
	}
	var groups []string
	if err := db.SelectRows(ctx, &groups, database.IDs(ids), selectGroupIDsSQL); err != nil {
		return nil, fmt.Errorf("read audit groups: %w", err)
	}
	return k.withGroups(ctx, db, leaves, groups)
}

const selectUnitIDsSQL = `
SELECT id, CAST(0 AS bigint) AS in_group FROM audit_entries WHERE id > $1 AND id <= $2
UNION  ALL
SELECT id, CAST(received + normalized + queued + processed AS bigint) FROM audit_groups WHERE id > $1 AND id <= $2
ORDER  BY id`

// unitsNotIn returns the units with ids in (after, upTo] that are in none of known, without
// their content.
func unitsNotIn(ctx context.Context, db *database.DB, after, upTo string, known ...map[string]int64) ([]unit, error) {
	var units []unit
	if err := db.Select(ctx, &units, selectUnitIDsSQL, after, upTo); err != nil {
		return nil, fmt.Errorf("read ids of the audit trail: %w", err)
	}
	return slices.DeleteFunc(units, func(u unit) bool {
		return slices.ContainsFunc(known, func(ids map[string]int64) bool { _, ok := ids[u.ID]; return ok })
	}), nil
}

// idsOf returns the ids of units.
func idsOf(units []unit) []string {
	ids := make([]string, len(units))
	for i, u := range units {
		ids[i] = u.ID
	}
	return ids
}

// countOf is the number of entries in units.
func countOf(units []unit) (n int) {
	for _, u := range units {
		n += u.count()
	}
	return n
}
