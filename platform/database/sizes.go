package database

import "context"

// TableSize is the size of a table without partitions.
type TableSize struct {
	Table string `db:"name"`
	Rows  *int64 `db:"rows"`  // on PostgreSQL the planner's estimate; nil before the first ANALYZE
	Bytes int64  `db:"bytes"` // on PostgreSQL including indexes
}

const selectSizesPostgresSQL = `
SELECT c.relname AS name, CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END AS rows, pg_total_relation_size(c.oid) AS bytes
FROM   v
JOIN   pg_class c ON c.oid = to_regclass(v.name) AND c.relkind = 'r'`

// https://www.sqlite.org/dbstat.html
const selectSizesSQLiteSQL = `
SELECT v.name, COALESCE((SELECT sum(s.pgsize) FROM dbstat s WHERE s.name = v.name), 0) AS bytes
FROM   v
WHERE  v.name IS NOT NULL`

// TableSizes returns the sizes of the tables that are not partitioned.
func (db *DB) TableSizes(ctx context.Context, tables []string) ([]TableSize, error) {
	names := NewRows("name text")
	for _, t := range tables {
		names.Add(t)
	}
	var list []TableSize
	query := selectSizesPostgresSQL
	if db.Dialect.Name != postgres.Name {
		query = selectSizesSQLiteSQL
	}
	if err := db.SelectRows(ctx, &list, names, query); err != nil {
		return nil, err
	}
	if db.Dialect.Name == postgres.Name {
		return list, nil
	}
	for i := range list { // scans an index of each; readers block nobody
		if err := db.Get(ctx, &list[i].Rows, "SELECT count(*) FROM "+list[i].Table); err != nil {
			return nil, err
		}
	}
	return list, nil
}

const selectDiskPostgresSQL = `
SELECT COALESCE(p.relname, c.relname) AS name, sum(pg_total_relation_size(c.oid)) AS bytes
FROM   pg_class c
LEFT   JOIN pg_inherits i ON i.inhrelid = c.oid
LEFT   JOIN pg_class p ON p.oid = i.inhparent
WHERE  c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
GROUP  BY 1`

const selectDiskSQLiteSQL = `
SELECT m.tbl_name AS name, sum(s.pgsize) AS bytes
FROM   dbstat s
JOIN   sqlite_master m ON m.name = s.name
GROUP  BY m.tbl_name`

// DiskUse returns the bytes of each table with its partitions and indexes. On SQLite it
// reads the whole file.
func (db *DB) DiskUse(ctx context.Context) (map[string]int64, error) {
	query := selectDiskPostgresSQL
	if db.Dialect.Name != postgres.Name {
		query = selectDiskSQLiteSQL
	}
	var list []TableSize
	if err := db.Select(ctx, &list, query); err != nil {
		return nil, err
	}
	used := make(map[string]int64, len(list))
	for _, t := range list {
		used[t.Table] += t.Bytes
	}
	return used, nil
}
