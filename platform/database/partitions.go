package database

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"integration-gateway/platform/id"
)

// Partitioned is a table that PostgreSQL partitions by ranges of a UUIDv7, that is, by
// time.
type Partitioned struct {
	Table string
	Key   string
	Width time.Duration // of one partition
}

const (
	week = 7 * 24 * time.Hour
	// partitionsAhead is how far in advance partitions are created: creating more can fail
	// for that long before a webhook is refused because there is none.
	partitionsAhead = 3 * week
)

// PartitionedTables are the big tables. Every partition adds a branch to the plans of its
// table's statements, so there are few: one per week, or per four weeks for the audit
// trail, which is kept longest.
func PartitionedTables() []Partitioned {
	return []Partitioned{
		{"webhook_events", "id", week},
		{"normalized_events", "id", week},
		{"event_states", "event_id", week},
		{"processing_jobs", "normalized_event_id", week},
		{"delivery_attempts", "normalized_event_id", week},
		{"audit_entries", "id", 4 * week},
		{"audit_groups", "id", 4 * week},
	}
}

// Partition is a range of a table: ids from From to before To.
type Partition struct {
	Table string
	Name  string
	From  string // "" for the partition of everything older than the others
	To    string
	Rows  int64 // an estimate
	Bytes int64 // indexes included
}

// firstMonday is the origin of the ranges.
var firstMonday = time.Date(1970, 1, 5, 0, 0, 0, 0, time.UTC)

func startOf(t time.Time, width time.Duration) time.Time {
	return firstMonday.Add(t.Sub(firstMonday) / width * width)
}

// SameRange reports whether rows with these ids are in the same range of the tables of events,
// so that retention drops them together.
func SameRange(id1, id2 string) bool {
	return startOf(id.Time(id1), week).Equal(startOf(id.Time(id2), week))
}

// missing returns the partitions that t lacks at now, given the end of the last one, or the
// zero time if there are none. Weeks in which nothing ran become one partition.
func (t Partitioned) missing(last, now time.Time) []Partition {
	current := startOf(now, t.Width)
	var list []Partition
	if last.IsZero() {
		last = current
		list = append(list, Partition{Table: t.Table, Name: t.Table + "_older", To: id.Floor(current)})
	}
	for !last.After(now.Add(partitionsAhead)) {
		end := startOf(last, t.Width).Add(t.Width)
		if last.Before(current) {
			end = current
		}
		list = append(list, Partition{Table: t.Table, Name: t.Table + last.Format("_p20060102"), From: id.Floor(last), To: id.Floor(end)})
		last = end
	}
	return list
}

const selectPartitionsSQL = `
SELECT p.relname AS parent, c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound,
       GREATEST(c.reltuples, 0)::bigint AS rows, pg_total_relation_size(c.oid) AS bytes
FROM   pg_inherits i
JOIN   pg_class p ON p.oid = i.inhparent AND p.relkind = 'p' AND p.oid::regclass::text = p.relname
JOIN   pg_class c ON c.oid = i.inhrelid
WHERE  NOT i.inhdetachpending
ORDER  BY p.relname, c.relname`

var boundPattern = regexp.MustCompile(`^FOR VALUES FROM \((?:MINVALUE|'([0-9a-f-]{36})')\) TO \('([0-9a-f-]{36})'\)$`)

// Partitions returns all partitions, by table and oldest first; none on SQLite.
func (db *DB) Partitions(ctx context.Context) ([]Partition, error) {
	if db.Dialect.Name != postgres.Name {
		return nil, nil
	}
	var rows []struct {
		Parent, Name, Bound string
		Rows, Bytes         int64
	}
	if err := db.Select(ctx, &rows, selectPartitionsSQL); err != nil {
		return nil, fmt.Errorf("look up partitions: %w", err)
	}
	var list []Partition
	for _, r := range rows {
		m := boundPattern.FindStringSubmatch(r.Bound)
		if m == nil {
			return nil, fmt.Errorf("the partition %s has unexpected bounds: %s", r.Name, r.Bound)
		}
		list = append(list, Partition{Table: r.Parent, Name: r.Name, From: m[1], To: m[2], Rows: r.Rows, Bytes: r.Bytes})
	}
	slices.SortStableFunc(list, func(a, b Partition) int { return compareText(a.Table, b.Table, a.From, b.From) })
	return list, nil
}

func compareText(a, b, thenA, thenB string) int {
	switch {
	case a < b, a == b && thenA < thenB:
		return -1
	case a == b && thenA == thenB:
		return 0
	}
	return 1
}

const selectPartitionEndsSQL = `
SELECT p.relname AS parent, pg_get_expr(c.relpartbound, c.oid) AS bound
FROM   pg_inherits i
JOIN   pg_class p ON p.oid = i.inhparent AND p.relkind = 'p' AND p.oid::regclass::text = p.relname
JOIN   pg_class c ON c.oid = i.inhrelid
WHERE  NOT i.inhdetachpending`

// PartitionEnds returns up to when each partitioned table has partitions; nothing on SQLite.
func (db *DB) PartitionEnds(ctx context.Context) (map[string]time.Time, error) {
	ends := map[string]time.Time{}
	if db.Dialect.Name != postgres.Name {
		return ends, nil
	}
	var rows []struct{ Parent, Bound string }
	if err := db.Select(ctx, &rows, selectPartitionEndsSQL); err != nil {
		return nil, fmt.Errorf("look up the partitions' ends: %w", err)
	}
	for _, r := range rows {
		if m := boundPattern.FindStringSubmatch(r.Bound); m != nil && id.Time(m[2]).After(ends[r.Parent]) {
			ends[r.Parent] = id.Time(m[2])
		}
	}
	return ends, nil
}

// MissingPartitions returns the partitions to be created at now, in addition to the
// existing ones.
func MissingPartitions(have []Partition, now time.Time) []Partition {
	var list []Partition
	for _, t := range PartitionedTables() {
		var last time.Time
		for _, p := range have {
			if end := id.Time(p.To); p.Table == t.Table && end.After(last) {
				last = end
			}
		}
		list = append(list, t.missing(last, now)...)
	}
	return list
}
