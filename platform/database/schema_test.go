package database_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"integration-gateway/migrations"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/testkit"
)

func run(t *testing.T, db *database.DB, statements ...string) {
	t.Helper()
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(t.Context(), s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	}))
}

func TestASchemaThatNoReleaseMadeIsRefusedByName(t *testing.T) {
	for name, c := range map[string]struct{ change, found string }{
		"a column that is missing":          {`ALTER TABLE installation DROP COLUMN created_at`, "no column installation.created_at"},
		"a key that refuses what is stored": {`CREATE UNIQUE INDEX x ON installation (created_at)`, "an unknown unique installation (created_at)"},
		"a table that is missing":           {`DROP TABLE alert_mutes`, "no column alert_mutes."},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.EachStore(t, func(t *testing.T, db *database.DB) { requireRefused(t, db, c.change, c.found) })
		})
	}
}

// SQLite adds no such column to a table.
func TestAColumnThatInsertsMustFillIsRefusedByName(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	run(t, db, `DELETE FROM schema_changes`)
	requireRefused(t, db, `ALTER TABLE schema_changes ADD COLUMN more text NOT NULL`, "an unknown column schema_changes.more text")
}

// requireRefused changes the schema, and holds that the change is named.
func requireRefused(t *testing.T, db *database.DB, change, found string) {
	t.Helper()
	require.NoError(t, db.SchemaReady(t.Context()))
	run(t, db, change)
	err := db.CheckSchema(t.Context())
	require.ErrorContains(t, err, found)
	require.ErrorContains(t, err, "no release made it")
	require.True(t, fault.Is(err, fault.Conflict))
	require.ErrorContains(t, db.MigrateUp(), found)
}

func TestWhatAnOperatorAddsIsNoMatter(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		run(t, db, `CREATE TABLE of_mine (id text NOT NULL PRIMARY KEY)`, `CREATE INDEX of_mine_too ON installation (created_at)`,
			`ALTER TABLE installation ADD COLUMN note text`, `DROP INDEX audit_seals_late`)
		require.NoError(t, db.CheckSchema(t.Context()))
		s, err := db.Schema(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"no index audit_seals_late on audit_seals (first_id) partial"}, s.Slow, "a missing index is told")
	})
}

func TestTablesOfAnotherProgramAreNotMigrated(t *testing.T) {
	testkit.EachEmptyStore(t, func(t *testing.T, open func() *database.DB) {
		db := open()
		run(t, db, `CREATE TABLE integrations (id text)`)
		require.ErrorContains(t, db.MigrateUp(), "has a table integrations, but no version")
		version, dirty, err := db.MigrationVersion()
		require.NoError(t, err)
		require.Zero(t, version)
		require.False(t, dirty)
	})
}

func TestANewerSchemaSaysWhoMayWorkOnIt(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ctx := t.Context()
		s, err := db.Schema(ctx)
		require.NoError(t, err)
		newer := func(minReader uint) {
			run(t, db, `DELETE FROM schema_changes WHERE title = 'newer'`,
				fmt.Sprintf(`INSERT INTO schema_changes (version, min_reader, title, applied_at) VALUES (%d, %d, 'newer', '2026-01-01 00:00:00+00:00')`, s.Needed+1, minReader))
		}
		require.NoError(t, db.SchemaReady(ctx))
		newer(s.Needed)
		setVersion(t, db, int(s.Needed)+1, true)
		require.NoError(t, db.CheckSchema(ctx), "while it is migrated, too")
		require.NoError(t, db.SchemaReady(ctx))
		setVersion(t, db, int(s.Needed)+1, false)
		var said []string
		say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
		require.NoError(t, database.Migrator{DB: db, Say: say}.Up(ctx), "an older `migrate up` leaves it alone")
		require.Contains(t, strings.Join(said, "\n"), "nothing was changed")
		require.ErrorContains(t, db.MigrateDown(1), "with the release that made them")

		newer(s.Needed + 1)
		for _, err := range []error{db.CheckSchema(ctx), db.SchemaReady(ctx), db.MigrateUp()} {
			require.ErrorContains(t, err, fmt.Sprintf("only programs of version %d and later", s.Needed+1))
			require.True(t, fault.Is(err, fault.Conflict))
		}
	})
}

