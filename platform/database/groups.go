package database

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// The bounds of an answer with groups: an answer must take no longer the more rows there are.
const (
	GroupedAtMost = 10_000 // the newest that are grouped
	groupsAtMost  = 100
	NewestOfGroup = 5     // that are shown
	shownAmong    = 1_000 // the newest, among which the newest of a group are looked for, save the first
)

// GroupCount is a group as it was counted; a Grouping's C embeds it.
type GroupCount struct {
	InGroup int    `db:"in_group"`
	Grouped int    `db:"grouped"` // rows in all groups
	Oldest  string `db:"oldest"`  // ids
	Newest  string `db:"newest"`
}

func (g GroupCount) counted() GroupCount { return g }

// Grouping groups the newest rows of a table, whose ids rise with time. C is a group's counts and T a
// row that is shown; a key tells groups apart.
type Grouping[C interface{ counted() GroupCount }, T any, K comparable] struct {
	Table, Columns string // Columns are those of T
	By             string // the columns of the key, also of C
	Sums, Of       string // what C counts besides, and the table's columns that it is counted of; "" for nothing
	KeyOf          func(C) K
	Row            func(T) (key K, id string)
}

// Group is a group with some of its rows.
type Group[C, T any] struct {
	Count  C
	First  T   // the oldest
	Newest []T // the newest first: at least one, and 5 at most
}

// Groups are the groups of a table's newest rows.
type Groups[C, T any] struct {
	List    []Group[C, T] // the largest first, 100 at most
	Grouped int           // rows in all groups: the newest that match, 10,000 at most
	More    bool          // 10,000 were grouped, so that there may be older ones
}

const groupRowsSQL = `
SELECT %[1]s, count(*) AS in_group, CAST(sum(count(*)) OVER () AS bigint) AS grouped%[2]s,
       min(CAST(id AS text)) AS oldest, max(CAST(id AS text)) AS newest
FROM   (SELECT id, %[1]s%[3]s FROM %[4]s%[5]s ORDER BY id DESC LIMIT %[6]d) AS considered
GROUP  BY %[1]s
ORDER  BY in_group DESC, newest DESC
LIMIT  %[7]d`

// newestRowsSQL finds what is shown of the groups, besides the newest of each.
const newestRowsSQL = `
SELECT id AS newest, %s FROM %s%s ORDER BY id DESC LIMIT %d`

const groupedRowsSQL = `
SELECT %s
FROM   %s
WHERE  id IN (SELECT id FROM v)
ORDER  BY id DESC`

// Statement returns the text and arguments with which Read counts the groups.
func (g Grouping[C, T, K]) Statement(f *Filter) (query string, args []any) {
	clause, args := f.Where()
	return fmt.Sprintf(groupRowsSQL, g.By, g.Sums, g.Of, g.Table, clause, GroupedAtMost, groupsAtMost), args
}

// Read groups the newest rows that match f. It omits groups whose rows are removed meanwhile, or
// belong to another group by then.
func (g Grouping[C, T, K]) Read(ctx context.Context, db *DB, f *Filter) (all Groups[C, T], err error) {
	var counts, newest []C
	query, args := g.Statement(f)
	if err := db.Select(ctx, &counts, query, args...); err != nil {
		return all, fmt.Errorf("group the rows of %s: %w", g.Table, err)
	}
	clause, args := f.Where()
	if err := db.Select(ctx, &newest, fmt.Sprintf(newestRowsSQL, g.By, g.Table, clause, shownAmong), args...); err != nil {
		return all, fmt.Errorf("find the newest rows of %s: %w", g.Table, err)
	}
	places, ids := map[K]int{}, map[string]bool{}
	shown := make([]map[string]bool, len(counts))
	for i, c := range counts {
		n := c.counted()
		all.Grouped, all.More = n.Grouped, n.Grouped == GroupedAtMost
		all.List = append(all.List, Group[C, T]{Count: c})
		places[g.KeyOf(c)], shown[i] = i, map[string]bool{n.Newest: true}
		ids[n.Oldest], ids[n.Newest] = true, true
	}
	for _, c := range newest {
		if i, is := places[g.KeyOf(c)]; is && len(shown[i]) < NewestOfGroup {
			id := c.counted().Newest
			shown[i][id], ids[id] = true, true
		}
	}
	var found []T
	if err := db.SelectRows(ctx, &found, IDs(slices.Collect(maps.Keys(ids))), fmt.Sprintf(groupedRowsSQL, g.Columns, g.Table)); err != nil {
		return all, fmt.Errorf("read rows of %s: %w", g.Table, err)
	}
	for _, row := range found {
		key, id := g.Row(row)
		i, is := places[key]
		if !is {
			continue
		}
		if all.List[i].First = row; shown[i][id] {
			all.List[i].Newest = append(all.List[i].Newest, row)
		}
	}
	all.List = slices.DeleteFunc(all.List, func(one Group[C, T]) bool { return len(one.Newest) == 0 })
	return all, nil
}
