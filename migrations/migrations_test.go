package migrations_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// column is one column of a table, with PostgreSQL's name for the type.
type column struct {
	Table    string `db:"table_name"`
	Name     string `db:"column_name"`
	Type     string `db:"type"`
	Nullable bool   `db:"nullable"`
}

// index is one index. Indexes of keys and constraints have no name here, because each
// engine names them differently.
type index struct {
	Table   string `db:"table_name"`
	Name    string `db:"index_name"`
	Columns string `db:"columns"`
	Unique  bool   `db:"is_unique"`
	Partial bool   `db:"partial"`
	Primary bool   `db:"is_primary"`
}

// schema is the part of the schema that must be the same on both engines.
type schema struct {
	columns []column
	indexes []index
}

const postgresColumnsSQL = `
SELECT c.relname AS table_name, a.attname AS column_name, format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable
FROM   pg_class c
JOIN   pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE  c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'schema_migrations'
ORDER  BY c.relname COLLATE "C", a.attnum`

// SQLite has no substring index.
const postgresIndexesSQL = `
SELECT c.relname AS table_name,
       CASE WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid) THEN '' ELSE n.relname END AS index_name,
       (SELECT string_agg(COALESCE(a.attname, '?'), ',' ORDER BY o.at)
        FROM   unnest(i.indkey) WITH ORDINALITY AS o (attnum, at)
        LEFT   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = o.attnum) AS columns,
       i.indisunique AS is_unique, i.indpred IS NOT NULL AS partial, i.indisprimary AS is_primary
FROM   pg_index i
JOIN   pg_class c ON c.oid = i.indrelid
JOIN   pg_class n ON n.oid = i.indexrelid
JOIN   pg_am m ON m.oid = n.relam AND m.amname = 'btree'
WHERE  c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND c.relname <> 'schema_migrations'`

const sqliteColumnsSQL = `
SELECT m.name AS table_name, c.name AS column_name, lower(c.type) AS type, c."notnull" = 0 AS nullable
FROM   sqlite_master m, pragma_table_info(m.name) c
WHERE  m.type = 'table' AND m.name <> 'schema_migrations' AND m.name NOT LIKE 'sqlite%'
ORDER  BY m.name, c.cid`

const sqliteIndexesSQL = `
SELECT m.name AS table_name, CASE i.origin WHEN 'c' THEN i.name ELSE '' END AS index_name,
       (SELECT group_concat(COALESCE(c.name, '?'), ',') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno) c) AS columns,
       i."unique" AS is_unique, i.partial AS partial, i.origin = 'pk' AS is_primary
FROM   sqlite_master m, pragma_index_list(m.name) i
WHERE  m.type = 'table' AND m.name <> 'schema_migrations' AND m.name NOT LIKE 'sqlite%'`

// commonType maps each engine's types to those that are compared. SQLite has one type of
// integers, and a uuid is a text there, which is recognised by its column name.
var commonType = map[string]map[string]string{
	"sqlite": {
		"text": "text", "integer": "integer", "real": "real", "smallint": "integer", "timestamp": "timestamp", "blob": "bytes", "boolean": "boolean",
	},
	"postgres": {
		"text": "text", "uuid": "text", "double precision": "real", "bigint": "integer", "integer": "integer", "smallint": "integer",
		"timestamp with time zone": "timestamp", "bytea": "bytes", "boolean": "boolean",
	},
}

func schemaOf(t *testing.T, db *database.DB) schema {
	t.Helper()
	columns, indexes := sqliteColumnsSQL, sqliteIndexesSQL
	if db.Dialect.Name == "postgres" {
		columns, indexes = postgresColumnsSQL, postgresIndexesSQL
	}
	var s schema
	require.NoError(t, db.Select(context.Background(), &s.columns, columns))
	require.NoError(t, db.Select(context.Background(), &s.indexes, indexes))
	types := commonType[db.Dialect.Name]
	for i, c := range s.columns {
		require.Contains(t, types, c.Type, "%s.%s", c.Table, c.Name)
		s.columns[i].Type = types[c.Type]
	}
	return s
}

func TestBothEnginesHaveTheSameSchema(t *testing.T) {
	lite := schemaOf(t, testkit.Open(t, testkit.SQLite(t)))
	full := schemaOf(t, testkit.Open(t, testkit.Postgres(t)))
	require.NotEmpty(t, lite.columns)
	require.NotEmpty(t, lite.indexes)
	require.Equal(t, full.columns, lite.columns)
	require.ElementsMatch(t, full.indexes, lite.indexes)
}