// A process can be killed before a step, and between a step and the mark that it is done.
func TestAKilledMigrationIsContinued(t *testing.T) {
	testkit.EachEmptyStore(t, func(t *testing.T, open func() *database.DB) {
		ctx, db := t.Context(), open()
		require.NoError(t, db.MigrateUp())
		steps, err := migrations.Steps(migrations.Files, db.Dialect.Name)
		require.NoError(t, err)
		last := int(steps[len(steps)-1].Version)
		require.NoError(t, db.MigrateDown(1))
		setVersion(t, db, last, true)
		plan, _, err := database.Migrator{DB: db}.Plan(ctx)
		require.NoError(t, err)
		require.Len(t, plan, 1)
		require.NoError(t, db.MigrateUp(), "before its statements")
		require.NoError(t, db.CheckSchema(ctx))

		before := int(steps[len(steps)-2].Version)
		setVersion(t, db, before, true)
		require.NoError(t, db.MigrateUp(), "on the way down, before the statements")
		require.NoError(t, db.CheckSchema(ctx))
	})
}

// of returns migrations of a test: two steps, with the objects that each adds.
func of(engine, first, firstObjects, second, secondObjects string) fstest.MapFS {
	return fstest.MapFS{
		engine + "/000001_first.up.sql":    {Data: []byte(first)},
		engine + "/000001_first.schema":    {Data: []byte(firstObjects)},
		engine + "/000001_first.down.sql":  {Data: []byte("SELECT 1")},
		engine + "/000002_second.up.sql":   {Data: []byte(second)},
		engine + "/000002_second.schema":   {Data: []byte(secondObjects)},
		engine + "/000002_second.down.sql": {Data: []byte("SELECT 1")},
	}
}

const itemObjects = "+ column items.id bigint null\n+ column items.name text null\n"

func firstOnly(files fstest.MapFS) fstest.MapFS {
	one := fstest.MapFS{}
	for name, file := range files {
		if strings.Contains(name, "000001") {
			one[name] = file
		}
	}
	return one
}

func TestAnIndexThatAKillLeftInvalidIsBuiltAgain(t *testing.T) {
	ctx, db := t.Context(), testkit.Open(t, testkit.EmptyPostgres(t))
	files := of("postgres", "CREATE TABLE items (id bigint, name text)", itemObjects,
		"-- Min reader: 1\nCREATE UNIQUE INDEX CONCURRENTLY items_name ON items (name);\nCREATE INDEX CONCURRENTLY items_id ON items (id);",
		"+ unique items (name)\n+ index items_id on items (id)\n")
	require.NoError(t, up(ctx, db, firstOnly(files), nil))
	run(t, db, `INSERT INTO items VALUES (1, 'twice'), (2, 'twice')`)
	require.Error(t, up(ctx, db, files, nil), "the names are not unique")
	require.True(t, exists(t, db, `SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('items_name') AND NOT indisvalid)`), "an invalid index is left")
	version, dirty, err := db.MigrationVersion()
	require.NoError(t, err)
	require.Equal(t, uint(1), version, "the step can be taken again")
	require.False(t, dirty)

	run(t, db, `DELETE FROM items WHERE id = 2`)
	var said []string
	require.NoError(t, up(ctx, db, files, func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }))
	require.Contains(t, said, "the index items_name was left unfinished; building it again")
	for _, name := range []string{"items_name", "items_id"} {
		require.True(t, exists(t, db, `SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('`+name+`') AND indisvalid)`), name)
	}
}

