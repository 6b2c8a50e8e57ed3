package audit

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// groupsPerRead limits the groups that are read at once: a group may have some 100 KB.
const groupsPerRead = 32

func newGroupRows() *database.Rows {
	return database.NewRows("id uuid", "received bigint", "normalized bigint", "queued bigint", "processed bigint",
		"entities bytea", "created_at timestamptz", "entries text")
}

// unit is a row of either table. A group has only its id, its time and the number of its
// entries, or of those that have the actions of a filter.
type unit struct {
	entry
	InGroup int `db:"in_group"` // 0 for a row of audit_entries
}

// count is the number of entries in a unit.
func (u unit) count() int { return max(u.InGroup, 1) }

const unitColumns = "id, in_group, entity_type, entity_id, action, actor, details, created_at"

// The units of both tables are read with one statement, so that the rows and the group of
// one transaction are read together or not at all. Each table is read in order and to the
// limit by itself: PostgreSQL does not use the indexes' order across a UNION with conditions.
const (
	rowUnitsSQL = `
SELECT id, CAST(0 AS bigint) AS in_group, entity_type, entity_id, action, actor, details, created_at FROM audit_entries`
	groupUnitsSQL = `
SELECT id, CAST(%s AS bigint) AS in_group, CAST('' AS text) AS entity_type, CAST(NULL AS uuid) AS entity_id, CAST('' AS text) AS action,
       CAST('' AS text) AS actor, CAST('' AS text) AS details, created_at
FROM   audit_groups`
	unionSQL = `
SELECT ` + unitColumns + ` FROM (%[1]s %[3]s) AS r
UNION  ALL
SELECT ` + unitColumns + ` FROM (%[2]s %[3]s) AS g
%[3]s`
)

// countedSQL is SQL for the number of a group's entries that have the actions of columns.
func countedSQL(columns []string) string { return strings.Join(columns, " + ") }

// groupColumns returns the columns that count the actions of a filter; none if groups have
// no entry that matches it.
func (want filter) groupColumns() []string {
	if _, _, ok := groupsOf(want.entityID); want.entityID != "" && !ok {
		return nil
	}
	if want.source != "" || want.sources != nil || want.actor != "" && want.actor != contract.ActorGateway {
		return nil
	}
	var columns []string
	for i, action := range commonActions {
		if (want.action == "" || want.action == action) && (want.entityType == "" || want.entityType == commonTypeOf(action)) {
			columns = append(columns, countColumns[i])
		}
	}
	return columns
}

// groupConditions adds the conditions of groups that may have entries that match.
func (want filter) groupConditions(f *database.Filter, d database.Dialect, columns []string) {
	if len(columns) < len(countColumns) {
		f.Add(countedSQL(columns) + " > 0")
	}
	if want.entityID != "" {
		from, to, _ := groupsOf(want.entityID)
		f.Add("id >= ?", from)
		f.Add("id < ?", to)
		f.Add(d.BytesHold("entities", "?"), markOf(want.entityID))
	}
}

// unitsStatement returns the query of the units with entries that may match, newest first.
func (want filter) unitsStatement(d database.Dialect, columns []string, before string, limit int) (query string, args []any) {
	rows := want.conditions()
	if before != "" {
		rows.Add("id < ?", before)
	}
	where, _ := rows.Where()
	groups := rows.Continue()
	if before != "" {
		groups.Add("id < ?", before)
	}
	want.groupConditions(groups, d, columns)
	groupsWhere, args := groups.Where()
	return fmt.Sprintf(unionSQL, rowUnitsSQL+where, fmt.Sprintf(groupUnitsSQL, countedSQL(columns))+groupsWhere,
		"ORDER BY id DESC LIMIT "+strconv.Itoa(limit)), args
}

var selectUnitsAfterSQL = fmt.Sprintf(unionSQL, rowUnitsSQL+" WHERE id > $1 AND id <= $2",
	fmt.Sprintf(groupUnitsSQL, countedSQL(countColumns))+" WHERE id > $1 AND id <= $2", "ORDER BY id LIMIT $3")

// unitsAfter returns the units with ids in (after, upTo], oldest first.
func unitsAfter(ctx context.Context, db *database.DB, after, upTo string, limit int) (units []unit, err error) {
	if err = db.Select(ctx, &units, selectUnitsAfterSQL, after, upTo, limit); err != nil {
		return nil, fmt.Errorf("read the audit trail: %w", err)
	}
	return units, nil
}

const selectGroupsSQL = `
SELECT g.id, g.received, g.normalized, g.queued, g.processed, g.entities, g.created_at, g.entries
FROM   v JOIN audit_groups g ON g.id = v.id ORDER BY g.id`

// eachGroup passes the groups with these ids to do, a few at a time.
func eachGroup(ctx context.Context, db *database.DB, ids []string, do func(group) error) error {
	for part := range slices.Chunk(ids, groupsPerRead) {
		var groups []group
		if err := db.SelectRows(ctx, &groups, database.IDs(part), selectGroupsSQL); err != nil {
			return fmt.Errorf("read audit groups: %w", err)
		}
		for _, g := range groups {
			if err := do(g); err != nil {
				return err
			}
		}
	}
	return nil
}

// groupIDs returns the ids of the units that are groups.
func groupIDs(units []unit) []string {
	var ids []string
	for _, u := range units {
		if u.InGroup > 0 {
			ids = append(ids, u.ID)
		}
	}
	return ids
}
