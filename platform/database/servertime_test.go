package database_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/testkit"
)

// A machine whose clock is wrong, and one whose clock jumps, agree with the database.
func TestNowIsTheDatabasesTime(t *testing.T) {
	shift := 2 * time.Minute
	wrong := func() time.Time { return clock.System().Add(shift) }
	db, err := database.Open(database.Config{URL: testkit.Postgres(t)}, wrong)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	require.InDelta(t, shift.Seconds(), db.Now().Sub(clock.System()).Seconds(), 1, "before the first SyncClock")

	ahead, err := db.SyncClock(context.Background())
	require.NoError(t, err)
	require.InDelta(t, shift.Seconds(), ahead.Seconds(), 1)
	require.InDelta(t, 0, db.Now().Sub(clock.System()).Seconds(), 1)
	require.NoError(t, db.InTx(context.Background(), func(tx *database.Tx) error {
		require.InDelta(t, 0, tx.Now.Sub(clock.System()).Seconds(), 1)
		return nil
	}))
	shift = -time.Hour // the clock jumps
	require.InDelta(t, 0, db.Now().Sub(clock.System()).Seconds(), 1)
	require.InDelta(t, 0, db.Spare().Now().Sub(clock.System()).Seconds(), 1, "over every connection")
	ahead, err = db.SyncClock(context.Background())
	require.NoError(t, err)
	require.InDelta(t, -3600, ahead.Seconds(), 1)
}

func TestSQLiteUsesThisMachinesClock(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	ahead, err := db.SyncClock(context.Background())
	require.NoError(t, err)
	require.Zero(t, ahead)
	require.InDelta(t, 0, db.Now().Sub(clock.System()).Seconds(), 1)
	require.Same(t, db, db.Spare())
}

// lib/pq begins transactions as READ WRITE, whatever the database's setting. So
// transactions could write where single statements were refused.
func TestAReadOnlyDatabaseIsReadOnlyForAllStatements(t *testing.T) {
	url := testkit.Postgres(t)
	setting := func(value string) {
		admin := testkit.Open(t, url)
		require.NoError(t, admin.InTx(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), `SET TRANSACTION READ WRITE`)
			if err == nil {
				_, err = tx.Exec(t.Context(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = `+value+`', current_database()); END $$`)
			}
			return err
		}))
	}
	setting("on")
	db := testkit.Open(t, url)
	write := func() error {
		return db.InTx(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE installation SET created_at = created_at`)
			return err
		})
	}
	require.True(t, fault.Is(write(), fault.Unavailable))
	single := database.NewRows("id uuid").Expect(1)
	single.Add("00000000-0000-0000-0000-000000000000")
	var ids []string
	require.True(t, fault.Is(db.WriteRows(t.Context(), &ids, single, `UPDATE installation SET created_at = created_at FROM v RETURNING installation.id`), fault.Unavailable))
	setting("off")
	require.NoError(t, write(), "a read-only session is not used again")
}
