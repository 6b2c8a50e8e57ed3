package audit

import (
	"context"
	"fmt"
	"log/slog"

	"integration-gateway/platform/database"
)

const (
	// sampledGroups tell how many entries a group has on average.
	sampledGroups = 500
)

// readEntries reads one page of the entries that match want, newest first, from both tables.
func readEntries(ctx context.Context, db *database.DB, log *slog.Logger, want filter, page database.Page) (database.List[entry], error) {
	columns := want.groupColumns()
	if len(columns) == 0 {
		return database.ReadList(ctx, db, newestFirst, want.conditions(), page)
	}
	list := database.List[entry]{Items: []entry{}}
	skip := 0
	w := &walk{db: db, log: log, want: want, columns: columns, due: page.Size + 1}
	if page.After != nil {
		w.cursor, w.before = page.After.ID, page.After.ID
	} else {
		skip = max((page.Number-1)*page.Size, 0)
	}
	if err := w.skip(ctx, skip); err != nil {
		return list, err
	}
	for len(list.Items) <= page.Size {
		e, ok, err := w.next(ctx)
		if err != nil {
			return list, err
		}
		if !ok {
			break
		}
		list.Items = append(list.Items, e)
	}
	if len(list.Items) > page.Size {
		list.Items = list.Items[:page.Size]
		next := newestFirst.Key(list.Items[page.Size-1])
		list.Next = &next
	} else if page.After == nil && skip == 0 {
		list.Total = len(list.Items) // all of them
		return list, nil
	}
	var err error
	list.Total, list.Estimated, err = countEntries(ctx, db, log, want, columns)
	return list, err
}

// countEntries returns the number of entries that match want, or an estimate above
// database.CountedAtMost.
func countEntries(ctx context.Context, db *database.DB, log *slog.Logger, want filter, columns []string) (total int, estimated bool, err error) {
	rows, estimated, err := newestFirst.Count(ctx, db, want.conditions())
	if err != nil {
		return 0, false, fmt.Errorf("count: %w", err)
	}
	if want.entityID != "" {
		found, err := countOfEntity(ctx, db, log, want, columns)
		return rows + found, estimated, err
	}
	grouped, more, err := countInGroups(ctx, db, want, columns)
	total = rows + grouped
	return total, estimated || more || total > database.CountedAtMost, err
}

// countOfEntity counts the entries of one entity in groups. There are few.
func countOfEntity(ctx context.Context, db *database.DB, log *slog.Logger, want filter, columns []string) (n int, err error) {
	f := &database.Filter{}
	want.groupConditions(f, db.Dialect, columns)
	where, args := f.Where()
	var ids []string
	if err := db.Select(ctx, &ids, "SELECT id FROM audit_groups"+where, args...); err != nil {
		return 0, fmt.Errorf("count in groups: %w", err)
	}
	return n, eachGroup(ctx, db, ids, func(g group) error {
		for _, e := range g.readable(log) {
			if want.matches(e) || e.Action == unreadable {
				n++
			}
		}
		return nil
	})
}

// countInGroups counts the entries in groups that have the actions of columns. It reads no
// more groups than can have database.CountedAtMost entries; above that it estimates from
// the groups' number.
func countInGroups(ctx context.Context, db *database.DB, want filter, columns []string) (total int, estimated bool, err error) {
	f := &database.Filter{}
	want.groupConditions(f, db.Dialect, columns)
	where, args := f.Where()
	var sum struct{ Groups, Entries int }
	for _, limit := range []int{sampledGroups, database.CountedAtMost + 1} {
		query := fmt.Sprintf(`SELECT count(*) AS groups, COALESCE(sum(n), 0) AS entries
			FROM (SELECT %s AS n FROM audit_groups%s ORDER BY id DESC LIMIT %d) AS counted`, countedSQL(columns), where, limit)
		if err := db.Get(ctx, &sum, query, args...); err != nil {
			return 0, false, fmt.Errorf("count in groups: %w", err)
		}
		if sum.Groups < limit {
			return sum.Entries, false, nil
		}
		if sum.Entries > database.CountedAtMost {
			break
		}
	}
	groups, err := db.EstimateRows(ctx, "audit_groups", f)
	return max(database.CountedAtMost+1, groups*sum.Entries/sum.Groups), true, err
}

// matches reports whether an entry matches; "" matches any.
func (want filter) matches(e entry) bool {
	return (want.entityType == "" || e.EntityType == want.entityType) && (want.action == "" || e.Action == want.action) &&
		(want.actor == "" || e.Actor == want.actor) && (want.entityID == "" || e.EntityID != nil && *e.EntityID == want.entityID)
}