// numbered are the ids that are numbers: few rows have them.
var numbered = []string{"alert_turns.id", "gauges.id", "figures_merge.id", "consistency_checks.id", "header_sets.id", "webhook_events.header_set_id"}

func TestIdsAreUUIDsOnPostgreSQL(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	var columns []column
	require.NoError(t, db.Select(context.Background(), &columns, postgresColumnsSQL))
	for _, c := range columns {
		isID := c.Name == "id" || strings.HasSuffix(c.Name, "_id") && c.Name != "external_event_id" && c.Name != "correlation_id"
		isID = isID && !slices.Contains(numbered, c.Table+"."+c.Name)
		require.Equal(t, isID || c.Name == "claim_token" || c.Name == "lease_token", c.Type == "uuid", "%s.%s is %s", c.Table, c.Name, c.Type)
	}
}

func TestMigrationsCanBeRevertedAndReapplied(t *testing.T) {
	testkit.EachEmptyStore(t, func(t *testing.T, open func() *database.DB) {
		db := open()
		require.NoError(t, db.MigrateUp())
		first := schemaOf(t, db)
		require.NotEmpty(t, first.columns)
		require.NoError(t, db.MigrateUp(), "already up to date")
		require.NoError(t, db.MigrateDown(0))
		require.Empty(t, schemaOf(t, db).columns, "down leaves no table behind")
		require.NoError(t, db.MigrateUp())
		again := schemaOf(t, db)
		require.Equal(t, first.columns, again.columns)
		require.ElementsMatch(t, first.indexes, again.indexes)
	})
}

func TestEachMigrationCanBeRevertedAlone(t *testing.T) {
	testkit.EachEmptyStore(t, func(t *testing.T, open func() *database.DB) {
		db := open()
		require.NoError(t, db.MigrateUp())
		for version, _, err := db.MigrationVersion(); version > 0; version, _, err = db.MigrationVersion() {
			require.NoError(t, err)
			require.NoError(t, db.MigrateDown(1))
			after, dirty, err := db.MigrationVersion()
			require.NoError(t, err)
			require.False(t, dirty)
			require.Less(t, after, version)
		}
		require.Empty(t, schemaOf(t, db).columns)
		require.NoError(t, db.MigrateUp())
	})
}

func TestAnInstallationHasItsOwnID(t *testing.T) {
	testkit.EachEmptyStore(t, func(t *testing.T, open func() *database.DB) {
		db := open()
		require.NoError(t, db.MigrateUp())
		var ids []string
		require.NoError(t, db.Select(context.Background(), &ids, `SELECT id FROM installation`))
		require.Len(t, ids, 1)
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, ids[0])
	})
}

// With a role that cannot create extensions, only the index of subjects is missing.
func TestMigrationsNeedNoExtension(t *testing.T) {
	admin := testkit.EmptyPostgres(t)
	exec := func(statements ...string) {
		require.NoError(t, testkit.Open(t, admin).InTx(context.Background(), func(tx *database.Tx) error {
			for _, s := range statements {
				if _, err := tx.Exec(context.Background(), s); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	role := "gateway_test_" + strings.ReplaceAll(id.New(), "-", "")
	exec("CREATE ROLE "+role+" LOGIN PASSWORD 'of-a-test'", "GRANT ALL ON SCHEMA public TO "+role)
	t.Cleanup(func() { exec("DROP OWNED BY "+role+" CASCADE", "DROP ROLE "+role) })
	u, err := url.Parse(admin)
	require.NoError(t, err)
	u.User = url.UserPassword(role, "of-a-test")
	db := testkit.Open(t, u.String())
	require.NoError(t, db.MigrateUp())
	var exists struct {
		Table, Index bool
	}
	require.NoError(t, db.Get(t.Context(), &exists, `SELECT to_regclass('normalized_events') IS NOT NULL AS "table", to_regclass('normalized_events_subject') IS NOT NULL AS "index"`))
	require.True(t, exists.Table)
	require.False(t, exists.Index)
	require.NoError(t, testkit.Open(t, testkit.Postgres(t)).Get(t.Context(), &exists.Index, `SELECT to_regclass('normalized_events_subject') IS NOT NULL`))
	require.True(t, exists.Index, "a role that can create extensions has the index")
}