func TestTheIndexOfAPartitionedTableIsBuiltInEachPartition(t *testing.T) {
	ctx, db := t.Context(), testkit.Open(t, testkit.EmptyPostgres(t))
	files := of("postgres", `CREATE TABLE items (id bigint, name text) PARTITION BY RANGE (id);
		CREATE TABLE items_a PARTITION OF items FOR VALUES FROM (0) TO (10);
		CREATE TABLE items_b PARTITION OF items FOR VALUES FROM (10) TO (20);`, itemObjects,
		"-- Min reader: 1\nCREATE INDEX CONCURRENTLY items_name ON items (name) WHERE name IS NOT NULL;", "+ index items_name on items (name) partial\n")
	require.NoError(t, up(ctx, db, firstOnly(files), nil))
	run(t, db, // a build that was interrupted after one partition, and a partition that was made before it went on
		`CREATE INDEX items_name ON ONLY items (name) WHERE name IS NOT NULL`, `CREATE INDEX items_name_a ON items_a (name) WHERE name IS NOT NULL`,
		`CREATE TABLE items_c PARTITION OF items FOR VALUES FROM (20) TO (30)`)
	require.NoError(t, up(ctx, db, files, nil))
	require.True(t, exists(t, db, `SELECT indisvalid FROM pg_index WHERE indexrelid = 'items_name'::regclass`))
	var parts int
	require.NoError(t, db.Get(ctx, &parts, `SELECT count(*) FROM pg_inherits WHERE inhparent = 'items_name'::regclass`))
	require.Equal(t, 3, parts)
	require.NoError(t, up(ctx, db, files, nil), "up to date")

	for name, file := range of("postgres", "", "", "-- Min reader: 1\nDROP INDEX CONCURRENTLY items_name;", "- index items_name on items (name) partial\n") {
		if strings.HasPrefix(name, "postgres/000002") {
			files[strings.Replace(name, "000002", "000003", 1)] = file
		}
	}
	require.NoError(t, up(ctx, db, files, nil))
	require.False(t, exists(t, db, `SELECT to_regclass('items_name') IS NOT NULL`), "a step can drop it again")
}

func TestAStepDoesNotQueueBehindALongTransaction(t *testing.T) {
	ctx, db := t.Context(), testkit.Open(t, testkit.EmptyPostgres(t))
	files := of("postgres", "CREATE TABLE items (id bigint, name text)", itemObjects,
		"-- Min reader: 1\nALTER TABLE items ADD COLUMN more text", "+ column items.more text null\n")
	require.NoError(t, up(ctx, db, firstOnly(files), nil))
	held, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- db.InTx(ctx, func(tx *database.Tx) error {
			_, err := tx.Exec(ctx, `LOCK TABLE items IN ACCESS SHARE MODE`)
			close(held)
			<-release
			return err
		})
	}()
	<-held
	waits := make(chan struct{}, 100)
	migrated := make(chan error, 1)
	go func() {
		migrated <- up(ctx, db, files, func(format string, args ...any) {
			if strings.Contains(fmt.Sprintf(format, args...), "a table is locked; trying again") {
				waits <- struct{}{}
			}
		})
	}()
	<-waits // it has given its place in the queue back
	close(release)
	require.NoError(t, <-ended)
	require.NoError(t, <-migrated)
	require.True(t, exists(t, db, `SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'more')`))
}

func TestAMigrationThatFailsChangesNothing(t *testing.T) {
	testkit.EachEmptyStore(t, func(t *testing.T, open func() *database.DB) {
		ctx, db := t.Context(), open()
		files := of(db.Dialect.Name, "CREATE TABLE items (id bigint, name text)", itemObjects,
			"CREATE TABLE more (id bigint); INSERT INTO nowhere VALUES (1);", "+ column more.id bigint null\n")
		require.ErrorContains(t, up(ctx, db, files, nil), "migration 2 failed")
		version, dirty, err := db.MigrationVersion()
		require.NoError(t, err)
		require.Equal(t, uint(1), version)
		require.False(t, dirty)
		objects, err := db.Objects(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{"column items.id bigint null", "column items.name text null"}, objects)
	})
}

// up migrates, without the partitions of the program's own tables.
func up(ctx context.Context, db *database.DB, files fstest.MapFS, say func(string, ...any)) error {
	return database.Migrator{DB: db, Files: files, Say: say}.Up(ctx)
}

func exists(t *testing.T, db *database.DB, query string) (found bool) {
	t.Helper()
	require.NoError(t, db.Get(t.Context(), &found, query))
	return found
}

func TestABackupIsCompleteOrNotThere(t *testing.T) {
	ctx, folder := t.Context(), t.TempDir()
	db := testkit.Open(t, testkit.SQLite(t))
	file := folder + "/copy.db"
	require.NoError(t, db.Backup(ctx, file, false))
	require.NoError(t, database.CheckFile(ctx, file))
	require.True(t, fault.Is(db.Backup(ctx, file, false), fault.Conflict), "an existing file is not replaced")
	require.NoError(t, db.Backup(ctx, file, true))
	opened, err := database.Open(database.Config{URL: "sqlite://" + file}, clock.System)
	require.NoError(t, err)
	require.NoError(t, opened.CheckSchema(ctx))
	require.NoError(t, opened.Close())
	require.Error(t, db.Backup(ctx, folder+"/missing/copy.db", false))
}
