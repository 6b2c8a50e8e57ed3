package database_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/testkit"
)

func setVersion(t *testing.T, db *database.DB, version int, dirty bool) {
	t.Helper()
	require.NoError(t, db.InTx(context.Background(), func(tx *database.Tx) error {
		_, err := tx.Exec(context.Background(), `UPDATE schema_migrations SET version = $1, dirty = $2`, version, dirty)
		return err
	}))
}

func TestTheSchemaIsCheckedAgainstTheProgram(t *testing.T) {
	testkit.EachEmptyStore(t, func(t *testing.T, open func() *database.DB) {
		ctx, db := context.Background(), open()
		err := db.CheckSchema(ctx)
		require.ErrorContains(t, err, "at version 0")
		require.ErrorContains(t, err, "gateway migrate up", "the error names the command that fixes it")

		require.NoError(t, db.MigrateUp())
		require.NoError(t, db.CheckSchema(ctx))
		version, dirty, err := db.MigrationVersion()
		require.NoError(t, err)
		require.False(t, dirty)

		setVersion(t, db, int(version), true)
		require.ErrorContains(t, db.CheckSchema(ctx), "has not finished")
		require.NoError(t, db.MigrateUp(), "a migration that was killed before it was marked as done is recognized")
		require.NoError(t, db.CheckSchema(ctx))

		setVersion(t, db, int(version)+1, false)
		require.NoError(t, db.CheckSchema(ctx), "a newer schema is accepted during a rolling upgrade")
		setVersion(t, db, int(version), false)

		require.NoError(t, db.MigrateDown(0))
		require.ErrorContains(t, db.CheckSchema(ctx), "at version 0")
		require.NoError(t, db.MigrateUp())
		require.NoError(t, db.CheckSchema(ctx))
	})
}

func TestTheVersionIsZeroBeforeTheFirstMigration(t *testing.T) {
	testkit.EachEmptyStore(t, func(t *testing.T, open func() *database.DB) {
		db := open()
		for range 2 {
			version, dirty, err := db.MigrationVersion()
			require.NoError(t, err)
			require.Zero(t, version)
			require.False(t, dirty)
		}
		require.ErrorContains(t, db.CheckSchema(context.Background()), "at version 0")
	})
}

func TestADirtyVersionIsShown(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		setVersion(t, db, 1, true)
		version, dirty, err := db.MigrationVersion()
		require.NoError(t, err)
		require.Equal(t, uint(1), version)
		require.True(t, dirty)
	})
}

func TestReplicasCanMigrateConcurrently(t *testing.T) {
	testkit.EachEmptyStore(t, func(t *testing.T, open func() *database.DB) {
		db := open()
		if db.Dialect.Name == "sqlite" {
			t.Skip("the data folder belongs to one process")
		}
		start, ended := make(chan struct{}), make(chan error)
		for range 4 {
			replica := open()
			go func() {
				<-start
				ended <- replica.MigrateUp()
			}()
		}
		close(start)
		for range 4 {
			require.NoError(t, <-ended)
		}
		require.NoError(t, db.CheckSchema(context.Background()))
		var installations int
		require.NoError(t, db.Get(context.Background(), &installations, `SELECT count(*) FROM installation`))
		require.Equal(t, 1, installations)
	})
}

func TestAnUnreachableDatabaseIsNotAnOldSchema(t *testing.T) {
	db, err := database.Open(database.Config{URL: closedURL}, clock.System)
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	err = db.CheckSchema(context.Background())
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
	require.NotContains(t, err.Error(), "migrate up")
	require.True(t, fault.Is(db.MigrateUp(), fault.Unavailable))
	_, _, err = db.MigrationVersion()
	require.True(t, fault.Is(err, fault.Unavailable))
}
