package database

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The objects of a schema are lines such as
//
//	column events.id uuid
//	column events.note text null default
//	index events_open on events (id) partial
//	unique events (source, key)
//	value events 'open'
//	trigger events_revision on events
//	view trail
//
// value is a text that a CHECK constraint names. Partitions, the migrator's own tables and
// other kinds of index are left out, as is what the planner may do without.

const postgresObjectsSQL = `
SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
       || CASE WHEN a.attnotnull THEN '' ELSE ' null' END || CASE WHEN a.atthasdef OR a.attidentity <> '' THEN ' default' ELSE '' END
FROM   pg_class c
JOIN   pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE  c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'schema_migrations'
UNION  ALL
SELECT CASE WHEN i.indisunique THEN 'unique ' || c.relname ELSE 'index ' || n.relname || ' on ' || c.relname END || ' (' || k.columns || ')'
       || CASE WHEN i.indpred IS NULL THEN '' ELSE ' partial' END
FROM   pg_index i
JOIN   pg_class c ON c.oid = i.indrelid
JOIN   pg_class n ON n.oid = i.indexrelid
JOIN   pg_am m ON m.oid = n.relam AND m.amname = 'btree'
CROSS  JOIN LATERAL (SELECT string_agg(COALESCE(a.attname, '?'), ', ' ORDER BY o.at) AS columns
        FROM   unnest(i.indkey) WITH ORDINALITY AS o (attnum, at)
        LEFT   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = o.attnum) AS k
WHERE  c.relnamespace = current_schema()::regnamespace AND NOT c.relispartition AND c.relkind IN ('r', 'p') AND c.relname <> 'schema_migrations' AND i.indisvalid
UNION  ALL
SELECT DISTINCT 'value ' || c.relname || ' ' || v.text[1]
FROM   pg_constraint k
JOIN   pg_class c ON c.oid = k.conrelid AND NOT c.relispartition
CROSS  JOIN LATERAL regexp_matches(pg_get_constraintdef(k.oid), '(''[^'']*'')', 'g') AS v (text)
WHERE  c.relnamespace = current_schema()::regnamespace AND k.contype = 'c'
UNION  ALL
SELECT 'trigger ' || t.tgname || ' on ' || c.relname
FROM   pg_trigger t
JOIN   pg_class c ON c.oid = t.tgrelid AND NOT c.relispartition
WHERE  c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal
UNION  ALL
SELECT 'view ' || c.relname FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'v'`

const sqliteObjectsSQL = `
SELECT 'column ' || m.name || '.' || c.name || ' ' || lower(c.type) || CASE c."notnull" WHEN 1 THEN '' ELSE ' null' END
       || CASE WHEN c.dflt_value IS NULL THEN '' ELSE ' default' END
FROM   sqlite_master m, pragma_table_info(m.name) c
WHERE  m.type = 'table' AND m.name <> 'schema_migrations' AND m.name NOT LIKE 'sqlite%'
UNION  ALL
SELECT CASE i."unique" WHEN 1 THEN 'unique ' || m.name ELSE 'index ' || i.name || ' on ' || m.name END || ' ('
       || (SELECT group_concat(COALESCE(c.name, '?'), ', ') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno) c) || ')'
       || CASE i.partial WHEN 1 THEN ' partial' ELSE '' END
FROM   sqlite_master m, pragma_index_list(m.name) i
WHERE  m.type = 'table' AND m.name <> 'schema_migrations' AND m.name NOT LIKE 'sqlite%'
UNION  ALL
SELECT 'trigger ' || name || ' on ' || tbl_name FROM sqlite_master WHERE type = 'trigger'
UNION  ALL
SELECT 'view ' || name FROM sqlite_master WHERE type = 'view'`

const sqliteTablesSQL = `
SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'`

var (
	sqlComment = regexp.MustCompile(`--[^\n]*`)
	sqlText    = regexp.MustCompile(`'[^']*'`)
)

// Objects returns the objects of the database's schema, sorted.
func (db *DB) Objects(ctx context.Context) ([]string, error) {
	query := postgresObjectsSQL
	if db.Dialect.Name != postgres.Name {
		query = sqliteObjectsSQL
	}
	var list []string
	if err := db.Select(ctx, &list, query); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	if db.Dialect.Name != postgres.Name {
		var tables []struct{ Name, SQL string }
		if err := db.Select(ctx, &tables, sqliteTablesSQL); err != nil {
			return nil, fmt.Errorf("read the schema: %w", err)
		}
		for _, t := range tables {
			for _, text := range sqlText.FindAllString(sqlComment.ReplaceAllString(t.SQL, ""), -1) {
				list = append(list, "value "+t.Name+" "+text)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// differences compares a schema with the one that a version has. wrong is what a program of
// that version cannot work with; slow is what it only works slowly without. What the schema
// has beside is no matter, but for columns that inserts must fill and for unique indexes.
func differences(have, want []string) (wrong, slow []string) {
	for _, object := range want {
		if _, found := slices.BinarySearch(have, object); found {
			continue
		}
		if strings.HasPrefix(object, "index ") {
			slow = append(slow, "no "+object)
		} else {
			wrong = append(wrong, "no "+object)
		}
	}
	tables := map[string]bool{}
	for _, object := range want {
		tables[tableOf(object)] = true
	}
	for _, object := range have {
		if _, found := slices.BinarySearch(want, object); found || !tables[tableOf(object)] {
			continue
		}
		required := strings.HasPrefix(object, "column ") && !strings.HasSuffix(object, " null") && !strings.HasSuffix(object, " default")
		if required || strings.HasPrefix(object, "unique ") {
			wrong = append(wrong, "an unknown "+object)
		}
	}
	return wrong, slow
}

// tableOf returns the table of a column or of a unique index; "" for other objects.
func tableOf(object string) string {
	kind, rest, _ := strings.Cut(object, " ")
	switch kind {
	case "column":
		table, _, _ := strings.Cut(rest, ".")
		return table
	case "unique":
		table, _, _ := strings.Cut(rest, " ")
		return table
	}
	return ""
}
